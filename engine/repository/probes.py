"""Surviving restic's look at whether a lock's holder lives.

`restic unlock` sends SIGHUP to the process of each lock that this machine's name stands in; restic itself ignores it (internal/repository/
lock.go and lock_unix.go). Left to its default the signal would end a backup whose lock was in order.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_holders = 0


@contextmanager
def surviving_probes() -> Iterator[None]:
    """Ignores SIGHUP while at least one lock is held, unless the program has a handler of its own.

    A handler that does nothing, rather than SIG_IGN, because the latter would be inherited by programs that are started meanwhile.
    """
    global _holders  # noqa: PLW0603 -- the disposition of a signal belongs to the whole process as well
    is_ours = threading.current_thread() is threading.main_thread()
    if is_ours:
        _holders += 1
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _ignore)
    try:
        yield
    finally:
        if is_ours:
            _holders -= 1
            if not _holders and signal.getsignal(signal.SIGHUP) is _ignore:
                signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
