"""What tests of restores begin with: a database and a folder that were backed up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.definitions import LOCAL_HOST, Source
from engine.service import Engine
from tests.jobs.world import World


def make_database(path: Path, rows: int = 3) -> None:
    """A database of SQLite with so many orders; one that is there has them from now on."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (number INTEGER)")
        database.execute("DELETE FROM orders")
        database.executemany("INSERT INTO orders VALUES (?)", [(each,) for each in range(rows)])
        database.execute("CREATE TABLE IF NOT EXISTS customers (name TEXT)")
        database.commit()


def rows_of(path: Path) -> int:
    """How many orders it has."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM orders").fetchone()[0])


@pytest.fixture
async def storage(world: World) -> None:
    """`main`."""
    await world.add_storages("main")


@pytest.fixture
async def shop(world: World, storage: None, tmp_path: Path) -> Path:
    """A database of SQLite with three orders, backed up."""
    path = tmp_path / "shop.db"
    make_database(path)
    await world.engine.add_source(Source("shop", "sqlite", LOCAL_HOST, {"path": str(path)}))
    await world.one_backup("shop")
    return path


@pytest.fixture
async def tree(world: World, storage: None, tmp_path: Path) -> Path:
    """A folder with two files, backed up."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "first").write_text("one")
    (folder / "sub" / "second [2]").write_text("two")
    await world.add_files("tree", folder)
    await world.one_backup("tree")
    return folder


async def over(engine: Engine, verb: str) -> str:
    """How the newest job of that verb ended."""
    job = (await engine.jobs(verb=verb))[0]
    async for now in engine.follow_job(job.job_id):
        job = now
    return job.status.value
