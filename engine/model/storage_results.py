"""What came of making, testing and measuring a storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.model import logs
from engine.model.logs import LogHoldings


@dataclass(frozen=True, slots=True)
class StorageCreated:
    """A storage that was added: the password is set only where one was made, to be shown once."""

    name: str
    location: str
    repository_id: str
    is_new: bool
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StorageTest:
    """What a test of a storage measured."""

    storage: str
    latency_s: float
    """Of a small read."""
    upload_bytes_s: float
    download_bytes_s: float
    free_bytes: int | None
    login: str = ""
    """Which of several ways to log in was taken, for people."""


@dataclass(frozen=True, slots=True)
class LogUsage:
    """What a storage holds of one source's log."""

    source: str
    segments: int
    size_bytes: int
    """Before packing."""

    @classmethod
    def of(cls, source: str, held: LogHoldings) -> LogUsage:
        """All that is held, also of what was being written."""
        runs = (*held.runs, *held.tails)
        return cls(source, logs.segments_in(runs), sum(each.size_bytes for each in runs))


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """What a storage holds."""

    storage: str
    used_bytes: int
    raw_bytes: int
    """Backups and logs before packing, as often as they hold the same."""
    ratio: float
    free_bytes: int | None
    """What the storage has left, or its --max-size, where it tells."""
    backups: int
    growth_bytes_per_day: float | None = None
    """What backups added a day, over the last 30 days; None as long as there are less than two days of them."""
    days_until_full: float | None = None
    """At that growth; None where nothing grows, or the room is not known."""
    log_bytes: int = 0
    """Of `raw_bytes`, all logs."""
    logs: Sequence[LogUsage] = ()
    """By source, as far as this catalog knows."""
