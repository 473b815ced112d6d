"""Which process this is, and whether another one still lives: what a lock's proof of death rests on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_PROC = Path("/proc")
_START_FIELD = 19
"""Of /proc/PID/stat behind the name: when the process started, in clock ticks since the machine did (proc(5), field 22)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from every other that ever ran on this machine or on another of the same name."""

    hostname: str
    boot_id: str
    """The kernel's random id of this start of the machine, and the number of the process's pid namespace: two containers share the first."""
    pid: int
    started: int
    """In clock ticks since the machine started; 0 where it cannot be told."""


class Processes(Protocol):
    """What knows the processes of this machine. Tests hand in one that knows what they say."""

    def this(self) -> ProcessIdentity:
        """The process that asks."""
        ...

    def started(self, pid: int) -> int | None:
        """When the process of that number started; None where there is none, 0 where it cannot be told."""
        ...


class MachineProcesses:
    """The processes of this machine, as /proc has them."""

    def this(self) -> ProcessIdentity:
        """The process that asks."""
        pid = os.getpid()
        return ProcessIdentity(platform.node(), _boot_id(), pid, self.started(pid) or 0)

    def started(self, pid: int) -> int | None:
        """When the process of that number started; None where there is none, 0 where it cannot be told."""
        try:
            status = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
            return int(status.rpartition(")")[2].split()[_START_FIELD])
        except (OSError, ValueError, IndexError):
            return 0 if _is_signalable(pid) else None


def _is_signalable(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _boot_id() -> str:
    """Empty where the kernel does not tell either part: then nothing is ever proved dead."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""
