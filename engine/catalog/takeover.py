"""Taking over what another catalog knew: a copy of it, of the same version, is attached for one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiosqlite

DEFINED: Final = ("hosts", "sources", "storages", "plans", "host_keys", "settings")
KNOWN: Final = ("backups", "copies", "tags", "proofs", "pack_proofs", "jobs", "job_log")
SEALED: Final = ("secrets",)
"""With the audit log, whose key is one of them."""
_ONLY: Final = {
    # What was under way when the copy was made is not under way here.
    "jobs": "WHERE status NOT IN ('queued', 'running')",
    "job_log": "WHERE job_id IN (SELECT job_id FROM main.jobs)",
    # A log that was begun here goes on; two cannot be made one.
    "audit": "WHERE NOT EXISTS (SELECT 1 FROM main.audit)",
}


async def take_over(connection: aiosqlite.Connection, path: Path, tables: Sequence[str]) -> int:
    """Adds the rows of these tables that are not here yet; how many. All of it or nothing. Raises: sqlite3.Error.

    Without the audit log that goes with them, backups lose their job: those with one are held against the log that is here.
    """
    await connection.execute("ATTACH DATABASE ? AS copy", (str(path),))
    try:
        try:
            await connection.execute("BEGIN IMMEDIATE")
            is_log_taken = "audit" in tables and not await connection.execute_fetchall(
                "SELECT 1 FROM main.audit LIMIT 1"
            )
            taken = 0
            for table in tables:
                values = {} if is_log_taken or table != "backups" else {"job_id": "''"}
                taken += await _take(connection, table, values)
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise
    finally:
        await connection.execute("DETACH DATABASE copy")
    return taken


async def _take(connection: aiosqlite.Connection, table: str, values: Mapping[str, str]) -> int:
    found = [row[1] for row in await connection.execute_fetchall(f"PRAGMA main.table_info({table})")]
    columns = ", ".join(found)
    taken = ", ".join(values.get(each, each) for each in found)
    cursor = await connection.execute(
        f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {taken} FROM copy.{table} {_ONLY.get(table, '')}"  # noqa: S608 -- names of our own
    )
    return cursor.rowcount
