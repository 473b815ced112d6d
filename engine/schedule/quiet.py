"""The quietest time for a run: a start is moved within its window to where the loads of its hosts and its own durations were lowest.

Half hours of the day are compared. How busy one is: the mean of what was measured in it, of loads and of durations, each against the middle one
of its kind (of its host, for loads); one that nothing is known of counts as a middling one. A run is as busy as the half hours that it will run through.
"""

from __future__ import annotations

import datetime
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.model.schedules import Sample
from engine.schedule.zones import wall_of

LEAST_SAMPLES: Final = 14
"""Past jobs that are needed to judge by: two weeks of nightly ones."""
_STEP: Final = datetime.timedelta(minutes=15)
_SLOT_MINUTES: Final = 30
_SLOTS: Final = 1440 // _SLOT_MINUTES
_GAIN: Final = 0.8
"""A place must be at most so busy, against where the start is, to be worth a move: less is noise."""
_NOTHING: Final = 0.1
"""Added to each load, so that twice next to nothing is not twice as busy."""


class Choice(NamedTuple):
    """When a run starts, and why."""

    at: datetime.datetime
    reason: str


class _Places(NamedTuple):
    """How busy each half hour of the day is."""

    loads: Mapping[int, float]
    durations: Mapping[int, float]

    def busy(self, begin: datetime.datetime, span: datetime.timedelta, zone: datetime.tzinfo) -> float:
        """Of a run from `begin` on: 1 is the middle."""
        steps = min(int(span / _STEP), _SLOTS * 2)
        passed = [*(_STEP * each for each in range(steps + 1)), span]
        slots = [_slot(begin + each, zone) for each in passed]
        load = statistics.fmean(self.loads.get(each, 1.0) for each in slots)
        return (load + self.durations.get(slots[0], 1.0)) / 2


def quietest(
    planned: datetime.datetime,
    window: tuple[datetime.datetime, datetime.datetime],
    samples: Sequence[Sample],
    zone: datetime.tzinfo,
) -> Choice:
    """The best start for what is planned then, in the window that it lies in. Near ones are preferred among equals."""
    known = sum(1 for each in samples if each.load is not None or each.duration_s is not None)
    if known < LEAST_SAMPLES:
        return Choice(planned, f"not moved: {known} of {LEAST_SAMPLES} past jobs that it is judged by")
    durations = [each.duration_s for each in samples if each.duration_s is not None]
    span = datetime.timedelta(seconds=statistics.median(durations) if durations else 0)
    begin, end = window
    places = _places(samples, zone)
    candidates = [begin + _STEP * number for number in range(int((end - span - begin) / _STEP) + 1)]
    here = places.busy(planned, span, zone)
    best = min(
        (each for each in candidates if each < end),
        key=lambda each: (round(places.busy(each, span, zone), 6), abs(each - planned)),
        default=planned,
    )
    there = places.busy(best, span, zone)
    if there > here * _GAIN:
        return Choice(planned, f"not moved: no time of its window is much quieter, by {known} past jobs")
    return Choice(
        best,
        f"moved from {wall_of(planned, zone):%H:%M} to {wall_of(best, zone):%H:%M}: {there / here:.0%} as busy there, by {known} past jobs",
    )


def _places(samples: Sequence[Sample], zone: datetime.tzinfo) -> _Places:
    by_host: dict[str, list[float]] = defaultdict(list)
    for each in samples:
        if each.load is not None:
            by_host[each.host].append(each.load)
    middle = {host: statistics.median(found) for host, found in by_host.items()}
    loads = [
        (_slot(each.at, zone), (each.load + _NOTHING) / (middle[each.host] + _NOTHING))
        for each in samples
        if each.load is not None
    ]
    took = [(_slot(each.at, zone), each.duration_s) for each in samples if each.duration_s is not None]
    usual = statistics.median(duration for _, duration in took) if took else 0.0
    return _Places(
        _means(loads), _means([(slot, duration / usual) for slot, duration in took] if usual else [])
    )


def _means(values: Sequence[tuple[int, float]]) -> dict[int, float]:
    found: dict[int, list[float]] = defaultdict(list)
    for slot, value in values:
        found[slot].append(value)
    return {slot: statistics.fmean(each) for slot, each in found.items()}


def _slot(instant: datetime.datetime, zone: datetime.tzinfo) -> int:
    wall = wall_of(instant, zone)
    return (wall.hour * 60 + wall.minute) // _SLOT_MINUTES
