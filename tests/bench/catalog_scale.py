"""A catalog of very many backups, written through the catalog's own interface."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import sqlite3
from pathlib import Path
from typing import Final

from engine.catalog.catalog import Catalog
from engine.clock import SystemClock
from engine.model import names
from engine.model.backup import Backup, BackupStatus, Copy
from tests.bench.measure import run_quietly
from tests.bench.programs import HOLDFAST

_SOURCES = 50
_STEP = datetime.timedelta(minutes=7)
_NEWEST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_MAGIC = b"SQLite format 3\0"


def _backup(draw: random.Random, number: int) -> Backup:
    created_at = _NEWEST - number * _STEP
    size = draw.randrange(1 << 34)
    return Backup(
        backup_id=names.new_id(draw.randbytes),
        source=f"source-{number % _SOURCES}",
        host=f"host-{number % 7}",
        kind="incremental",
        status=BackupStatus.COMPLETED,
        created_at=created_at,
        completed_at=created_at + datetime.timedelta(seconds=size >> 28),
        size_bytes=size,
        added_bytes=size >> 6,
        files_new=number % 100,
        files_changed=number % 10,
        files_unmodified=10_000,
        copies=(Copy("near", draw.randbytes(32).hex()), Copy("far", draw.randbytes(32).hex())),
        tags=("nightly",) if number % 3 == 0 else (),
    )


async def _add(path: Path, count: int) -> None:
    draw = random.Random(0)
    async with Catalog.open(path, SystemClock()) as catalog:
        await catalog.backups.add_many(_backup(draw, number) for number in range(count))


def fill(home: Path, count: int) -> None:
    """Makes a home by the command line, and adds `count` backups to its catalog."""
    run_quietly(HOLDFAST, "--home", home, "backups")
    (path,) = (found for found in home.rglob("*") if found.is_file() and found.read_bytes()[:16] == _MAGIC)
    asyncio.run(_add(path, count))


def multiply(home: Path, count: int, times: int) -> None:
    """Makes of the `count` backups of a home so many times as many, each further one older, by SQLite alone: a million in seconds."""
    with contextlib.closing(sqlite3.connect(home / "catalog.db", isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN"):
            connection.execute(statement)
        for table in ("backups", "copies"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = [_LATER.get(column, column) for column in columns]
            connection.execute(
                f"WITH RECURSIVE turn (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM turn WHERE n + 1 < :times) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM turn, {table}",
                {"times": times, "span": count * _STEP // datetime.timedelta(microseconds=1)},
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


_LATER: Final = {
    "backup_id": "substr(backup_id, 1, length(backup_id) - 5) || printf('%05d', n)",
    "created_at": "created_at - n * :span",
    "completed_at": "completed_at - n * :span",
}
"""What another turn has otherwise."""
