"""A clock that goes with the event loop's time, so that looptime moves both, and that can jump."""

from __future__ import annotations

import asyncio
import datetime

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class LoopClock:
    """A `Clock` for tests under looptime: an `asyncio.sleep` of five minutes passes at once, here too."""

    def __init__(self) -> None:
        self._jumped = datetime.timedelta()

    def now(self) -> datetime.datetime:
        """BEGIN, what has passed in the loop since it began, and all jumps."""
        return BEGIN + datetime.timedelta(seconds=self.monotonic()) + self._jumped

    def monotonic(self) -> float:
        """The loop's time; 0 outside of one."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """It stands in Greenwich."""
        return datetime.UTC

    def jump(self, span_s: float) -> None:
        """Sets the calendar forward or back, as a suspended machine or a corrected clock does; the monotonic clock stands still."""
        self._jumped += datetime.timedelta(seconds=span_s)
