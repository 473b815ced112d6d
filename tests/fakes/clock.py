"""A clock that stands still until a test moves it."""

from __future__ import annotations

import datetime

START = datetime.datetime(2026, 11, 20, 14, 5, 6, 789_012, tzinfo=datetime.UTC)


class FakeClock:
    """Tells the time that the test says. Satisfies `engine.clock.Clock`."""

    def __init__(self, start: datetime.datetime = START, offset: datetime.timezone = datetime.UTC) -> None:
        self._now = start
        self._monotonic = 1_000.0
        self._offset = offset

    def now(self) -> datetime.datetime:
        """The instant that the test set, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only `advance` moves."""
        return self._monotonic

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """The same offset at all times."""
        return self._offset

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += datetime.timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as a person or a time server does; no time passes."""
        self._now += datetime.timedelta(seconds=seconds)
