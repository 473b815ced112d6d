"""What schedules want of each source: since when there should be a backup, or that none is wanted. For status and alerts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from engine.catalog.catalog import Catalog
from engine.jobs.known import chosen, general_pause, known_of
from engine.model.schedules import Action, Expected, Pause, RunOutcome, ScheduledRun, ScheduleStatus
from engine.model.status import Expectation
from engine.schedule import due

ALLOWED: Final = datetime.timedelta(hours=1)
"""So late a start may be before somebody is told: a timer may tick once an hour."""
_LEAST_LOG_S: Final = 900.0
"""A look at a log may always be so old: a job waits for others, and is tried again."""
_Part = tuple[str, str]
"""A schedule, and a host of its sources."""
_OVER: Final = (RunOutcome.COMPLETED, RunOutcome.INCOMPLETE, RunOutcome.FAILED)


async def expected(catalog: Catalog, now: datetime.datetime) -> Expected:
    """By source, as its backup schedules have it; and whether something is overdue that a worker, or a tick, should have started."""
    statuses = [each for each in await catalog.timetable.all() if not each.schedule.is_template]
    known = await known_of(catalog)
    general = await general_pause(catalog)
    last = await catalog.timetable.newest_runs()
    hosts = known.hosts
    wanted: dict[str, list[ScheduleStatus]] = {}
    shipped: dict[str, list[ScheduleStatus]] = {}
    for status in statuses:
        if status.schedule.action is Action.SHIP:
            for source in chosen(status.schedule.sources, known):
                shipped.setdefault(source.name, []).append(status)
        if status.schedule.action is Action.BACKUP:
            for source in chosen(status.schedule.sources, known):
                wanted.setdefault(source.name, []).append(status)
    ended = await _ended(catalog, {(each.schedule.name, hosts[name]) for name, found in wanted.items() for each in found}, last)  # fmt: skip
    sources = {
        name: _of_source(hosts[name], found, last, ended, general, now) for name, found in wanted.items()
    }
    for name, by in shipped.items():
        sources[name] = dataclasses.replace(
            sources.get(name, Expectation()),
            is_log_shipped=True,
            log_within_s=_log_within_s(by, general, now),
        )
    is_overdue = any(_is_overdue(each, now) and not _is_paused(each, general, now) for each in statuses)
    return Expected(sources, is_overdue)


async def _ended(
    catalog: Catalog, wanted: Collection[_Part], last: Mapping[str, Sequence[ScheduledRun]]
) -> dict[_Part, ScheduledRun]:
    """The last run of each of these that is over. One that waits, runs or was skipped since then makes nothing good that this one missed."""
    found = {(run.schedule, run.part): run for runs in last.values() for run in runs if run.outcome in _OVER}
    earlier = await catalog.timetable.last_ended_runs([each for each in wanted if each not in found])
    return found | {(run.schedule, run.part): run for run in earlier}


def _of_source(
    host: str,
    statuses: Sequence[ScheduleStatus],
    last: Mapping[str, Sequence[ScheduledRun]],
    ended: Mapping[_Part, ScheduledRun],
    general: Pause | None,
    now: datetime.datetime,
) -> Expectation:
    active = [each for each in statuses if not _is_paused(each, general, now)]
    dues = [_due(each, ended.get((each.schedule.name, host)), now) for each in active]
    due_at = max((each for each in dues if each is not None), default=None)
    firsts = [_first(each, last.get(each.schedule.name, ())) for each in active]
    begins_at = min((each for each in firsts if each is not None), default=None) if due_at is None else None
    next_at = min((each.state.next_at for each in active if each.state.next_at is not None), default=None)
    return Expectation(due_at, is_retired=not active, begins_at=begins_at, next_at=next_at)


def _log_within_s(
    statuses: Sequence[ScheduleStatus], general: Pause | None, now: datetime.datetime
) -> float | None:
    """So old the last look may be: twice the span between two starts of the schedule that starts most often."""
    found = [due.gap_s(each.schedule, each.state) for each in statuses if not _is_paused(each, general, now)]
    spans = [each for each in found if each is not None]
    return max(_LEAST_LOG_S, 2 * min(spans)) if spans else None


def _first(status: ScheduleStatus, runs: Sequence[ScheduledRun]) -> datetime.datetime | None:
    """When the first run of a schedule starts, or did where it is under way; None where it has had others."""
    if not runs:
        return status.state.next_at
    is_under_way = all(each.outcome is RunOutcome.OPEN for each in runs)
    return min(each.planned_at for each in runs) if is_under_way else None


def _due(
    status: ScheduleStatus, ended: ScheduledRun | None, now: datetime.datetime
) -> datetime.datetime | None:
    """Since when a backup should be there: of the start that is overdue, or of the last run that is over."""
    state = status.state
    if _is_overdue(status, now) and state.planned_at is not None and state.next_at is not None:
        return min(state.planned_at, state.next_at)
    if ended is None or ended.decided_at is None:
        return None
    return min(ended.planned_at, ended.decided_at)  # a smart start may lie before its instant


def _is_overdue(status: ScheduleStatus, now: datetime.datetime) -> bool:
    return status.state.next_at is not None and status.state.next_at + ALLOWED <= now


def _is_paused(status: ScheduleStatus, general: Pause | None, now: datetime.datetime) -> bool:
    return any(each is not None and each.covers(now) for each in (status.state.pause, general))
