"""Snapshots that this process has read: a snapshot's name is the digest of its file, so what a name stands for never changes.

A worker that forgets by rule reads all snapshots of a storage each night, and each is a request. Whoever proves what a storage holds reads them there.
"""

from __future__ import annotations

from typing import Final

from engine.format.snapshot import Snapshot

MOST: Final = 4096
"""Two KiB each."""


class SnapshotMemory:
    """Those that were asked for last. For one thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[str, Snapshot] = {}

    def get(self, name: str) -> Snapshot | None:
        """The snapshot of that full id, if it is known."""
        found = self._known.pop(name, None)
        if found is not None:
            self._known[name] = found
        return found

    def put(self, name: str, snapshot: Snapshot) -> None:
        """Keeps one; the one that was asked for longest ago makes room."""
        self._known.pop(name, None)
        self._known[name] = snapshot
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


SNAPSHOTS: Final = SnapshotMemory()
"""That of this process, for all repositories: no two files have the same digest."""
