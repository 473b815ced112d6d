"""Taking over what another catalog knew: a copy of it, of the same version, is attached for one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiosqlite

DEFINED: Final = (
    "hosts",
    "sources",
    "storages",
    "plans",
    "schedules",
    "host_keys",
    "settings",
    "destinations",
    "silences",
    "windows",
)
KNOWN: Final = (
    "backups",
    "copies",
    "tags",
    "proofs",
    "proof_standings",
    "pack_proofs",
    "jobs",
    "job_log",
    "job_counts",
    "schedule_runs",
    "log_runs",
    "log_tails",
    "log_forks",
    "log_heads",
    "log_states",
    "bases",
)
SEALED: Final = ("secrets",)
"""With the audit log, whose key is one of them."""
AUDIT: Final = ("audit_blocks", "audit")
"""In this order: whether a log was begun here shows in the second."""
_ONLY: Final = {
    # What was under way when the copy was made is not under way here.
    "jobs": "WHERE status NOT IN ('queued', 'running')",
    "schedule_runs": "WHERE outcome <> 'open'",
    "job_log": "WHERE job_id IN (SELECT job_id FROM main.jobs)",
    # A log that was begun here goes on, where it is not joined to the copy's.
    "audit_blocks": "WHERE NOT EXISTS (SELECT 1 FROM main.audit)",
    "audit": "WHERE NOT EXISTS (SELECT 1 FROM main.audit)",
}


@dataclass(frozen=True, slots=True)
class Join:
    """An audit log that was begun here, which the copy's takes in. Its key goes: all is under the copy's from then on."""

    key_name: str
    """Under which secrets hold the key."""
    rows: int
    """That were begun here: with others the join is void."""
    joined: Sequence[tuple[int, str, bytes, bytes]]
    """What is to follow the copy's log."""


async def take_over(
    connection: aiosqlite.Connection, path: Path, tables: Sequence[str], join: Join | None = None
) -> int:
    """Adds the rows of these tables that are not here yet; how many. All of it or nothing. Raises: sqlite3.Error.

    Without the audit log that goes with them, backups lose their job: those with one are held against the log that is here.
    """
    await connection.execute("ATTACH DATABASE ? AS copy", (str(path),))
    try:
        try:
            await connection.execute("BEGIN IMMEDIATE")
            if join is not None:
                await _make_way(connection, join)
            is_log_taken = "audit" in tables and not await connection.execute_fetchall(
                "SELECT 1 FROM main.audit LIMIT 1"
            )
            taken = 0
            for table in tables:
                values = {} if is_log_taken or table != "backups" else {"job_id": "''"}
                taken += await _take(connection, table, values)
            if join is not None:
                await connection.executemany(
                    "INSERT INTO main.audit (sequence, record, previous, hash) VALUES (?, ?, ?, ?)",
                    join.joined,
                )
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise
    finally:
        await connection.execute("DETACH DATABASE copy")
    return taken


async def _make_way(connection: aiosqlite.Connection, join: Join) -> None:
    """Takes the log that was begun here, and its key, out of the way. Raises: sqlite3.OperationalError where somebody wrote to it meanwhile."""
    ((last,),) = await connection.execute_fetchall("SELECT max(sequence) FROM main.audit")
    if last != join.rows:
        raise sqlite3.OperationalError("the audit log was written to meanwhile: try again")
    await connection.execute("DELETE FROM main.audit")
    await connection.execute("DELETE FROM main.audit_blocks")
    await connection.execute("DELETE FROM main.secrets WHERE name = ?", (join.key_name,))


async def _take(connection: aiosqlite.Connection, table: str, values: Mapping[str, str]) -> int:
    found = [row[1] for row in await connection.execute_fetchall(f"PRAGMA main.table_info({table})")]
    columns = ", ".join(found)
    taken = ", ".join(values.get(each, each) for each in found)
    cursor = await connection.execute(
        f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {taken} FROM copy.{table} {_ONLY.get(table, '')}"  # noqa: S608 -- names of our own
    )
    return cursor.rowcount
