"""What can be said of a lock's holder, from the lock, the time, and what this machine knows of its processes."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.format.lock_file import Lock
from engine.process import Liveness, ProcessIdentity

STALE_AGE: Final = datetime.timedelta(minutes=30)
"""restic's: nobody who lives lets a lock grow this old."""

MISSED_REFRESHES_AGE: Final = datetime.timedelta(minutes=11)
"""Two refreshes missed. With its process gone as well, a lock that proves no boot id is dead by two signs."""

_MOST_PID: Final = 1 << 22
"""Linux's own limit; a lock is a stranger's text."""
_PROC: Final = Path("/proc")


class Verdict(StrEnum):
    """What is known of a lock's holder."""

    ALIVE = "alive"
    """Its process runs on this machine."""
    UNKNOWN = "unknown"
    """It may live: on another machine, or in another container."""
    DEAD = "dead"
    """Its process on this machine has ended."""
    STALE = "stale"
    """It was not refreshed for 30 minutes, and its process is not known to run on this machine."""
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    """A file of no bytes, which restic ignores, and so do we."""

    @property
    def is_removable(self) -> bool:
        """Whether taking the lock away can hurt nobody."""
        return self in (Verdict.DEAD, Verdict.STALE)


@dataclass(frozen=True, slots=True)
class LockInfo:
    """One lock of a repository."""

    name: str
    lock: Lock | None
    """None where the file is empty or cannot be read."""
    verdict: Verdict
    reason: str
    """For people: `its process 4711 has ended`."""


def judge(lock: Lock, now: datetime.datetime) -> tuple[Verdict, str]:
    """What can be said of the holder, and why.

    A process is proved dead only by the same machine in the same start and the same pid namespace. restic's locks name neither: for those
    the process must be gone and two refreshes be missed, for a container of the same host name looks dead to its neighbour.
    """
    age = now - lock.time
    minutes = int(age.total_seconds() // 60)
    is_possible = 0 < lock.pid < _MOST_PID
    if is_possible and lock.boot_id and lock.started:
        liveness = ProcessIdentity(lock.hostname, lock.boot_id, lock.pid, lock.started).liveness()
        if liveness is Liveness.DEAD:
            return Verdict.DEAD, f"its process {lock.pid} has ended"
        if liveness is Liveness.ALIVE:
            return Verdict.ALIVE, f"its process {lock.pid} is running"
    if age >= STALE_AGE:
        return Verdict.STALE, f"it was not refreshed for {minutes} minutes"
    is_ours = is_possible and not lock.boot_id and lock.hostname == platform.node()
    if (
        is_ours
        and age >= MISSED_REFRESHES_AGE
        and not (_PROC / str(lock.pid)).exists()
        and (_PROC / "1").exists()
    ):
        return Verdict.DEAD, f"its process {lock.pid} is gone and it was not refreshed for {minutes} minutes"
    return Verdict.UNKNOWN, f"its holder on {lock.hostname or 'an unnamed host'} may be alive"
