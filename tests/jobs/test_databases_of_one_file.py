"""SQLite and Redis through whole jobs: backed up, brought back each way that there is, rolled back, drilled."""

from __future__ import annotations

import datetime
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine import errors
from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.instants import ChangeQuery, Target
from engine.model.requests import DrillRequest, RestoreRequest, RollbackRequest, ShipRequest
from engine.model.schedules import Action, Schedule
from tests.jobs.command_line import CommandLine
from tests.jobs.keeping import look_in
from tests.jobs.world import World
from tests.servers.redis import Redis

pytestmark = pytest.mark.slow


@pytest.fixture
async def shop(world: World) -> Path:
    """A SQLite database, the source `shop` of it, backed up."""
    path = world.directory / "app" / "shop.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.executemany("INSERT INTO wares VALUES (?)", [(f"ware {number}",) for number in range(100)])
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    await world.one_backup("shop")
    return path


def count(path: Path) -> int:
    """Of the wares."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM wares").fetchone()[0])


def empty(path: Path) -> None:
    """What a person does by mistake."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM wares")


async def test_a_file_comes_back_beside_and_in_place_and_rolls_back(world: World, shop: Path) -> None:
    """Live data is touched last, and what it was is kept."""
    empty(shop)
    await world.engine.restore(RestoreRequest("latest:shop", into="copy.db"))
    assert (count(shop), count(shop.with_name("copy.db"))) == (0, 100)
    result = await world.engine.restore(RestoreRequest("latest:shop", is_in_place=True))
    (done,) = result.databases
    assert (count(shop), count(shop.with_name(done.aside))) == (100, 0)
    await world.engine.rollback(RollbackRequest(result.job_id))
    assert count(shop) == 0


async def test_a_file_has_no_log_and_is_told_what_to_do_instead(
    world: World, shop: Path, tmp_path: Path
) -> None:
    """One sentence, and the schedule to paste; an instant is the newest backup before it, and which one that is is said."""
    engine = world.engine
    for way in (
        engine.ship(ShipRequest(("shop",))),
        engine.log_setup("shop"),
        engine.plan_instant("shop", Target()),
        engine.drill(DrillRequest("shop", level="point-in-time")),
        engine.find_changes(ChangeQuery("shop", "wares")),
        engine.add_schedule(Schedule("log", Action.SHIP, "every 5 minutes", sources=("shop",))),
    ):
        with pytest.raises(errors.UsageError, match="shop is of kind sqlite, which has no log") as caught:
            await way
        assert str(caught.value.hint).startswith("holdfast schedule add shop-often --cron '*/15 * * * *'")
    assert "to each of its backups, and to nothing between them" in await engine.without_log("shop")
    await engine.add_schedule(Schedule("log", Action.SHIP, "every 5 minutes", sources=("s*",)))
    with pytest.raises(errors.UsageError, match="has nothing to do"):
        await engine.run_schedule("log")
    backup = await engine.latest_backup("shop")
    at = (backup.created_at + datetime.timedelta(seconds=1)).isoformat()
    line = CommandLine(world.directory)
    ran = line.run("restore", "--source", "shop", "--at", at, "--to", str(tmp_path / "back"), "--dry-run")
    assert f"backup {backup.backup_id} is the newest before" in ran.out + ran.err, ran


async def test_what_was_put_aside_can_be_removed(world: World, shop: Path) -> None:
    """And nothing else is."""
    result = await world.engine.restore(RestoreRequest("latest:shop", is_in_place=True))
    await world.engine.rollback(RollbackRequest(result.job_id, is_discarding=True))
    assert [each.name for each in shop.parent.iterdir()] == ["shop.db"]


async def test_a_drill_of_a_file_passes_and_a_failed_question_fails_it(world: World, shop: Path) -> None:
    """Level server: its own folder, its own checker, the manifest, the user's questions."""
    well = await world.engine.drill(DrillRequest("shop", checks=(("", "SELECT count(*) FROM wares", "100"),)))
    assert (well.status, [each for each in well.checks if not each.passed]) == ("passed", [])
    assert {"shop.db: tables", "shop.db: rows of wares"} <= {each.check for each in well.checks}
    wrong = await world.engine.drill(DrillRequest("shop", checks=(("", "SELECT count(*) FROM wares", "99"),)))
    assert wrong.status == "failed"
    assert [each.name for each in shop.parent.iterdir()] == ["shop.db"]


@pytest.fixture
async def cache(world: World, redis: Redis) -> Redis:
    """A server of Redis, the source `cache` of it, backed up."""
    redis.cli("FLUSHALL")
    redis.fill(300)
    redis.cli("SET", "name", "value", database=2)
    await world.add_storages("first")
    secret = world.directory / "secret"
    secret.write_text(redis.password, encoding="utf-8")
    options = {"socket": str(redis.socket), "secret": f"file:{secret}"}
    await world.engine.add_source(Source("cache", "redis", options=options))
    await world.one_backup("cache")
    return redis


async def test_a_drill_of_redis_starts_a_server_of_its_own(world: World, cache: Redis) -> None:
    """And it climbs the ladder; the live server is not asked for anything."""
    cache.cli("FLUSHALL")
    checks = (("", "db2 GET name", "value"), ("", "DBSIZE", "300"))
    result, said = await look_in(world, DrillRequest("cache", checks=checks), "-n 2 GET name")
    assert said == "value"
    assert (result.status, [each for each in result.checks if not each.passed]) == ("passed", [])
    assert {"dump: rows of db0", "dump: rows of db2", "dump: db2 GET name"} <= {
        each.check for each in result.checks
    }
    (backup,) = await world.engine.backups()
    assert backup.proof is Proof.DRILLED


async def test_redis_is_never_restored_beside_what_a_server_holds(world: World, cache: Redis) -> None:
    """It cannot: the ways that there are are named; every key is where it was."""
    cache.cli("SET", "newer", "1")
    with pytest.raises(errors.RefusedError, match="only when it starts") as caught:
        await world.engine.restore(RestoreRequest("latest:cache", into="copy"))
    assert "--in-place" in str(caught.value.hint)
    assert cache.cli("DBSIZE") == "301"


async def test_redis_comes_back_as_a_file(world: World, cache: Redis, tmp_path: Path) -> None:
    """For a server that is stopped."""
    await world.engine.restore(RestoreRequest("latest:cache", to=str(tmp_path)))
    (dump,) = tmp_path.rglob("dump.rdb")
    assert dump.read_bytes().startswith(b"REDIS")
    assert cache.cli("DBSIZE") == "300"
