"""The day ahead of all schedules: when each starts, and where several work at one host at once. Pure, but for what it is given."""

from __future__ import annotations

import datetime
import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.jobs.preview import Preview
from engine.model.timetables import DayAhead, Lane

_MOST: Final = 20_000
"""Starts that are looked at, of all schedules together."""
_MOST_OF_ONE: Final = 1_500
"""One a minute, and a few."""


class _Work(NamedTuple):
    begin: datetime.datetime
    end: datetime.datetime
    schedule: str


class _Busiest(NamedTuple):
    schedules: int
    at: datetime.datetime
    host: str


def day_ahead(preview: Preview, begin: datetime.datetime, end: datetime.datetime) -> DayAhead:
    """All starts before `end`. A fleet's may take a second: to be called in a thread."""
    starts: dict[str, list[datetime.datetime]] = {}
    by_host: dict[str, list[_Work]] = {}
    left = _MOST
    for name in sorted(preview.names):
        ahead = itertools.islice(preview.starts(name), min(left, _MOST_OF_ONE))
        found = list(itertools.takewhile(lambda at: at < end, ahead))
        left -= len(found)
        starts[name] = found
        lasts = datetime.timedelta(seconds=preview.lasts_s(name))
        for host in preview.hosts(name) if found else ():
            by_host.setdefault(host, []).extend(_Work(at, at + lasts, name) for at in found)
    busiest = _Busiest(0, begin, "")
    meeting: dict[str, dict[str, set[datetime.datetime]]] = {}
    for host, works in by_host.items():
        busiest = max(busiest, _meet(host, works, meeting), key=lambda each: each.schedules)
    lanes = tuple(_lane(preview, name, found, meeting.get(name, {})) for name, found in starts.items())
    if busiest.schedules < 2:
        return DayAhead(begin, end, lanes, is_whole=left > 0)
    return DayAhead(begin, end, lanes, busiest.at, busiest.host, busiest.schedules, left > 0)


def _lane(
    preview: Preview,
    name: str,
    starts: Sequence[datetime.datetime],
    meeting: Mapping[str, set[datetime.datetime]],
) -> Lane:
    shared = {at for each in meeting.values() for at in each}
    hosts = tuple(sorted(meeting))
    return Lane(
        name, preview.action(name), tuple(starts), preview.lasts_s(name), tuple(sorted(shared)), hosts
    )


def _meet(
    host: str, works: Sequence[_Work], meeting: dict[str, dict[str, set[datetime.datetime]]]
) -> _Busiest:
    """Adds to `meeting`, by schedule and host, the starts of those that are not alone; when most schedules work at once.

    Each is looked at twice, however many meet: thousands of schedules may start at one host at midnight.
    """
    ends: list[tuple[datetime.datetime, _Work]] = []
    counts: Counter[str] = Counter()
    alone: dict[str, list[_Work]] = {}
    busiest = _Busiest(0, works[0].begin, host)

    def mark(work: _Work) -> None:
        meeting.setdefault(work.schedule, {}).setdefault(host, set()).add(work.begin)

    for work in sorted(works):
        while ends and ends[0][0] <= work.begin:
            _, over = heapq.heappop(ends)
            counts[over.schedule] -= 1
            if not counts[over.schedule]:
                del counts[over.schedule]
                alone.pop(over.schedule, None)
        others = [each for each in alone if each != work.schedule]
        for each in others:
            for one in alone.pop(each):
                if one.end > work.begin:
                    mark(one)
        if len(counts) > (work.schedule in counts):
            mark(work)
        else:
            alone.setdefault(work.schedule, []).append(work)
        counts[work.schedule] += 1
        heapq.heappush(ends, (work.end, work))
        if len(counts) > busiest.schedules:
            busiest = _Busiest(len(counts), work.begin, host)
    return busiest
