"""A clock that moves only by the waits that it is asked for, so that hours of retries and limits pass in a test at once."""

from __future__ import annotations

import asyncio
import datetime

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class WaitingClock:
    """A `Clock` whose `sleep` moves it. `waits` keeps the spans, in seconds, in the order they were asked for."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._passed_s = 0.0

    def now(self) -> datetime.datetime:
        """BEGIN, and what has passed since."""
        return BEGIN + datetime.timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """Seconds that have passed."""
        return self._passed_s

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """It stands in Greenwich."""
        return datetime.UTC

    def advance(self, span_s: float) -> None:
        """Lets time pass that nobody waited for."""
        self._passed_s += span_s

    async def sleep(self, span_s: float) -> None:
        """Lets the span pass after giving other tasks a turn; cancelled in that turn, it passes nothing."""
        self.waits.append(span_s)
        await asyncio.sleep(0)
        self._passed_s += span_s
