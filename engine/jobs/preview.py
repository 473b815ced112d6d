"""What comes next: the runs of a schedule, and which others work at the same hosts meanwhile."""

from __future__ import annotations

import datetime
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.catalog.catalog import Catalog
from engine.jobs.known import Known, chosen, general_pause, known_of
from engine.model.schedules import Action, Overlap, Pause, PlannedRun, Schedule, ScheduleStatus
from engine.schedule import due
from engine.schedule.zones import zone_of

ASSUMED_S: Final = 900.0
"""How long a run is taken to last that never ran."""
_MOST_OF_ANOTHER: Final = 2_000
"""Runs of one other schedule that are looked at for overlaps."""
_MOST_PAUSED: Final = 10_000


class _Run(NamedTuple):
    planned_at: datetime.datetime
    at: datetime.datetime
    reason: str


class Preview:
    """The schedules as they are now, and what they will do. Made by `look_ahead`."""

    def __init__(
        self,
        statuses: Mapping[str, ScheduleStatus],
        known: Known,
        pause: Pause | None,
        expected: Mapping[str, float],
        now: datetime.datetime,
    ) -> None:
        self._statuses = statuses
        self._known = known
        self._pause = pause
        self._expected = expected
        self._now = now

    def runs(self, name: str, count: int) -> list[PlannedRun]:
        """The next runs of a schedule, those of a pause left out; none of a template, or of one that is paused without an end."""
        schedule = self._statuses[name].schedule
        found = list(itertools.islice(self._ahead(name), count))
        if not found:
            return []
        expected_s = self._expected.get(name, ASSUMED_S)
        others = self._others(schedule, found[0].at, found[-1].at + datetime.timedelta(seconds=expected_s))
        sources = tuple(each.name for each in chosen(schedule.sources, self._known))
        zone = zone_of(schedule.timing.timezone)
        return [
            PlannedRun(
                each.at.astimezone(zone),
                name,
                schedule.action,
                sources,
                _overlapping(each.at, expected_s, others, zone),
                each.planned_at.astimezone(zone),
                expected_s,
                each.reason,
            )
            for each in found
        ]

    def runs_of(self, status: ScheduleStatus, count: int) -> list[PlannedRun]:
        """The same of one that need not be defined, or in place of the one of its name."""
        statuses = {**self._statuses, status.schedule.name: status}
        return Preview(statuses, self._known, self._pause, self._expected, self._now).runs(
            status.schedule.name, count
        )

    @property
    def names(self) -> Sequence[str]:
        """All schedules, templates too."""
        return list(self._statuses)

    def starts(self, name: str) -> Iterator[datetime.datetime]:
        """When it starts, from now on, without end."""
        return (run.at for run in self._ahead(name))

    def hosts(self, name: str) -> set[str]:
        """The hosts where it works."""
        return _hosts(self._statuses[name].schedule, self._known)

    def action(self, name: str) -> Action:
        """What it does."""
        return self._statuses[name].schedule.action

    def lasts_s(self, name: str) -> float:
        """How long a run of it will take, by its last ones."""
        return self._expected.get(name, ASSUMED_S)

    def _ahead(self, name: str) -> Iterator[_Run]:
        """What is to come of a schedule; one that follows another comes at the end of that one."""
        status = self._statuses[name]
        schedule = status.schedule
        if schedule.is_template:
            return
        pauses = [each for each in (status.state.pause, self._pause) if each is not None]
        if any(each.until is None and each.covers(self._now) for each in pauses):
            return
        for run in itertools.islice(self._unpaused(status), _MOST_PAUSED):
            if not any(each.covers(run.planned_at) or each.covers(run.at) for each in pauses):
                yield run

    def _unpaused(self, status: ScheduleStatus) -> Iterator[_Run]:
        schedule = status.schedule
        if schedule.rhythm:
            # The next start has been moved already where it is smart; those after it start as they are planned, so far as one knows.
            for planned_at, choice in due.upcoming(schedule, status.state, self._now):
                yield _Run(planned_at, choice.at, choice.reason)
        elif schedule.after in self._statuses:
            lasts = datetime.timedelta(seconds=self._expected.get(schedule.after, ASSUMED_S))
            for run in self._ahead(schedule.after):
                yield _Run(run.planned_at, run.at + lasts, f"after {schedule.after}")

    def _others(
        self, schedule: Schedule, begin: datetime.datetime, end: datetime.datetime
    ) -> list[tuple[str, Schedule, datetime.datetime, float]]:
        """Runs of other schedules at the same hosts that touch this time: host, schedule, start, how long it lasts."""
        own = _hosts(schedule, self._known)
        found = []
        for name, status in self._statuses.items():
            shared = own & _hosts(status.schedule, self._known)
            if name == schedule.name or not shared:
                continue
            lasts = self._expected.get(name, ASSUMED_S)
            for run in itertools.islice(self._ahead(name), _MOST_OF_ANOTHER):
                if run.at > end:
                    break
                if run.at + datetime.timedelta(seconds=lasts) > begin:
                    found += [(host, status.schedule, run.at, lasts) for host in sorted(shared)]
        return found


async def look_ahead(catalog: Catalog, now: datetime.datetime) -> Preview:
    """All schedules as they are now."""
    statuses = {each.schedule.name: each for each in await catalog.timetable.all()}
    expected = {}
    for name in statuses:
        durations = [each.duration_s for each in await catalog.timetable.durations(name, limit=20)]
        known_s = [each for each in durations if each is not None]
        if known_s:
            expected[name] = statistics.median(known_s)
    known = await known_of(catalog)
    return Preview(statuses, known, await general_pause(catalog), expected, now)


def _hosts(schedule: Schedule, known: Known) -> set[str]:
    if schedule.is_template or schedule.action not in (Action.BACKUP, Action.SHIP, Action.DRILL):
        return set()
    return {each.host for each in chosen(schedule.sources, known)}


def _overlapping(
    at: datetime.datetime,
    expected_s: float,
    others: Sequence[tuple[str, Schedule, datetime.datetime, float]],
    zone: datetime.tzinfo,
) -> list[Overlap]:
    end = at + datetime.timedelta(seconds=expected_s)
    return [
        Overlap(host, other.name, begin.astimezone(zone))
        for host, other, begin, lasts in others
        if begin < end and begin + datetime.timedelta(seconds=lasts) > at
    ]
