"""What is done with schedules and by their rules: each a few questions, then a job for a worker, or a change of the catalog."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.model import log_words
from engine.model.requests import ForgetRequest, PruneRequest
from engine.model.results import ForgetResult, PruneResult
from engine.model.schedules import Action, Hooks, PlannedRun, Schedule, TickResult
from engine.model.text import counted
from tui import backup_work
from tui.dialogs.confirm import TypeName
from tui.dialogs.form import Field, Form, Values
from tui.dialogs.menu import Menu
from tui.dialogs.reader import Reader
from tui.text import clock, printable, size

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_SHOWN_RUNS: Final = 40
_NAMED: Final = 40
"""So many backups that go are named one by one."""
_ALL: Final = "*"


def has_rules(schedule: Schedule) -> bool:
    """Whether something goes by it: a keep rule, or a prune."""
    return is_prune(schedule) or any(name.startswith("keep_") for name in schedule.options)


def is_prune(schedule: Schedule) -> bool:
    """Whether it gives back what nothing needs."""
    return schedule.action is Action.PRUNE


def named(names: Sequence[str]) -> str:
    """A few of them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3]) + more)


# Runs.


async def run(console: ConsoleApp, names: Sequence[str]) -> None:
    """Queues a run of each, whatever its times and pauses, and starts a worker where none lives. Raises: errors of the engine."""
    jobs = [each for name in names for each in await console.engine.run_schedule(name)]
    first = f": job {jobs[0].job_id}" if jobs else ""
    console.tell(f"{named(names)} begins now, {counted(len(jobs), 'job')}{first}")


def tick_words(result: TickResult) -> str:
    """What one look did."""
    then = f"; next {result.next_at.astimezone():%a %H:%M}" if result.next_at is not None else ""
    return f"{counted(len(result.queued), 'job')} queued, {result.skipped} skipped{then}"


async def show_ahead(console: ConsoleApp, name: str) -> None:
    """The next runs, by this machine's clock, and by that of its zone where that is another one."""
    runs = await console.engine.preview_schedules(name, count=_SHOWN_RUNS)
    lines = [run_line(each) for each in runs] or [
        "nothing is planned: it is a template, or paused without an end"
    ]
    await console.ask(Reader(f"Next runs of {name}", lines))


def run_line(run: PlannedRun) -> str:
    """One run to come."""
    here = run.at.astimezone()
    there = "" if here.utcoffset() == run.at.utcoffset() else f"  ({run.at:%a %H:%M %z} there)"
    overlaps = ", ".join(
        f"{each.schedule} {each.at.astimezone():%H:%M} on {each.host}" for each in run.overlaps[:3]
    )
    more = f" and {len(run.overlaps) - 3} more" if len(run.overlaps) > 3 else ""
    met = f"  ! overlaps {overlaps}{more}" if overlaps else ""
    why = f"  {run.reason}" if run.reason else ""
    return f"{here:%a %Y-%m-%d %H:%M}{there}  takes {clock(run.expected_s)}{met}{why}"


async def show_log(console: ConsoleApp, job_id: str, otherwise: str) -> None:
    """A job's log, or what is said where there is no job."""
    if job_id:
        await backup_work.show_log(console, job_id)
    else:
        console.tell(otherwise)


# Pauses.


async def ask_pause(
    console: ConsoleApp,
    names: Sequence[str],
    pause: Callable[[str, datetime.datetime | None], Awaitable[None]],
) -> bool:
    """Asks why and until when, for these or for everything; whether it was paused. What `pause` raises keeps the form open."""

    def until(values: Values) -> datetime.datetime | None:
        text = values.get("until", "")
        return console.engine.instant(text, is_ahead=True) if text else None

    async def check_until(values: Values) -> str:
        at = until(values)
        return f"{at.astimezone():%a %Y-%m-%d %H:%M}" if at is not None else ""

    async def save(values: Values) -> None:
        await pause(values.get("reason", ""), until(values))

    def preview(values: Values) -> Sequence[str]:
        end = f" --until {shlex.quote(values['until'])}" if values.get("until") else ""
        said = f" --reason {shlex.quote(values.get('reason', ''))}{end}"
        command = [f"holdfast schedule pause {shlex.quote(name)}{said}" for name in names] or [
            f"holdfast pause{said}"
        ]
        return [
            *command,
            "",
            "What falls into the pause is not caught up. What a person starts runs all the same.",
        ]

    fields = [
        Field("reason", "reason", "", "whoever finds nothing running reads it", is_needed=True),
        Field(
            "until", "until", "", "2h, 14:05, 2026-11-20 14:05; empty: until it is resumed", check=check_until
        ),
    ]
    title = f"Pause {named(names)}" if names else "Hold everything: nothing starts by itself"
    form = Form(title, fields, save, preview)
    return await console.ask(form) is True


# By its rules.


async def plan_prunes(console: ConsoleApp, schedule: Schedule) -> None:
    """What a prune by this schedule would free: a dry run for each storage, by a worker."""
    storages = schedule.storages or tuple(
        each.name for each in await console.engine.storages() if each.is_default
    )
    lines: list[str] = []
    for storage in storages:
        plan = await console.finish(
            "prune", PruneRequest(storage, is_dry_run=True), f"planning a prune of {storage}", PruneResult
        )
        if plan is None:
            return
        lines.append(
            f"{storage}: {plan.packs_deleted} packs deleted, {plan.packs_rewritten} rewritten, {size(plan.freed_bytes)} freed"
        )
    await console.ask(Reader(f"What {schedule.name} would free now", lines))


async def forget_now(console: ConsoleApp, schedule: Schedule, requests: Sequence[ForgetRequest]) -> bool:
    """Forgets by the rules of a schedule: a dry run of each request by a worker, shown with what makes one doubt it; then, after a name was
    typed, what was shown. Whether it was begun.
    """
    chosen = await _chosen(console, requests)
    plans: list[tuple[ForgetRequest, ForgetResult]] = []
    for request in chosen:
        what = request.source or "all sources"
        dry = dataclasses.replace(request, is_dry_run=True, is_pruning=False, hooks=Hooks())
        plan = await console.finish("forget", dry, f"looking what would go of {what}", ForgetResult)
        if plan is None:
            return False
        plans.append((request, plan))
    going = [fate for _, plan in plans for fate in plan.fates if not fate.is_kept]
    lost = [each for _, plan in plans for each in plan.lost]
    if not going and not lost:
        if plans:
            console.tell("by these rules nothing goes now")
        return False
    name = chosen[0].source if len(chosen) == 1 and chosen[0].source else schedule.name
    doubts = any(plan.doubts for _, plan in plans)
    title = (
        f"FORGET {counted(len(going), 'BACKUP').upper()} of {name}{', WHICH LOOKS WRONG' if doubts else ''}"
    )
    if not await console.ask(TypeName(title, _plan_lines(schedule, plans), name)):
        return False
    if not await console.pass_guard("keep.forget"):
        return False
    for request, plan in plans:
        if plan.lost or any(not fate.is_kept for fate in plan.fates):
            despite = tuple(dict.fromkeys(each.name for each in plan.doubts))
            meant = dataclasses.replace(request, despite=despite)
            await console.submit("forget", meant, f"forgetting by the rules of {schedule.name}")
    return True


async def _chosen(console: ConsoleApp, requests: Sequence[ForgetRequest]) -> Sequence[ForgetRequest]:
    """Of several sources one, or all of them."""
    if len(requests) == 1:
        return requests
    entries = [
        (_ALL, f"all {len(requests)} sources, one after the other"),
        *((each.source, each.source) for each in requests),
    ]
    found = await console.ask(Menu("Forget backups of", entries))
    return [each for each in requests if found in (_ALL, each.source)]


def _plan_lines(schedule: Schedule, plans: Sequence[tuple[ForgetRequest, ForgetResult]]) -> list[str]:
    lines = [f"! {doubt.name}: {doubt.message}" for _, plan in plans for doubt in plan.doubts]
    lines += [f"! {log_words.lost(each, is_done=False)}" for _, plan in plans for each in plan.lost]
    kept: dict[tuple[str, str], int] = {}
    going = []
    for _, plan in plans:
        for fate in plan.fates:
            place = (fate.source, fate.storage)
            kept[place] = kept.get(place, 0) + fate.is_kept
            if not fate.is_kept:
                going.append(fate)
    lines += [
        f"{each.backup_id[:8]}  {each.created_at.astimezone():%Y-%m-%d %H:%M}  {each.source} in {each.storage}: {', '.join(each.reasons)}"
        for each in going[:_NAMED]
    ]
    lines += [f"and {len(going) - _NAMED} more"] if len(going) > _NAMED else []
    lines += [f"Kept of {source} in {storage}: {count}" for (source, storage), count in kept.items()]
    if any(request.is_pruning for request, _ in plans):
        lines.append("A prune follows, and gives the space back.")
    lines.append(f"Same as: {forget_command(schedule.options, plans[0][0], plans[0][1])}")
    return lines


def forget_command(
    options: Mapping[str, object], request: ForgetRequest, plan: ForgetResult | None = None
) -> str:
    """The command line that does the same."""
    words = ["holdfast", "forget", *(["--source", request.source] if request.source else [])]
    words += [word for each in request.storages for word in ("--storage", each)]
    for name, value in options.items():
        if name.startswith("keep_"):
            for each in value if isinstance(value, tuple | list) else (value,):
                words += [
                    f"--{name.replace('_', '-')}",
                    f"{each:g}" if isinstance(each, float) else str(each),
                ]
    words += ["--prune"] if request.is_pruning else []
    for name in dict.fromkeys(each.name for each in plan.doubts) if plan is not None else ():
        words += ["--despite", name]
    return shlex.join(words)
