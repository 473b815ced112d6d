"""What a shipment of logs has in its hands: what a storage holds, a segment on its way, and what is committed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.jobs.log_store import LogTree, StoredSegment
from engine.jobs.opening import Opened
from engine.model.logs import LogFork, LogRun
from engine.repository.writer import WriteSession
from engine.sources.logs import LogLook, SegmentStream, WaitingSegment


@dataclass(slots=True)
class Held:
    """What one storage has, while it is shipped to."""

    opened: Opened
    snapshot_id: str
    """The log snapshot that has it; empty where there is none."""
    tree: LogTree
    runs: list[LogRun]
    tails: list[LogRun]

    @property
    def name(self) -> str:
        """The storage's."""
        return self.opened.definition.name


@dataclass(frozen=True, slots=True)
class Reading:
    """One segment on its way."""

    session: WriteSession
    stream: SegmentStream
    waiting: WaitingSegment
    look: LogLook


@dataclass(slots=True)
class Batch:
    """What is committed together."""

    stored: list[StoredSegment] = field(default_factory=list)
    forks: list[LogFork] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, stored: StoredSegment, forks: Sequence[LogFork]) -> None:
        """One more."""
        self.stored.append(stored)
        self.forks += forks
        self.size_bytes += stored.size_bytes
