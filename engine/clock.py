"""Time as an argument: nothing in holdfast reads a clock but through this protocol."""

from __future__ import annotations

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
