"""Redis in place: the running server is emptied and filled again; what it held is kept, and comes back by itself where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine import errors, events
from engine.model.backup import SAFETY_TAG
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.requests import RestoreRequest, RollbackRequest
from tests.jobs.world import World
from tests.servers.redis import Redis, running_redis
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

IN_PLACE = RestoreRequest("latest:cache", is_in_place=True)


async def add_source(world: World, server: Redis, name: str = "cache", host: str = LOCAL_HOST) -> None:
    """A source of that server."""
    options = {"socket": str(server.socket)}
    if server.password:
        secret = world.directory / "secret"
        secret.write_text(server.password, encoding="utf-8")
        options["secret"] = f"file:{secret}"
    await world.engine.add_source(Source(name, "redis", host, options=options))


@pytest.fixture
async def cache(world: World, redis: Redis) -> Redis:
    """A server with a password and keys of each type in three databases, the source `cache` of it."""
    redis.cli("CONFIG", "SET", "maxmemory", "0")
    redis.cli("FLUSHALL")
    redis.fill(300)
    redis.fill_oddly()
    redis.cli("SET", "name", "value", database=2)
    redis.cli("SET", "other", "value", database=7)
    await world.add_storages("first")
    return redis


def digest(server: Redis) -> str:
    """Of all keys with their values, by the server itself."""
    return server.cli("DEBUG", "DIGEST")


async def test_a_running_server_gets_all_back_over_ssh_and_rolls_back(
    world: World, cache: Redis, sshd: Sshd
) -> None:
    """Every type, odd names, values longer than what is held, times and functions; nothing of it is ever run."""
    await world.add_host(sshd)
    await add_source(world, cache, host="server")
    await world.one_backup("cache")
    before, library = digest(cache), cache.cli("FUNCTION", "LIST", "WITHCODE")
    assert "ours" in library
    cache.cli("FLUSHALL")
    cache.cli("FUNCTION", "FLUSH")
    cache.cli("SET", "newer", "1", database=1)
    spoiled = digest(cache)

    preview = await world.engine.restore(replace(IN_PLACE, is_dry_run=True))
    assert (preview.is_dry_run, digest(cache)) == (True, spoiled)
    notes = [each.message for each in world.heard if isinstance(each, events.Noted)]
    assert {"db1: 0 keys come in the place of 1", "db2: 1 keys come in the place of 0"} <= set(notes)

    done = await world.engine.restore(IN_PLACE)
    assert (done.status, digest(cache)) == ("completed", before)
    assert cache.cli("FUNCTION", "LIST", "WITHCODE") == library
    assert {"rows of db2", "values of keys at random"} <= {each.check for each in done.databases[0].checks}
    kept = await world.engine.show_backup(done.safety_backup_id)
    assert SAFETY_TAG in kept.tags

    rolled = await world.engine.rollback(RollbackRequest(done.job_id))
    assert (rolled.status, digest(cache), cache.cli("FUNCTION", "LIST")) == ("completed", spoiled, "")
    await world.engine.rollback(RollbackRequest(done.job_id, is_discarding=True))
    with pytest.raises(errors.UsageError, match="kept no safety backup"):
        await world.engine.rollback(RollbackRequest(done.job_id))
    assert not list(Path().rglob("ran"))


async def test_numbered_databases_alone_are_emptied_and_filled(world: World, cache: Redis) -> None:
    """What the others hold, and the functions, is nobody's business then."""
    await add_source(world, cache)
    await world.one_backup("cache")
    cache.cli("SET", "name", "spoiled", database=2)
    cache.cli("SET", "newer", "1", database=2)
    cache.cli("SET", "other", "newer", database=7)
    done = await world.engine.restore(replace(IN_PLACE, databases=("2", "db9")))
    assert (done.databases[0].into, cache.cli("DBSIZE", database=2)) == ("db2", "1")
    assert cache.cli("GET", "name", database=2) == "value"
    assert cache.cli("GET", "other", database=7) == "newer"
    assert "ours" in cache.cli("FUNCTION", "LIST")
    for name, words in (("shop", "no database named"), ("99", "no database 99")):
        with pytest.raises(errors.HoldfastError, match=words):
            await world.engine.restore(replace(IN_PLACE, databases=(name,)))


async def test_a_restore_that_fails_half_way_is_undone_by_itself(world: World, cache: Redis) -> None:
    """The server takes some of the keys and then no more; it ends as it was."""
    await add_source(world, cache)
    await world.one_backup("cache")
    cache.cli("FLUSHALL")
    cache.cli("FUNCTION", "FLUSH")
    cache.cli("SET", "newer", "1", database=1)
    spoiled = digest(cache)
    limit = int(cache.cli("INFO", "memory").split("used_memory:")[1].split()[0]) + (600 << 10)
    cli = f"REDISCLI_AUTH=$(cat {world.directory}/secret) redis-cli -s {cache.socket}"
    request = replace(IN_PLACE, before_hook=f"{cli} CONFIG SET maxmemory {limit}")
    try:
        with pytest.raises(errors.SourceError, match=r"did not take all keys .*OOM"):
            await world.engine.restore(request)
        assert digest(cache) == spoiled
        assert any(
            isinstance(each, events.Warned) and "again what it was" in each.message for each in world.heard
        )
    finally:
        cache.cli("CONFIG", "SET", "maxmemory", "0")
    cache.cli("CONFIG", "SET", "maxmemory", "100kb")
    try:
        with pytest.raises(errors.RefusedError, match="may hold 102400 bytes"):
            await world.engine.restore(IN_PLACE)
    finally:
        cache.cli("CONFIG", "SET", "maxmemory", "0")
    assert digest(cache) == spoiled


async def test_a_connection_that_is_cut_in_mid_load_is_undone_over_a_new_one(
    world: World, cache: Redis, start_sshd: Callable[..., Sshd]
) -> None:
    """The server was emptied already; nobody has to remember that it was."""
    server = start_sshd()
    await world.add_host(server)
    await add_source(world, cache, host="server")
    cache.fill(20_000)
    await world.one_backup("cache")
    cache.cli("FLUSHALL")
    cache.cli("SET", "newer", "1", database=1)
    spoiled = digest(cache)

    async def cut() -> None:
        while not _is_loading(world.heard):
            world.more.clear()
            await world.more.wait()
        server.drop_connections()

    async with asyncio.TaskGroup() as group:
        group.create_task(cut())
        with pytest.raises(errors.HoldfastError):
            await world.engine.restore(IN_PLACE)
    assert digest(cache) == spoiled
    assert any(
        isinstance(each, events.Warned) and "again what it was" in each.message for each in world.heard
    )


def _is_loading(heard: Sequence[events.Event]) -> bool:
    """Whether some of the dump was sent."""
    steps = [each.step for each in heard if isinstance(each, events.StepBegan)]
    return "restore cache in place" in steps and isinstance(heard[-1], events.Progress)


async def test_a_server_that_must_not_be_filled_is_left_as_it_is(
    world: World, cache: Redis, other_redis: Redis
) -> None:
    """A replica, a node of a cluster, an account that may not: one sentence each, and no key is lost."""
    await add_source(world, cache)
    await world.one_backup("cache")
    other_redis.cli("FLUSHALL")
    other_redis.cli("SET", "kept", "1")
    other_redis.cli("ACL", "SETUSER", "reader", "on", ">word")
    secret = world.directory / "word"
    secret.write_text("word", encoding="utf-8")
    options = {"socket": str(other_redis.socket), "user": "reader", "secret": f"file:{secret}"}
    await world.engine.add_source(Source("reader", "redis", options=options))
    printed = [
        line for line in (await world.engine.host_grants("localhost")).splitlines() if line.startswith("ACL")
    ]
    other_redis.cli(*printed[0].replace("PASSWORD", "word").split())
    await add_source(world, other_redis, "other")
    on = replace(IN_PLACE, target_source="other")
    as_reader = replace(on, target_source="reader")
    with pytest.raises(errors.SourceError, match=r"does not allow it: .*NOPERM") as caught:
        await world.engine.restore(as_reader)
    assert "host grants" in str(caught.value.hint)
    with running_redis(extra=("--cluster-enabled", "yes")) as node:
        await add_source(world, node, "node")
        with pytest.raises(errors.RefusedError, match="node of a cluster"):
            await world.engine.restore(replace(on, target_source="node"))
    other_redis.cli("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(errors.RefusedError, match="is a replica"):
            await world.engine.restore(on)
    finally:
        other_redis.cli("REPLICAOF", "NO", "ONE")
    assert other_redis.cli("GET", "kept") == "1"
    other_redis.cli(*printed[1].split())
    done = await world.engine.restore(replace(as_reader, is_safety_left_out=True))
    assert "values of keys at random" in {each.check for each in done.databases[0].checks}
    assert (done.safety_backup_id, other_redis.cli("GET", "name", database=2)) == ("", "value")
    assert other_redis.cli("EXISTS", "kept") == "0"
