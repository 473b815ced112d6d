"""A copy of the catalog for people who may only look: without secrets, and opened without a write.

The catalog itself cannot be read by somebody who may not write its folder: its write-ahead log wants a file there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

import aiosqlite

from engine.catalog.opening import Schema, translated
from engine.errors import CatalogVersionError

SHOWN: Final = frozenset(
    {
        "hosts", "sources", "storages", "plans", "backups", "copies", "tags", "proofs", "jobs", "slots", "job_log", "workers", "settings",
        "proof_standings", "job_counts", "audit", "audit_blocks", "alerts", "silences", "windows", "schedules", "schedule_runs",
        "host_loads", "log_runs", "log_forks", "log_heads", "log_states", "log_tails", "bases",
    }
)  # fmt: skip
"""Tables that readers see. A new one is empty in their copy until it is written here."""
EMPTIED: Final = frozenset({"secrets", "host_keys", "pack_proofs", "destinations", "notices", "deliveries"})
"""Tables that they do not see."""
_STATE: Final = "copied-state"
_SHOWN_SETTINGS: Final = ("uncovered", "known-since", "pause", "alerts-evaluated")
_SHOWN_BEGINNINGS: Final = ("storage-seen.", "host-seen.", "back.")
"""Settings that a status is made of."""


def state_of(path: Path) -> str:
    """The state of the catalog that a copy is of; empty where there is no copy, or none that can be read. Blocks."""
    try:
        with closing(sqlite3.connect(_uri(path), uri=True)) as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (_STATE,)).fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def leave_secrets_out(path: Path, state: str) -> None:
    """Empties what readers do not see, in a copy that nobody else has open; what was there is overwritten. `state` is remembered in it.

    Blocks. Raises: CatalogError.
    """
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        for table in tables:
            if table not in SHOWN:
                connection.execute(f'DELETE FROM "{table}"')  # noqa: S608 -- a name out of the catalog's own schema
        shown = ", ".join("?" * len(_SHOWN_SETTINGS))
        others = " AND substr(name, 1, ?) <> ?" * len(_SHOWN_BEGINNINGS)
        connection.execute(
            f"DELETE FROM settings WHERE name NOT IN ({shown}){others}",  # noqa: S608 -- question marks
            (*_SHOWN_SETTINGS, *(value for each in _SHOWN_BEGINNINGS for value in (len(each), each))),
        )
        connection.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (_STATE, state))


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


@asynccontextmanager
async def open_copy(path: Path, schema: Schema) -> AsyncIterator[aiosqlite.Connection]:
    """Opens a copy that is never written, but replaced. Raises: CatalogError, CatalogVersionError where another version made it."""
    with translated(path):
        connection = await aiosqlite.connect(_uri(path), uri=True, isolation_level=None)
    try:
        with translated(path):
            ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if version != schema.version:
            raise CatalogVersionError(
                f"the copy {path} is of version {version} of the catalog, and this program reads {schema.version}",
                hint="let the owner's holdfast and this one be of one version",
            )
        yield connection
    finally:
        await connection.close()
