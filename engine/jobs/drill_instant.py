"""The drill to an instant: a base and the log behind it in a throwaway server, which must say itself that it got there.

Which instant: the one that was asked for, or a random one of all that can be reached, by the drill's seed.
"""

from __future__ import annotations

import datetime
import random
from contextlib import AsyncExitStack, suppress
from typing import Final

from engine.errors import UsageError
from engine.jobs import drill_database, replay, replay_base
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_backup, open_database_source
from engine.jobs.drill_database import Hold
from engine.jobs.drill_steps import TEAR_DOWN, DrillRecord, StepFailedError
from engine.jobs.replay import ReplayPlan
from engine.model import instants, logs
from engine.model.backup import Backup
from engine.model.instants import Target
from engine.model.manifest import CheckResult
from engine.model.requests import DrillRequest
from engine.model.results import KeptScratch
from engine.sources import registry as sources
from engine.sources.logs import Replayed, ReplayingSource

LEVEL = "point-in-time"
_CHOOSE: Final = "choose an instant"
_TOGETHER: Final = datetime.timedelta(seconds=1)
"""Transactions that end at once may lie in a log in another order than that of their times: the one before a mark may bear a later time than it."""


async def chosen(context: JobContext, request: DrillRequest, seed: int, record: DrillRecord) -> ReplayPlan:
    """The plan for the instant. Raises: UsageError where its log is not replayed here; UnknownNameError, RestoreError where it cannot be reached."""
    sources.require_replayable(await context.catalog.sources.get(request.source))
    target = replay.target_of(request)
    if target.is_named:
        planned = await replay.plan(context, request.source, target, request.storage)
        await replay_base.tell(context, planned)
        with record.step(_CHOOSE, is_proof=False) as detail:
            detail += [
                instants.place(await replay.described(context, planned)),
                *([planned.note] if planned.note else []),
            ]
        return planned
    whole = await replay.plan(context, request.source, Target(), request.storage)
    found = logs.reaches(
        await context.catalog.logs.bases(request.source),
        [
            each
            for each in await context.catalog.logs.holdings(request.source)
            if each.storage == whole.reach.storage
        ],
        await context.catalog.logs.state(request.source),
    )
    picked = _random_instant(found, seed)
    planned = await replay.plan(context, request.source, Target(picked), request.storage)
    with record.step(_CHOOSE, is_proof=False) as detail:
        detail += [f"{picked.isoformat()}, seed {seed}", *([planned.note] if planned.note else [])]
    return planned


def _random_instant(found: list[logs.Reach], seed: int) -> datetime.datetime:
    """Any that can be reached, each as likely as the other."""
    spans = [(each.begins_at, (each.ends_at - each.begins_at).total_seconds()) for each in found]
    dice = random.Random(seed)  # noqa: S311 -- the seed is in the evidence, so that the choice can be made again
    begins_at, length_s = dice.choices(spans, weights=[length_s + 1e-6 for _, length_s in spans])[0]
    return begins_at + datetime.timedelta(seconds=dice.uniform(0, length_s))


async def drill(
    context: JobContext,
    request: DrillRequest,
    backup: Backup,
    planned: ReplayPlan,
    record: DrillRecord,
    hold: Hold,
) -> None:
    """Restores, replays, looks at each database, and throws all of it away. `hold` is awaited before anything is thrown away.

    Raises: StepFailedError, which is written down; UsageError.
    """
    async with AsyncExitStack() as stack:
        try:
            with record.step("open the base"):
                opened = await stack.enter_async_context(
                    open_backup(context, backup, planned.reach.storage, request.limits)
                )
            with record.step("prepare a throwaway server", is_proof=False):
                source = await stack.enter_async_context(open_database_source(context, opened.source))
                if not isinstance(source, ReplayingSource):
                    raise UsageError(f"the log of {opened.source.name} cannot be replayed")
                length = await replay.segment_bytes(context, opened, planned)
                replaying = await stack.enter_async_context(
                    source.replaying(opened.manifest, opened.depth, replay.replay_of(planned, length))
                )
            record.level = LEVEL
            with record.step("restore the base and its log") as detail:
                sent = await replay.feed(context, opened, planned, replaying)
                detail.append(f"{sent} bytes, at most {planned.segments} segments")
            with record.step("replay the log") as detail:
                reached = await replaying.finish()
                detail.append(f"to {planned.target.words}")
            _judge(planned, reached, record)
            names = [name for name in await reached.database.names() if name != "postgres"] or ["postgres"]
            for name in names:
                await drill_database.look_into(request, reached.database, name, name, record)
            await hold([KeptScratch(each, reached.database.connect_line(each)) for each in names])
        finally:
            with suppress(StepFailedError), record.step(TEAR_DOWN, is_proof=False) as detail:
                await stack.aclose()
                detail.append("scratch gone: yes")


def _judge(planned: ReplayPlan, reached: Replayed, record: DrillRecord) -> None:
    """Whether it is where it was to go, by the server's own word."""
    record.checks.append(
        CheckResult("recovery", "over", "over" if reached.is_over else "going on", reached.is_over)
    )
    last, mark = reached.last_transaction_at, planned.mark
    found_at = mark.at if mark is not None else None
    record.reached_at = planned.target.at or found_at or last or planned.reach.base.consistent_at
    wanted = planned.until or found_at
    if wanted is None:
        record.checks.append(CheckResult("last transaction", "the log's last", _text(last), True))
        return
    is_kept = last is None or last <= wanted + (_TOGETHER if planned.until is None else datetime.timedelta())
    record.checks.append(
        CheckResult("last transaction", f"at most {wanted.isoformat()}", _text(last), is_kept)
    )


def _text(at: datetime.datetime | None) -> str:
    return at.isoformat() if at is not None else "none"
