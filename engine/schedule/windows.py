"""Hours of the day in which something may start: `22:00-06:00`, several with commas between, by the clock of a zone."""

from __future__ import annotations

import datetime
import functools
import re
from typing import Final, NamedTuple

from engine.errors import UsageError
from engine.schedule.zones import instant_of, wall_of

_DAY_MINUTES: Final = 1440
_WINDOW: Final = re.compile(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})", re.ASCII)
_DAY: Final = datetime.timedelta(days=1)


class Window(NamedTuple):
    """From a minute of the day to another one, which is no longer in it; over midnight where that is not later."""

    begin: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether the minute of the day lies in it."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Window, ...]:
    """The windows; none for an empty text. Raises: UsageError."""
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _WINDOW.fullmatch(part)
        numbers = [int(each) for each in match.groups()] if match else [99]
        begin, end = (
            numbers[0] * 60 + numbers[1] if match else -1,
            numbers[2] * 60 + numbers[3] if match else -1,
        )
        is_good = (
            match is not None
            and numbers[1] < 60
            and numbers[3] < 60
            and begin < _DAY_MINUTES
            and end <= _DAY_MINUTES
        )
        if not is_good or begin == end:
            raise UsageError(
                f"{part!r} are no hours of the day", hint="say 22:00-06:00, several with commas between"
            )
        found.append(Window(begin, end % _DAY_MINUTES))
    return tuple(found)


def is_open(windows: tuple[Window, ...], instant: datetime.datetime, zone: datetime.tzinfo) -> bool:
    """Whether something may start then. Always, where there are no windows."""
    wall = wall_of(instant, zone)
    return not windows or any(each.holds(wall.hour * 60 + wall.minute) for each in windows)


def next_open(
    windows: tuple[Window, ...], instant: datetime.datetime, zone: datetime.tzinfo
) -> datetime.datetime:
    """The first instant, not before this one, at which something may start."""
    if is_open(windows, instant, zone):
        return instant
    day = wall_of(instant, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    openings = [
        instant_of(day + ahead * _DAY + datetime.timedelta(minutes=each.begin), zone)
        for ahead in range(3)
        for each in windows
    ]
    # One that begins in the hour that the clocks pass over opens at its end, and may have ended by then.
    return min(each for each in openings if each > instant and is_open(windows, each, zone))


def closing(
    windows: tuple[Window, ...], instant: datetime.datetime, zone: datetime.tzinfo
) -> datetime.datetime:
    """When the window that is open at `instant` closes."""
    wall = wall_of(instant, zone)
    minute = wall.hour * 60 + wall.minute
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = []
    for each in windows:
        if each.holds(minute):
            end = day + datetime.timedelta(minutes=each.end)
            ends.append(instant_of(end if end > wall else end + _DAY, zone))
    return max(ends)


def opening(
    windows: tuple[Window, ...], instant: datetime.datetime, zone: datetime.tzinfo
) -> datetime.datetime:
    """When the window that is open at `instant` was opened."""
    wall = wall_of(instant, zone)
    minute = wall.hour * 60 + wall.minute
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = []
    for each in windows:
        if each.holds(minute):
            begin = day + datetime.timedelta(minutes=each.begin)
            begins.append(instant_of(begin if begin <= wall else begin - _DAY, zone))
    return min(begins)
