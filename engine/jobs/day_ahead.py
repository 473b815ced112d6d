"""The day ahead of all schedules: when each starts, and where several work at one host at once. Pure, but for what it is given."""

from __future__ import annotations

import datetime
import itertools
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
        for host in preview.hosts(name):
            by_host.setdefault(host, []).extend(_Work(at, at + lasts, name) for at in found)
    overlapping = {host: _overlapping(works) for host, works in by_host.items()}
    busiest = max(
        ((*_busiest(works), host) for host, works in by_host.items()),
        key=lambda each: each[0],
        default=(0, begin, ""),
    )
    lanes = tuple(_lane(preview, name, found, overlapping) for name, found in starts.items())
    is_shared = busiest[0] > 1
    return DayAhead(
        begin,
        end,
        lanes,
        busiest[1] if is_shared else None,
        busiest[2] if is_shared else "",
        busiest[0] if is_shared else 0,
        left > 0,
    )


def _lane(
    preview: Preview,
    name: str,
    starts: Sequence[datetime.datetime],
    overlapping: Mapping[str, set[tuple[str, datetime.datetime]]],
) -> Lane:
    hosts = [
        host
        for host in sorted(preview.hosts(name))
        if any(schedule == name for schedule, _ in overlapping.get(host, ()))
    ]
    shared = {at for host in hosts for schedule, at in overlapping[host] if schedule == name}
    return Lane(
        name, preview.action(name), tuple(starts), preview.lasts_s(name), tuple(sorted(shared)), tuple(hosts)
    )


def _overlapping(works: Sequence[_Work]) -> set[tuple[str, datetime.datetime]]:
    """The schedules and starts of those that are not alone."""
    found: set[tuple[str, datetime.datetime]] = set()
    running: list[_Work] = []
    for work in sorted(works):
        running = [each for each in running if each.end > work.begin]
        others = [each for each in running if each.schedule != work.schedule]
        if others:
            found.add((work.schedule, work.begin))
            found |= {(each.schedule, each.begin) for each in others}
        running.append(work)
    return found


def _busiest(works: Sequence[_Work]) -> tuple[int, datetime.datetime]:
    """How many schedules work at once at most, and since when."""
    best = (0, datetime.datetime.min.replace(tzinfo=datetime.UTC))
    running: list[_Work] = []
    for work in sorted(works):
        running = [*(each for each in running if each.end > work.begin), work]
        count = len({each.schedule for each in running})
        if count > best[0]:
            best = (count, work.begin)
    return best
