"""Backups whose dumps are whole by every hash and yet not what was backed up: a drill of each kind fails on them, and leaves nothing."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.jobs import item_tree
from engine.jobs.item_tree import StoredItem
from engine.jobs.snapshot_tags import BACKUP_TAG
from engine.model.backup import Backup, Proof
from engine.model.definitions import OptionValue, Source, Storage
from engine.model.names import new_id
from engine.model.requests import DrillRequest
from engine.model.secret import Secret
from engine.repository import dump, lock, reader, writer
from engine.repository.repository import open_repository
from engine.storages import registry
from tests.families import mariadb as families_mariadb
from tests.families import postgres as families_postgres
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.restic import PASSWORD

pytestmark = pytest.mark.slow

Change = Callable[[bytes], bytes]


async def forged(world: World, backup: Backup, change: Change) -> str:
    """A further backup, like that one but for its dump. Gives its id."""
    clock, place = SystemClock(), {"path": str(world.place("first"))}
    async with registry.open_storage("local", place, clock=clock) as storage:
        repository = await open_repository(storage, Secret(PASSWORD), cache_directory=None, clock=clock)
        async with lock.hold(repository, exclusive=False, clock=clock) as held:
            await repository.load_index()
            snapshot = await repository.load_snapshot(backup.copies[0].snapshot_id)
            stored = []
            async with writer.open_session([(repository, held)], clock=clock) as session:
                async for path, node in reader.walk(reader.Trees(repository), snapshot.tree):
                    if node.type != "file":
                        continue
                    held_bytes = bytearray()

                    async def write(data: bytes, into: bytearray = held_bytes) -> None:
                        into.extend(data)

                    await dump.dump_node(repository, node, write)
                    data = change(bytes(held_bytes)) if b"/databases/" in path else bytes(held_bytes)
                    result = await session.save_stream(_pieces(data))
                    stored.append(StoredItem(path.decode(), result.content, result.size_bytes))
                tree = await item_tree.save(session, stored, snapshot.time)
                kept = [tag for tag in snapshot.tags if not tag.startswith(BACKUP_TAG)]
                tags = [*kept, BACKUP_TAG + new_id(os.urandom)]
                await session.commit(dataclasses.replace(snapshot, tree=tree, tags=tags))
    found = await world.engine.recover(Storage("first", "local", place, f"file:{world.directory}/password"))
    (made,) = found.backups
    return made.backup_id


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _fails_each(
    world: World, kind: str, options: Mapping[str, OptionValue], changes: Mapping[str, Change]
) -> str:
    """Gives the id of the good one."""
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", kind, options=options))
    backup = await world.one_backup("shop")
    verdicts = {}
    for name, change in changes.items():
        made = await forged(world, backup, change)
        drilled = await world.engine.drill(DrillRequest("shop", made))
        gone = drilled.steps[-1].detail if drilled.steps[-1].step == "tear down" else ""
        proof = (await world.engine.show_backup(made)).proof
        verdicts[name] = (drilled.status, drilled.level or "server", gone, proof)
    expected = ("failed", "server", "scratch gone: yes", Proof.TAKEN)
    assert verdicts == dict.fromkeys(changes, expected)
    return backup.backup_id


async def test_postgres(world: World, postgres: Postgres) -> None:
    """pg_restore lists half an archive without a complaint."""
    options = postgres.options(database=[families_postgres.make_shop(postgres)])
    await _fails_each(world, "postgres", options, {"truncated": lambda data: data[: len(data) // 2]})


async def test_mariadb(world: World, mariadb: MariadbServer) -> None:
    """A dump cut between two statements loads without an error."""
    name = families_mariadb.make_shop(mariadb)
    mariadb.sql("INSERT INTO log SELECT REPEAT('x', 1000) FROM seq_1_to_3000", name)
    end = b"\n-- Dump completed on 2026-11-28\n"

    def cut(data: bytes) -> bytes:
        """Behind the first of several INSERTs of one table."""
        return data[: data.index(b";\n", data.index(b"INSERT INTO `log`")) + 2] + end

    options = {"socket": str(mariadb.socket), "user": "root", "database": [name]}
    await _fails_each(world, "mariadb", options, {"cut": cut})


async def test_redis(world: World, redis: Redis, other_redis: Redis, tmp_path: Path) -> None:
    """The checksum sees a byte that is another; of an empty dump only the count of keys tells."""
    redis.cli("FLUSHALL")
    redis.fill(100)
    other_redis.cli("FLUSHALL")
    words = ["redis-cli", "-s", str(other_redis.socket), "--rdb", str(tmp_path / "rdb")]
    subprocess.run(words, check=True, capture_output=True)
    secret = tmp_path / "secret"
    secret.write_text(redis.password, encoding="utf-8")
    options = {"socket": str(redis.socket), "secret": f"file:{secret}"}
    changes: dict[str, Change] = {
        "truncated": lambda data: data[:-20],
        "corrupt": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        "empty": lambda _data: (tmp_path / "rdb").read_bytes(),
    }
    await _fails_each(world, "redis", options, changes)


async def test_sqlite_under_any_name(world: World, tmp_path: Path) -> None:
    """A page of nonsense, a file that was cut, one that holds nothing; and a name of which nothing is ever run."""
    path = tmp_path / 'it\'s "$(touch ran)"; `touch ran`\n-- &ü \\ $HOME.db'
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.executemany("INSERT INTO wares VALUES (?)", [(f"ware {i} {'x' * 80}",) for i in range(2000)])
    changes: dict[str, Change] = {
        "truncated": lambda data: data[: len(data) // 8192 * 4096],
        "corrupt": lambda data: data[: 20 * 4096] + b"\xff" * 400 + data[20 * 4096 + 400 :],
        "empty": lambda _data: b"",
    }
    backup_id = await _fails_each(world, "sqlite", {"path": str(path)}, changes)
    good = await world.engine.drill(DrillRequest("shop", backup_id))
    assert good.status == "passed", good
    assert not Path("ran").exists()
    assert not list(tmp_path.rglob("ran"))
