"""What schedules want of each source: since when there should be a backup, or that none is wanted. For status and alerts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from engine.catalog.catalog import Catalog
from engine.jobs import scheduled, ticking
from engine.model.schedules import Action, Expected, Pause, RunOutcome, ScheduledRun, ScheduleStatus
from engine.model.status import Expectation

ALLOWED: Final = datetime.timedelta(hours=1)
"""So late a start may be before somebody is told: a timer may tick once an hour."""
_OVER: Final = (RunOutcome.COMPLETED, RunOutcome.INCOMPLETE, RunOutcome.FAILED)


async def expected(catalog: Catalog, now: datetime.datetime) -> Expected:
    """By source, as its backup schedules have it; and whether something is overdue that a worker, or a tick, should have started."""
    statuses = [each for each in await catalog.timetable.all() if not each.schedule.is_template]
    known = await ticking.known_of(catalog)
    general = await ticking.general_pause(catalog)
    last = await catalog.timetable.newest_runs()
    hosts = known.hosts
    wanted: dict[str, list[ScheduleStatus]] = {}
    for status in statuses:
        if status.schedule.action is Action.BACKUP:
            for source in scheduled.chosen(status.schedule.sources, known):
                wanted.setdefault(source.name, []).append(status)
    sources = {name: _of_source(hosts[name], found, last, general, now) for name, found in wanted.items()}
    is_overdue = any(_is_overdue(each, now) and not _is_paused(each, general, now) for each in statuses)
    return Expected(sources, is_overdue)


def _of_source(
    host: str,
    statuses: Sequence[ScheduleStatus],
    last: Mapping[str, Sequence[ScheduledRun]],
    general: Pause | None,
    now: datetime.datetime,
) -> Expectation:
    active = [each for each in statuses if not _is_paused(each, general, now)]
    dues = [_due(host, each, last.get(each.schedule.name, ()), now) for each in active]
    due_at = max((each for each in dues if each is not None), default=None)
    firsts = [_first(each, last.get(each.schedule.name, ())) for each in active]
    begins_at = min((each for each in firsts if each is not None), default=None) if due_at is None else None
    return Expectation(due_at, is_retired=not active, begins_at=begins_at)


def _first(status: ScheduleStatus, runs: Sequence[ScheduledRun]) -> datetime.datetime | None:
    """When the first run of a schedule starts, or did where it is under way; None where it has had others."""
    if not runs:
        return status.state.next_at
    is_under_way = all(each.outcome is RunOutcome.OPEN for each in runs)
    return min(each.planned_at for each in runs) if is_under_way else None


def _due(
    host: str, status: ScheduleStatus, runs: Sequence[ScheduledRun], now: datetime.datetime
) -> datetime.datetime | None:
    """Since when a backup should be there: of the start that is overdue, or of the last run that is over."""
    state = status.state
    if _is_overdue(status, now) and state.planned_at is not None and state.next_at is not None:
        return min(state.planned_at, state.next_at)
    over = [
        each for each in runs if each.part == host and each.outcome in _OVER and each.decided_at is not None
    ]
    # A smart start may lie before its instant.
    begins = [min(each.planned_at, each.decided_at) for each in over if each.decided_at is not None]
    return max(begins, default=None)


def _is_overdue(status: ScheduleStatus, now: datetime.datetime) -> bool:
    return status.state.next_at is not None and status.state.next_at + ALLOWED <= now


def _is_paused(status: ScheduleStatus, general: Pause | None, now: datetime.datetime) -> bool:
    return any(each is not None and each.covers(now) for each in (status.state.pause, general))
