"""Whether a backup is oddly large or small for its source, by the source's own history, in words that a person can check.

Robust statistics: medians, and the median distance from them, which a few odd backups do not move. What counts is the logarithm of the ratio
to what was to be expected: half and twice are equally far. To be expected is the median of the last seven backups, or, where that explains
the source's history better, the median of those of the same day in the weeks before: a Sunday is held against Sundays. Growth shifts all ratios alike,
and so their median, from which distances are counted. Whatever rhythm there is: how far it went twice before is not odd the third time.
"""

from __future__ import annotations

import bisect
import datetime
import heapq
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LEAST_HISTORY: Final = 8
"""Backups before: of fewer nothing is said."""
_LEAST_SPAN: Final = datetime.timedelta(days=15)
"""So long they must go back, that two weekends are among them …"""
_MANY: Final = 60
"""… unless there are so many."""
_LEVEL: Final = 7
_WEEKS: Final = 5
_LEAST_WEEKS: Final = 3
_LEAST_RATIOS: Final = 6
_WEEK: Final = datetime.timedelta(days=7)
_HALF_DAY: Final = datetime.timedelta(hours=12)
LEAST_FACTOR: Final = 1.5
"""Half as large again, or a third less: what is nearer is never odd, however steady the source was."""
_TIMES: Final = 6.0
"""So many standard deviations, as the median distance tells them, are odd."""
_SIGMA: Final = 1.4826
"""Standard deviations of a normal distribution in one median distance."""
_BETTER: Final = 0.8
"""The week explains a history that comes so much nearer to it."""
_MORE: Final = 1.1
_LEAST_BEFORE: Final = 3
"""Backups before one that tells how far sizes go: the first two have nothing to be held against."""
_SMALL_BYTES: Final = 1 << 16
"""Added to each size: among small ones, a few KiB more or less mean nothing."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A backup's instant and size."""

    at: datetime.datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Oddity:
    """A size that is out of the ordinary."""

    size_bytes: int
    usual_bytes: int
    """What was to be expected."""
    least_bytes: int
    most_bytes: int
    """Between which it would not have been odd."""
    is_weekly: bool
    """Whether it was held against the same day of the weeks before."""

    @property
    def change(self) -> float:
        """-0.6 for 60 % less."""
        return self.size_bytes / max(self.usual_bytes, 1) - 1


def might_be_odd(newest: Sized, recent: Sequence[Sized]) -> bool:
    """Whether `look` could find it odd with more history than the recent backups: cheap, for those that are nothing special.

    That is who is near the last seven and near the one of a week ago.
    """
    if not recent:
        return False
    logs = [math.log(each.size_bytes + _SMALL_BYTES) for each in recent]
    held = [_level(logs, len(logs))]
    held += [
        log for each, log in zip(recent, logs, strict=True) if abs(newest.at - each.at - _WEEK) <= _HALF_DAY
    ]
    log = math.log(newest.size_bytes + _SMALL_BYTES)
    return any(abs(log - each) > math.log(LEAST_FACTOR) for each in held)


def look(newest: Sized, history: Sequence[Sized]) -> Oddity | None:
    """What is odd about the newest backup; None where nothing is, or nothing can be said. `history` is what was before, oldest first."""
    if len(history) < LEAST_HISTORY or (len(history) < _MANY and newest.at - history[0].at < _LEAST_SPAN):
        return None
    points = [*history, newest]
    logs = [math.log(each.size_bytes + _SMALL_BYTES) for each in points]
    times = [each.at for each in points]
    last = len(points) - 1
    level, week = _level(logs, last), _week(logs, times, last)
    near = math.log(LEAST_FACTOR)
    expected = [level] if week is None else [level, week]
    if all(abs(logs[last] - each) <= near for each in expected):
        return None
    levels = [logs[at] - _level(logs, at) for at in range(_LEAST_BEFORE, last)]
    weeks = [
        logs[at] - found for at in range(_LEAST_BEFORE, last) if (found := _week(logs, times, at)) is not None
    ]
    is_weekly = week is not None and len(weeks) >= _LEAST_RATIOS and _reach(weeks) <= _BETTER * _reach(levels)
    base, ratios = (week, weeks) if is_weekly and week is not None else (level, levels)
    middle = statistics.median(ratios)
    usual = base + middle
    scatter = _TIMES * _SIGMA * statistics.median(abs(each - middle) for each in ratios)
    above = max(near, scatter, _seen_twice(each - middle for each in ratios))
    below = max(near, scatter, _seen_twice(middle - each for each in ratios))
    if -below <= logs[last] - usual <= above:
        return None
    return Oddity(
        newest.size_bytes, _bytes(usual), _bytes(usual - below), _bytes(usual + above), is_weekly=is_weekly
    )


def _bytes(logarithm: float) -> int:
    return max(0, round(math.exp(logarithm)) - _SMALL_BYTES)


def _level(logs: Sequence[float], at: int) -> float:
    return statistics.median(logs[max(0, at - _LEVEL) : at])


def _week(logs: Sequence[float], times: Sequence[datetime.datetime], at: int) -> float | None:
    """The median of what was taken a week before, two, three …, half a day more or less; None where there are too few such weeks."""
    found: list[float] = []
    count = 0
    for number in range(1, _WEEKS + 1):
        middle = times[at] - number * _WEEK
        begin = bisect.bisect_left(times, middle - _HALF_DAY, hi=at)
        end = bisect.bisect_right(times, middle + _HALF_DAY, hi=at)
        found += logs[begin:end]
        count += begin < end
    return statistics.median(found) if count >= _LEAST_WEEKS else None


def _reach(ratios: Sequence[float]) -> float:
    """How far from the median nine of ten lie: days of the week that differ are fewer than half, so that the median distance does not see them."""
    middle = statistics.median(ratios)
    return sorted(abs(each - middle) for each in ratios)[(len(ratios) * 9) // 10]


def _seen_twice(distances: Iterable[float]) -> float:
    """How far it went at least twice before, and a tenth more: what comes again and again is not odd."""
    return _MORE * heapq.nlargest(2, distances)[-1]
