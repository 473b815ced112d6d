"""A catalog whose disk is full, or whose file system is read-only: opened all the same by what only reads.

In its usual mode SQLite wants a file of its own beside the catalog, which it cannot make there. Without that file it reads a catalog that
nobody else has open (sqlite.org/wal.html, "Use of WAL Without Shared-Memory"); one that somebody has open has the file already.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.catalog.opening import Schema

_LOCKED: Final = ("?mode=rw", "?mode=ro&vfs=unix-none")
"""With a lock that lasts; and where that needs a write, without one: nobody writes on such a file system."""
_WITHOUT_LOG: Final = "?mode=ro&immutable=1"


def connect(path: Path, schema: Schema) -> sqlite3.Connection | None:
    """A connection for a short look, during which no other process opens the catalog; its user closes it. None where it cannot be read, or
    is of another version."""
    ways = [(each, True) for each in _LOCKED]
    if not _has_log(path):
        ways.append((_WITHOUT_LOG, False))
    for words, is_exclusive in ways:
        connection = _attempt(f"{path.absolute().as_uri()}{words}", schema, is_exclusive=is_exclusive)
        if connection is not None:
            return connection
    return None


def _has_log(path: Path) -> bool:
    """Whether there are changes that are not in the catalog's own file yet."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _attempt(uri: str, schema: Schema, *, is_exclusive: bool) -> sqlite3.Connection | None:
    setting: Sequence[str] = ("PRAGMA locking_mode = EXCLUSIVE",) if is_exclusive else ()
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for each in setting:
                connection.execute(each)
            if connection.execute("PRAGMA user_version").fetchone() == (schema.version,):
                return connection
        except sqlite3.Error:
            connection.close()
            raise
        connection.close()
    return None
