"""What schedules make up for when a host or a storage answers again that was silent at their time: as they do when nothing ran at their time.

A backup that failed for it is done once more, now, unless its schedule catches nothing up or is paused, a newer backup is there, or the next
start is close; outside of its window it waits for that.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from engine import errors
from engine.catalog.catalog import Catalog
from engine.catalog.schedules import Outcome
from engine.errors import HostError, NoRepositoryError, StorageError, UnknownNameError
from engine.jobs import presence
from engine.jobs.known import Known, chosen
from engine.jobs.presence import Return
from engine.jobs.scheduled import hosts_of
from engine.model.backup import BackupStatus
from engine.model.schedules import Action, CatchUp, Pause, RunOutcome, ScheduledRun, ScheduleStatus
from engine.schedule import due, windows
from engine.schedule.zones import zone_of

Begin = Callable[[ScheduleStatus, datetime.datetime, Known, str], list[Outcome]]
"""The rows of a run of that schedule at an instant, for a reason."""
_Part = tuple[str, str]
"""A schedule, and a host of its sources."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What may have been silent."""

    noun: str
    beginning: str
    why: tuple[type[errors.HoldfastError], ...]
    """Errors of jobs that found it silent."""


_KINDS = (
    _Kind("host", presence.HOST_BACK, (HostError,)),
    _Kind("storage", presence.STORAGE_BACK, (StorageError, NoRepositoryError)),
)


async def make_up(
    catalog: Catalog,
    now: datetime.datetime,
    general: Callable[[], Awaitable[Pause | None]],
    known: Callable[[], Awaitable[Known]],
    begin: Begin,
) -> list[str]:
    """Queues what is to be made up for; ids of the jobs that are new. Costs one question where nothing came back. Raises: CatalogError."""
    found = {
        setting: each for setting, each in (await presence.returned(catalog)).items() if not each.is_made_up
    }
    if not found:
        return []
    queued: list[str] = []
    pause = await general()
    statuses = [each for each in await catalog.timetable.all() if _catches_up(each, now, pause)]
    for kind in _KINDS:
        for name, back in presence.named(found, kind.beginning).items():
            parts = _concerned(kind, name, statuses, await known())
            missed = await _missed(catalog, parts, kind, back, await known())
            ready = {part: status for part, status in missed.items() if _is_open(status, now)}
            said = f"made up for: {kind.noun} {name} could not be reached since {back.span.since:%Y-%m-%d %H:%M} UTC"
            outcomes = [
                outcome
                for (_, host), status in ready.items()
                for outcome in begin(status, back.span.until, await known(), said)
                if outcome.run.part == host and outcome.job is not None
            ]
            queued += await catalog.timetable.record(outcomes, now) if outcomes else []
            if len(ready) == len(missed):
                await presence.made_up(catalog, kind.beginning, name)
    return queued


def _catches_up(status: ScheduleStatus, now: datetime.datetime, general: Pause | None) -> bool:
    schedule, state = status.schedule, status.state
    if schedule.is_template or schedule.action is not Action.BACKUP:
        return False
    if schedule.timing.catch_up is CatchUp.NONE:
        return False
    if any(each is not None and each.covers(now) for each in (state.pause, general)):
        return False
    return state.next_at is None or state.next_at > now + due.GRACE


def _is_open(status: ScheduleStatus, now: datetime.datetime) -> bool:
    timing = status.schedule.timing
    hours = windows.parse(timing.window)
    return not hours or windows.is_open(hours, now, zone_of(timing.timezone))


def _concerned(
    kind: _Kind, name: str, statuses: Sequence[ScheduleStatus], known: Known
) -> dict[_Part, ScheduleStatus]:
    """The parts of schedules that have to do with it."""
    found: dict[_Part, ScheduleStatus] = {}
    for status in statuses:
        hosts = hosts_of(status.schedule, known)
        if kind.noun == "host":
            hosts &= {name}
        elif name not in (status.schedule.storages or (known.default_storage,)):
            continue
        found |= {(status.schedule.name, host): status for host in hosts}
    return found


async def _missed(
    catalog: Catalog, parts: dict[_Part, ScheduleStatus], kind: _Kind, back: Return, known: Known
) -> dict[_Part, ScheduleStatus]:
    """Those whose last run failed for its silence, and of whose sources one has no newer backup."""
    open_runs = await catalog.timetable.open_runs({schedule for schedule, _ in parts})
    under_way = {(each.run.schedule, each.run.part) for each in open_runs}
    found = {}
    for run in await catalog.timetable.last_ended_runs([each for each in parts if each not in under_way]):
        part = (run.schedule, run.part)
        at = await _failed_at(catalog, run, kind) if run.outcome is RunOutcome.FAILED else None
        if at is None or not back.span.holds(at):
            continue
        sources = chosen(parts[part].schedule.sources, known)
        if await _is_older(catalog, [each.name for each in sources if each.host == run.part], at):
            found[part] = parts[part]
    return found


async def _failed_at(catalog: Catalog, run: ScheduledRun, kind: _Kind) -> datetime.datetime | None:
    """When the run's job failed, where such a silence was why."""
    try:
        job = await catalog.jobs.get(run.job_id)
    except UnknownNameError:
        return None
    why = getattr(errors, job.error_class, None)
    return job.completed_at if isinstance(why, type) and issubclass(why, kind.why) else None


async def _is_older(catalog: Catalog, sources: Sequence[str], at: datetime.datetime) -> bool:
    """Whether a source has no backup that was begun since then, and can be restored."""
    newest = await catalog.backups.last_of_sources(sources, 1)
    return any(
        not newest.get(each)
        or newest[each][0].status is BackupStatus.FAILED
        or newest[each][0].created_at < at
        for each in sources
    )
