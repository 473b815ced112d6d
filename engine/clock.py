"""Time as an argument: nothing in holdfast reads a clock but through this protocol."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time. Tests hand in one that stands still or jumps."""

    def now(self) -> datetime.datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back. For spans, never for instants."""
        ...

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """The fixed offset from UTC that this machine's zone has at `instant`.

        restic's retention sorts snapshots into days by the offset written in their time, so snapshots carry this one.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime.datetime:
        """The present instant, aware, in UTC."""
        return datetime.datetime.now(datetime.UTC)  # noqa: TID251 -- the one place that may

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """The offset of the zone that this process runs in."""
        offset = instant.astimezone().utcoffset()
        return datetime.timezone(offset or datetime.timedelta())


JUMP_S = 5.0
"""A clock that is off by more than this against the time that passed was set."""
_LOOK_S = 1.0
_ENOUGH_S = 0.001
"""Less than this is no sleep for an event loop."""


async def sleep_until_set(clock: Clock, span_s: float) -> None:
    """Sleeps so long, or until the clock was set: what is good until an instant, a lease, has to be renewed then."""
    began, wall = clock.monotonic(), clock.now()
    while (left_s := span_s - (clock.monotonic() - began)) > _ENOUGH_S:
        await asyncio.sleep(min(left_s, _LOOK_S))
        passed_s = clock.monotonic() - began
        if abs((clock.now() - wall).total_seconds() - passed_s) > JUMP_S:
            return
