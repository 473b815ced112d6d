"""Tab 3: drills and restores, by keys, through a real worker."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.definitions import LOCAL_HOST, Source
from engine.service import Engine
from tests.jobs.world import World
from tests.tui.seat import Seat, open_console

pytestmark = pytest.mark.slow


def _database(path: Path, rows: int = 3) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (number INTEGER)")
        database.execute("DELETE FROM orders")
        database.executemany("INSERT INTO orders VALUES (?)", [(each,) for each in range(rows)])
        database.execute("CREATE TABLE IF NOT EXISTS customers (name TEXT)")
        database.commit()


def _rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM orders").fetchone()[0])


@pytest.fixture
async def shop(world: World, tmp_path: Path) -> Path:
    """A database of SQLite with three orders, backed up."""
    path = tmp_path / "shop.db"
    _database(path)
    await world.add_storages("main")
    await world.engine.add_source(Source("shop", "sqlite", LOCAL_HOST, {"path": str(path)}))
    await world.one_backup("shop")
    return path


@pytest.fixture
async def tree(world: World, tmp_path: Path) -> Path:
    """A folder with two files, backed up."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "first").write_text("one")
    (folder / "sub" / "second [2]").write_text("two")
    await world.add_storages("main")
    await world.add_files("tree", folder)
    await world.one_backup("tree")
    return folder


@pytest.fixture
async def seat(world: World) -> AsyncIterator[Seat]:
    """At a console on that world."""
    async with open_console(world.engine) as opened:
        yield opened


async def _over(engine: Engine, verb: str) -> str:
    """How the newest job of that verb ended."""
    job = (await engine.jobs(verb=verb))[0]
    async for now in engine.follow_job(job.job_id):
        job = now
    return job.status.value


async def test_a_drill_takes_two_keys_and_leaves_evidence(
    shop: Path, world: World, seat: Seat, tmp_path: Path
) -> None:
    """`D` shows what will happen, enter starts it; it ends with its verdict, and the evidence can be taken away."""
    await seat.sees("shop", "today")
    await seat.press("D")
    await seat.sees("never drilled", "TARGET>(d) drill", "writes to live hosts: none", "holdfast drill shop")
    await seat.press("enter")
    await seat.sees("drill of shop", "PASS", "checks  report")
    (job,) = await world.engine.jobs(verb="drill")
    assert job.result["status"] == "passed"
    await seat.press("o")
    await seat.press("ctrl+u")
    await seat.type(str(tmp_path / "audit"))
    await seat.press("enter")
    await seat.sees("JSON, PDF and signatures")
    names = {each.name for each in (tmp_path / "audit").iterdir()}
    assert {f"drill-{job.job_id}.json", f"drill-{job.job_id}.pdf", "evidence-public-key"} <= names
    assert json.loads((tmp_path / "audit" / f"drill-{job.job_id}.json").read_text())["verdict"] == "passed"
    await seat.press("escape")
    await seat.sees("LAST", "PASS", "by the drills that passed")
    assert shop.exists()
