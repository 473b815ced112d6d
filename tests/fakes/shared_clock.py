"""A clock that several processes share, and that a test moves forward: the waits between what happens are cut out, what happens takes its time.

Besides that it goes as the machine's does, so that a time limit of a connection or of a command is as long as it says. Both of its sides are
moved together, as if the time had passed; `LoopPolicy` has the timers of asyncio go by it too.
"""

from __future__ import annotations

import asyncio
import datetime
import mmap
import struct
from pathlib import Path

from engine.clock import SystemClock

_AHEAD = struct.Struct("d")


class SharedClock(SystemClock):
    """The machine's clock, so many seconds ahead as a file says."""

    def __init__(self, path: Path) -> None:
        """`path` is made where it is not there."""
        path.touch()
        with path.open("r+b") as file:
            file.truncate(_AHEAD.size)
            self._ahead = mmap.mmap(file.fileno(), _AHEAD.size)

    def now(self) -> datetime.datetime:
        """The machine's time, moved."""
        return super().now() + datetime.timedelta(seconds=self._ahead_s)

    def monotonic(self) -> float:
        """The machine's, moved as far."""
        return super().monotonic() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Lets time pass at once, in all processes: what sleeps there sees it when it next wakes."""
        _AHEAD.pack_into(self._ahead, 0, self._ahead_s + seconds)

    @property
    def _ahead_s(self) -> float:
        (found,) = _AHEAD.unpack_from(self._ahead)
        return float(found)


class LoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Event loops whose time is the clock's."""

    def __init__(self, clock: SharedClock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """One that nobody uses yet."""
        made = asyncio.SelectorEventLoop()
        made.time = self._clock.monotonic  # type: ignore[method-assign]
        return made
