"""What restores and drills do with Redis: a scratch server takes a dump and is gone afterwards; a live one is never touched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.errors import (
    HoldfastError,
    IncompleteDumpError,
    RefusedError,
    SourceError,
    ToolMissingError,
    UnknownNameError,
)
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, Source
from engine.model.manifest import DatabaseFacts, Manifest, compare
from engine.model.secret import Secret
from engine.sources.base import Database, DatabaseSource, Selection
from engine.sources.redis.source import RedisSource
from tests.families.hosts import cut_connections, opened, processes_with, ssh_definition, wait_until
from tests.families.sources import Equipped, drain
from tests.servers.redis import Redis
from tests.servers.sshd import Sshd

ODD_KEY = "a key; $(touch ran) 'x'\n"


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture
def filled(redis: Redis) -> Redis:
    """The server, with known content and nothing else."""
    redis.cli("FLUSHALL")
    redis.fill(500)
    redis.cli("SET", ODD_KEY, "odd", database=3)
    redis.cli("SET", "long", "1", "EX", "1000", database=15)
    return redis


def source(host: OpenHost, server: Redis) -> RedisSource:
    """A source of that server."""
    options = {"socket": str(server.socket), "secret": "vault:redis"}
    return RedisSource(Source("cache", "redis", options=options), host, {"secret": Secret(server.password)})


async def dump_of(source: DatabaseSource) -> tuple[bytes, Manifest]:
    """Its dump, and the manifest."""
    dump, manifest = await source.items()
    async with dump.open() as stream:
        data = await drain(stream)
        await stream.judge()
    async with manifest.open() as stream:
        return data, msgspec.json.decode(await drain(stream), type=Manifest)


async def load(database: Database, data: bytes, name: str = "holdfast_drill_1") -> None:
    """Creates and loads, in pieces."""
    await database.create(name, DatabaseFacts(name))
    async with database.load(name, Selection()) as stream:
        for begin in range(0, len(data), 5000):
            await stream.write(data[begin : begin + 5000])
        await stream.finish()


async def folder_of(database: Database) -> Path:
    """Of a scratch server that has not started yet."""
    return Path(await database.identity())


@pytest.mark.slow
async def test_a_dump_comes_back_in_a_scratch_server(host: OpenHost, filled: Redis) -> None:
    """Every key with its value, as the manifest says, and what expired in between is no fault."""
    kept = source(host, filled)
    filled.cli("SET", "short", "1", "PX", "2000", database=3)
    data, manifest = await dump_of(kept)
    await wait_until(lambda: filled.cli("EXISTS", "short", database=3) == "0")
    name = "a name; $(touch ran)"
    async with kept.scratch(manifest.server_version) as database:
        await load(database, data, name)
        checks = compare(manifest.databases[0], await database.facts(name)) + list(
            await database.inspect(name)
        )
        assert [each for each in checks if not each.passed] == []
        assert len(checks) > 10
        assert await database.names() == [name]
        assert await database.query(name, "GET key7") == "v" * 60 + "7"
        assert await database.query(name, "db3 GET \"a key; $(touch ran) 'x'\n\"") == "odd"
        assert await database.query(name, "db15 exists long") == "1"
        assert await database.identity() != manifest.identity
        assert (await database.free_bytes() or 0) > 0
        await database.drop(name)
        assert await database.names() == []
    assert not list(Path().rglob("ran"))


@pytest.mark.slow
async def test_a_scratch_server_is_unprivileged_private_and_gone_afterwards(
    host: OpenHost, filled: Redis
) -> None:
    """A drill leaves nothing that runs, listens or lies about."""
    kept = source(host, filled)
    data, _ = await dump_of(kept)
    async with kept.scratch("7.0") as database:
        folder = await folder_of(database)
        await load(database, data)
        (server,) = [each for each in psutil.process_iter(["cmdline"]) if _is_server(each, folder)]
        assert server.username() != "root"
        assert server.net_connections() == [] or {each.family.name for each in server.net_connections()} == {
            "AF_UNIX"
        }
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {each.stat().st_mode & 0o077 for each in folder.iterdir()} == {0}
    assert not folder.exists()
    assert not server.is_running()


def _is_server(process: psutil.Process, folder: Path) -> bool:
    words = " ".join(process.info["cmdline"] or [])
    return words.startswith("redis-server") and str(folder) in words


@pytest.mark.slow
@pytest.mark.parametrize("is_loaded", [False, True], ids=["waiting", "running"])
async def test_a_scratch_server_ends_when_the_drill_is_cancelled(
    host: OpenHost, filled: Redis, is_loaded: bool
) -> None:
    """A person who presses Ctrl-C leaves nothing behind."""
    kept = source(host, filled)
    data, _ = await dump_of(kept)
    found: list[Path] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, kept.scratch("7.0") as database:
            found.append(await folder_of(database))
            if is_loaded:
                await load(database, data)
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
    (folder,) = found
    await wait_until(lambda: not folder.exists() and not processes_with(str(folder)))


@pytest.mark.slow
async def test_a_scratch_server_ends_when_the_connection_is_lost(start_sshd: object, filled: Redis) -> None:
    """The network breaks in the middle of a drill, and nobody comes back to clean up."""
    server: Sshd = start_sshd()  # type: ignore[operator]
    with contextlib.suppress(HoldfastError):
        async with opened(ssh_definition(server)) as host:
            kept = source(host, filled)
            data, _ = await dump_of(kept)
            async with kept.scratch("7.0") as database:
                folder = await folder_of(database)
                await load(database, data)
                cut_connections(server)
    await wait_until(lambda: not folder.exists() and not processes_with(str(folder)))


@pytest.mark.slow
@pytest.mark.parametrize("kept_bytes", [0, 9, 200, -1], ids=["empty", "header", "middle", "last byte"])
async def test_a_dump_that_is_cut_short_is_never_loaded(
    host: OpenHost, filled: Redis, kept_bytes: int
) -> None:
    """A drill of a truncated dump must fail."""
    kept = source(host, filled)
    data, _ = await dump_of(kept)
    async with kept.scratch("7.0") as database:
        with pytest.raises(IncompleteDumpError):
            await load(database, data[:kept_bytes])
        assert (await database.facts("holdfast_drill_1")).tables == ()


@pytest.mark.slow
async def test_a_dump_that_the_server_refuses_says_why(host: OpenHost, filled: Redis) -> None:
    """Whole by its checksum, but of a kind that this server does not know."""
    kept = source(host, filled)
    data, _ = await dump_of(kept)
    unknown = b"REDIS9999" + data[9:-8] + bytes(8)
    async with kept.scratch("7.0") as database:
        with pytest.raises(SourceError, match="Can't handle RDB format version 9999"):
            await load(database, unknown)


@pytest.mark.slow
async def test_an_empty_server_s_dump_fails_the_comparison(host: OpenHost, filled: Redis) -> None:
    """A drill must not pass on nothing."""
    kept = source(host, filled)
    _, manifest = await dump_of(kept)
    filled.cli("FLUSHALL")
    data, _ = await dump_of(kept)
    async with kept.scratch(manifest.server_version) as database:
        await load(database, data)
        checks = compare(manifest.databases[0], await database.facts("holdfast_drill_1"))
    assert {each.check for each in checks if not each.passed} == {"tables", "rows of db0", "rows of db3"}


async def test_an_older_server_is_not_tried(host: OpenHost, filled: Redis) -> None:
    """It would refuse the dump with a number that tells nobody anything."""
    with pytest.raises(SourceError, match=r"older than the server of the backup \(99\.1\.0\)"):
        async with source(host, filled).scratch("99.1.0"):
            pass


async def test_without_a_server_there_is_no_scratch(host: OpenHost, filled: Redis) -> None:
    """The drill says that it could not run, and why."""
    with pytest.raises(ToolMissingError, match="neither redis-server nor valkey-server"):
        async with source(Equipped(host, "redis-cli"), filled).scratch("7.0"):
            pass


async def test_nothing_is_made_beside_what_a_live_server_holds(host: OpenHost, filled: Redis) -> None:
    """Redis cannot swap: what cannot be done is said, with what to do, and nothing is changed."""
    async with source(host, filled).database() as database:
        facts = await database.facts("dump")
        for attempt in (
            database.create("new", facts),
            database.swap("new", "dump", "old"),
            database.drop("dump"),
        ):
            with pytest.raises(SourceError, match="no place beside") as caught:
                await attempt
            assert "--in-place" in str(caught.value.hint)
        with pytest.raises(SourceError, match="no place beside"):
            database.load("dump", Selection())
        assert await database.names() == ["dump"]
        assert [replace(each, rows=0) for each in (await database.facts("dump")).tables] == [
            replace(each, rows=0) for each in facts.tables
        ]


@pytest.mark.slow
async def test_a_dump_of_a_newer_server_or_a_damaged_one_is_refused_before_anything_is_emptied(
    host: OpenHost, filled: Redis
) -> None:
    """It would be found out behind an emptied server."""
    kept = source(host, filled)
    data, manifest = await dump_of(kept)
    newer = b"REDIS0099" + data[9:-8] + bytes(8)
    for spoiled, kind, words in (
        (newer, RefusedError, "RDB version 99"),
        (data[:-20] + b"x" + data[-19:], IncompleteDumpError, "not whole"),
        (data[:-12], IncompleteDumpError, "not whole"),
    ):
        async with kept.refill(manifest.databases[0], (), 1) as refill:
            await refill.measure(spoiled)
            with pytest.raises(kind, match=words):
                await refill.require_possible()
    assert filled.cli("DBSIZE") == "500"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DEL key1", "does not call it read-only"),
        ("EVAL \"return redis.call('FLUSHALL')\" 0", "does not call it read-only"),
        ("CONFIG SET dir /", "does not call it read-only"),
        ("-h 127.0.0.1 GET key1", "no command of Redis"),
        ("GET 'key1", "cannot be read"),
        ("", "no command of Redis"),
        ("NOSUCH", "does not call it read-only"),
        ("GET", "wrong number of arguments"),
        ("LLEN key1", "WRONGTYPE"),
        ("db99 GET key1", "DB index is out of range"),
    ],
)
async def test_a_query_that_is_no_reading_is_refused(
    host: OpenHost, filled: Redis, statement: str, words: str
) -> None:
    """A drill's check may only look; what it says is the server's own word."""
    async with source(host, filled).database() as database:
        with pytest.raises(SourceError, match=words):
            await database.query("dump", statement)
        with pytest.raises(UnknownNameError):
            await database.query("other", "DBSIZE")
        assert await database.query("dump", "DBSIZE") == "500"


async def test_a_live_server_is_inspected(host: OpenHost, filled: Redis) -> None:
    """Keys at random, each with its type."""
    async with source(host, filled).database() as database:
        checks = await database.inspect("dump")
    assert next((each.check, each.passed) for each in checks) == ("types and times of keys of db0", True)
