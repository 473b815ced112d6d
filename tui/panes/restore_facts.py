"""All that is known of how a source is brought back, as lines of text: the newest point, what a drill of it would do, how the last ones went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.errors import UnknownNameError
from engine.model import described
from engine.model.drills import DrillStanding, PastDrill
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.results import DrillResult
from engine.model.text import counted
from tui import keys
from tui.panes import restore_text
from tui.panes.restore_text import Chosen, Target
from tui.text import age, clock, ladder, moment, short_size

if TYPE_CHECKING:
    from engine.service import Engine

_PAST: Final = 8


async def standing_lines(engine: Engine, standing: DrillStanding) -> Sequence[str]:
    """Out of the catalog alone. Raises: UnknownNameError where the source is gone."""
    past = await engine.past_drills(standing.source, limit=_PAST)
    lines = [f"{standing.source}  {standing.kind} on {standing.host}"]
    lines += await _point(engine, standing, past)
    lines += [
        "",
        "last drills" if past else "never drilled: nobody knows whether it works, and how long it takes",
    ]
    lines += [_past_line(engine, each) for each in past]
    return [*lines, *await _last(engine, past)]


async def _point(engine: Engine, standing: DrillStanding, past: Sequence[PastDrill]) -> list[str]:
    try:
        backup = await engine.latest_backup(standing.source)
    except UnknownNameError:
        return ["", f"it has no backup: {keys.of('source.backup')} in the backups takes one"]
    points = await engine.count_backups_of(standing.source)
    chosen = Chosen(
        backup,
        True,
        await engine.ways(standing.source),
        standing.host,
        DrillRequest(standing.source, budget_s=standing.objective_s),
        RestoreRequest(""),
        past,
        [each.storage for each in backup.copies if each.snapshot_id],
    )
    return [
        "",
        f"newest     {moment(backup.created_at, engine.now())}, {age(backup.created_at, engine.now())} old, of {counted(points, 'backup')}",
        f"           {backup.kind} {short_size(backup.size_bytes)}, {ladder(backup.proof, backup.proven_at, engine.now())}, {backup.backup_id}",
        f"lies in    {described.storages(backup) or 'no storage any more'}",
        "",
        f"a drill of it ({keys.of('restore.drill')})",
        *(f"  {each}" for each in restore_text.plan_lines(Target.DRILL, chosen)),
        f"  checks: {restore_text.checks_line(Target.DRILL, chosen)}",
    ]


def _past_line(engine: Engine, drill: PastDrill) -> str:
    now = engine.now()
    budget = f" of {clock(drill.budget_s)}" if drill.budget_s is not None else ""
    late = "" if drill.is_in_time else "  OVER BUDGET"
    wrong = f", {drill.failed_checks} wrong" if drill.failed_checks else ""
    return (
        f"  {moment(drill.at, now):<14} {age(drill.at, now):>4}  {restore_text.verdict_word(drill)}"
        f"  {clock(drill.rto_s)}{budget}{late}  {drill.checks} checks{wrong}  {drill.level}"
    )


async def _last(engine: Engine, past: Sequence[PastDrill]) -> list[str]:
    """The last one, step by step, and what of it was wrong; nothing where its job is forgotten."""
    if not past:
        return []
    try:
        result = engine.result_of(await engine.show_job(past[0].job_id))
    except UnknownNameError:
        return []
    if not isinstance(result, DrillResult):
        return []
    return [
        "",
        f"the last one, step by step: {restore_text.drill_verdict(result)}",
        *restore_text.step_lines(result.steps),
        *restore_text.wrong_lines(result),
    ]
