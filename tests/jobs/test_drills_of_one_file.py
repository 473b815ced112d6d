"""Drills of SQLite and Redis, on each level: good backups pass, and whatever is wrong with one fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from engine.sources.redis.checksum import Checksum
from tests.jobs.tampering import Change, cut, emptied, tamper
from tests.jobs.world import World
from tests.servers.redis import Redis

pytestmark = pytest.mark.slow


@pytest.fixture
async def shop(world: World) -> Path:
    """A SQLite database of several pages, the source `shop` of it, backed up."""
    path = world.directory / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.executemany(
            "INSERT INTO wares VALUES (?)", [(f"ware {number:050}",) for number in range(500)]
        )
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    await world.one_backup("shop")
    return path


def _wrong(result: DrillResult) -> set[str]:
    return {each.check.partition(": ")[2] for each in result.checks if not each.passed}


def _altered(statement: str) -> Change:
    """The database with that done to it."""

    def change(data: bytes) -> bytes:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            database.execute(statement)
            database.commit()
            database.execute("VACUUM")
            return database.serialize()

    return change


def _corrupt_page(data: bytes) -> bytes:
    """The third page is nonsense."""
    return data[:8192] + b"\xff" * 4096 + data[12288:]


def _no_tables(_data: bytes) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA user_version = 0")
        database.execute("CREATE TABLE gone (id)")
        database.execute("DROP TABLE gone")
        return database.serialize()


@pytest.mark.usefixtures("shop")
async def test_a_good_file_is_parsed_and_that_is_a_verification(world: World) -> None:
    """No server, no restore: the ladder says so."""
    result = await world.engine.drill(DrillRequest("shop", level="parse"))
    assert (result.status, result.level) == ("passed", "parse")
    assert {"shop.db: tables", "shop.db: integrity_check of parsed.db"} <= {
        each.check for each in result.checks
    }
    (backup,) = await world.engine.backups()
    assert backup.proof is Proof.VERIFIED


async def test_a_file_that_is_not_what_was_backed_up_fails(world: World, shop: Path) -> None:
    """Every checksum is right; only opening it tells. What is no whole file fails before it is looked into."""
    damages: dict[str, tuple[Change, str, set[str]]] = {
        "rows": (_altered("DELETE FROM wares WHERE rowid = 7"), "server", {"rows of wares"}),
        "table": (_altered("DROP TABLE orders"), "parse", {"tables", "rows of orders"}),
        "empty": (_no_tables, "server", {"not empty", "tables", "rows of wares", "rows of orders"}),
        "page": (_corrupt_page, "server", set()),
        "cut off": (cut, "parse", set()),
        "no bytes": (emptied, "parse", set()),
    }
    found = {}
    for damage, (change, level, _) in damages.items():
        undo = await tamper(world, "shop", {"shop.db": change})
        result = await world.engine.drill(DrillRequest("shop", level=level))
        found[damage] = (result.status, _wrong(result))
        await undo()
    assert found == {damage: ("failed", checks) for damage, (_, _, checks) in damages.items()}


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


def _flipped(data: bytes) -> bytes:
    """A bit in the middle."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def _nothing_in_it(data: bytes) -> bytes:
    """A file that holds no key, with its own right checksum."""
    body = data[:9] + b"\xff"
    checksum = Checksum()
    checksum.update(body)
    return body + checksum.value().to_bytes(8, "little")


@pytest.mark.usefixtures("cache")
async def test_a_dump_that_is_not_what_was_backed_up_fails(world: World) -> None:
    """With a server and without one."""
    damages: list[tuple[Change, str, set[str]]] = [
        (_nothing_in_it, "server", {"not empty", "tables", "rows of db0", "rows of db2"}),
        (_flipped, "server", set()),
        (cut, "parse", set()),
    ]
    for change, level, checks in damages:
        undo = await tamper(world, "cache", {"dump.rdb": change})
        result = await world.engine.drill(DrillRequest("cache", level=level))
        assert (result.status, _wrong(result)) == ("failed", checks), change
        await undo()


async def test_a_good_dump_is_parsed_and_one_with_other_keys_is_not(
    world: World, cache: Redis, tmp_path: Path
) -> None:
    """A numbered database and a key fewer, a question unanswered: each is named."""
    good = await world.engine.drill(DrillRequest("cache", level="parse"))
    assert (good.status, [each.check for each in good.checks][1:]) == ("passed", ["dump: keys"])
    cache.cli("FLUSHDB", database=2)
    cache.cli("DEL", "key7")
    cache.cli("--rdb", str(tmp_path / "other"))
    await tamper(world, "cache", {"dump.rdb": lambda _data: (tmp_path / "other").read_bytes()})
    checks = (("", "db2 GET name", "value"),)
    result = await world.engine.drill(DrillRequest("cache", checks=checks, scenario="kit-only"))
    assert _wrong(result) >= {"tables", "rows of db0", "rows of db2", "db2 GET name"}
    assert _wrong(await world.engine.drill(DrillRequest("cache", level="parse"))) == {"keys"}
