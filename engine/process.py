"""Which process holds something, and whether it still lives: judged only where that can be proved.

A lease or a lock names its holder by the machine's name, the machine's start (boot id and process-id namespace), the process id, and when
the process started. All four together never come twice, so that a holder is dead for certain when this very start of this machine runs no
such process. Of another machine, or of another container, nothing can be said from here.
"""

from __future__ import annotations

import enum
import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATE_FIELD, _STARTED_FIELD = 0, 19
"""Fields of /proc/PID/stat counted from behind the program's name (proc(5): state is the 3rd of all, starttime the 22nd)."""


class Liveness(enum.Enum):
    """What can be said of a process from here."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process among all that ever ran anywhere. As text: `host:boot:pid:started`."""

    host: str
    boot: str
    """The boot id and the process-id namespace, joined by `+`; empty where the system tells none."""
    pid: int
    started: int
    """Clock ticks between the machine's start and the process's; 0 where the system does not tell."""

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        pid = os.getpid()
        _, started = _read_stat(pid)
        return cls(platform.node(), boot(), pid, started)

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity | None:
        """The identity that `str()` wrote, or None where the text is none."""
        host, *rest = text.rsplit(":", 3)
        if len(rest) != 3 or not (rest[1].isdecimal() and rest[2].isdecimal()):
            return None
        return cls(host, rest[0], int(rest[1]), int(rest[2]))

    def __str__(self) -> str:
        return f"{self.host}:{self.boot}:{self.pid}:{self.started}"

    def liveness(self) -> Liveness:
        """Whether the process lives; UNKNOWN for another machine's, start's or namespace's, and where the system does not tell."""
        here = boot()
        if not here or (self.host, self.boot) != (platform.node(), here):
            return Liveness.UNKNOWN
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return Liveness.DEAD
        except PermissionError:
            pass
        state, started = _read_stat(self.pid)
        if not started:
            return Liveness.UNKNOWN
        is_same = started == self.started and state not in ("Z", "X")
        return Liveness.ALIVE if is_same else Liveness.DEAD


@functools.cache
def boot() -> str:
    """The boot id and process-id namespace of this process, joined by `+`; empty where the system tells none."""
    try:
        boot_id = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot_id}+{namespace.removeprefix('pid:').strip('[]')}"


def _read_stat(pid: int) -> tuple[str, int]:
    """State letter and start time in clock ticks; ("", 0) where the process, or /proc, is not to be seen."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return "", 0
    fields = text.rpartition(b")")[2].split()
    return fields[_STATE_FIELD].decode(), int(fields[_STARTED_FIELD])
