"""`drill --keep`: what was restored stays for so long and no longer, whoever goes away meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import InterruptedJobError, UsageError
from engine.model.definitions import Source
from engine.model.requests import DrillRequest
from tests.jobs.command_line import CommandLine
from tests.jobs.keeping import heard_kept, look_in, path_in
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow

COUNT = "'SELECT count(*) FROM wares'"


def _make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.executemany("INSERT INTO wares VALUES (?)", [(f"ware {number}",) for number in range(100)])


@pytest.fixture
async def shop(world: World) -> Path:
    """A SQLite database, the source `shop` of it, backed up."""
    path = world.directory / "shop.db"
    _make(path)
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    await world.one_backup("shop")
    return path


def _removal(report: str) -> dict[str, object]:
    removal: dict[str, object] = json.loads(Path(report).with_suffix(".removal.json").read_text("utf-8"))
    return removal


@pytest.mark.usefixtures("shop")
async def test_what_is_kept_can_be_looked_into_and_is_gone_when_one_has_looked(world: World) -> None:
    """The verdict is told first and stands; the removal is written down, signed and in the audit log."""
    result, said = await look_in(world, DrillRequest("shop"), COUNT)
    assert (said, result.status, result.steps[-1].detail) == ("100", "passed", "scratch gone: yes")
    assert (_removal(result.report)["is_gone"], _removal(result.report)["ended"]) == (True, "early")
    assert result.rto_s < 60
    assert list(await world.engine.verify_audit()) == []
    told = [(each.verb, each.outcome) for each in await world.engine.audit_log(limit=3)]
    assert told == [("drill", "done"), ("drill removal", "done"), ("drill", "started")]
    again = await world.engine.drill(DrillRequest("shop", keep_s=0.01))
    assert (_removal(again.report)["ended"], again.previous and again.previous.job_id) == (
        "in time",
        result.job_id,
    )
    with pytest.raises(UsageError, match="nothing to keep"):
        await world.engine.drill(DrillRequest("shop", level="bytes", keep_s=1.0))


@pytest.mark.usefixtures("shop")
async def test_whoever_cancels_the_job_removes_what_it_keeps(world: World) -> None:
    """From another terminal."""
    async with asyncio.TaskGroup() as group:
        drill = group.create_task(_cancelled(world))
        (kept,) = await heard_kept(world)
        assert Path(path_in(kept)).exists()
        async with open_world(world.directory) as other:
            (job,) = await other.engine.jobs(verb="drill")
            await other.engine.cancel_job(job.job_id)
        await drill
    assert not Path(path_in(kept)).parent.exists()
    assert _removal(kept.report)["is_gone"] is True
    assert list(await world.engine.verify_audit()) == []


async def _cancelled(world: World) -> None:
    with pytest.raises(InterruptedJobError):
        await world.engine.drill(DrillRequest("shop", keep_s=3600.0))


def test_a_terminal_that_goes_away_ends_nothing_and_ctrl_c_does(tmp_path: Path) -> None:
    """The connection was lost at lunch; the colleague is still looking."""
    line = CommandLine(tmp_path)
    line.set_up()
    _make(tmp_path / "shop.db")
    line.done("source", "add", "shop", "--kind", "sqlite", "--path", str(tmp_path / "shop.db"))
    line.done("backup", "shop")
    with line.start("drill", "shop", "--keep", "1h", stdout=subprocess.PIPE) as drill:
        assert drill.stdout is not None
        told = next(each for each in drill.stdout if each.startswith(b"  sqlite3 "))
        drill.send_signal(signal.SIGHUP)
        path = Path(told.decode().split()[-1])
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            assert database.execute("SELECT count(*) FROM wares").fetchone() == (100,)
        assert drill.poll() is None
        drill.send_signal(signal.SIGINT)
        rest = drill.stdout.read().decode()
    assert (drill.returncode, "scratch gone: yes" in rest) == (0, True)
    assert not path.parent.exists()
