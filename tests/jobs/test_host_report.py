"""What `host test` finds on this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.hosts.base import OpenHost
from engine.jobs import found_databases, host_report
from engine.jobs.found_databases import Found
from engine.model.definitions import Host, Source
from tests.families.hosts import opened, ssh_definition
from tests.servers.redis import Redis, running_redis


@pytest.fixture(params=["local", "ssh"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


async def test_servers_that_run_are_found_and_asked(host: OpenHost, redis: Redis, other_redis: Redis) -> None:
    """Two at once, each by its own port; the one with a password says so, and waits for nobody."""
    found = {
        each.server.port: each for each in await found_databases.look(host) if each.server.kind == "redis"
    }
    assert found[redis.port] == Found(found[redis.port].server, wants_password=True)
    assert found[other_redis.port] == Found(found[other_redis.port].server, wants_password=False)


async def test_a_server_on_a_socket_alone_is_found(host: OpenHost) -> None:
    """As a scratch server is, or one that a careful person set up."""
    with running_redis(extra=["--port", "0"]) as server:
        found = [each.server for each in await found_databases.look(host)]
        assert str(server.socket) in [each.socket for each in found if each.kind == "redis"]


async def test_what_no_source_takes_is_listed_and_proposed(host: OpenHost, other_redis: Redis) -> None:
    """Until a source takes it."""
    port = f"port {other_redis.port}"
    report = await host_report.report(host, [], lambda: 1.0)
    assert [line for line in report.uncovered if line.startswith("redis") and port in line]
    (line,) = [line for line in report.proposals if f"--port {other_redis.port}" in line]
    assert line.startswith(
        f"holdfast source add {host.name}-redis-{other_redis.port} --kind redis --host {host.name}"
    )
    taking = Source("cache", "redis", host.name, {"port": other_redis.port})
    report = await host_report.report(host, [taking], lambda: 1.0)
    assert not [line for line in (*report.uncovered, *report.proposals) if str(other_redis.port) in line]


async def test_a_file_that_only_bears_the_name_of_a_database_is_none(host: OpenHost, tmp_path: Path) -> None:
    """A source for it would fail at night."""
    (tmp_path / "thumbs.db").write_bytes(b"\0not one" * 2000)
    real = tmp_path / "it's $(touch ran).db"
    with closing(sqlite3.connect(real)) as shop:
        shop.execute("CREATE TABLE t (x)")
        shop.execute("INSERT INTO t VALUES (?)", ("x" * 20_000,))
        shop.commit()
    assert await host_report.sqlite_files(host, (str(tmp_path),)) == [str(real)]
    assert not list(tmp_path.rglob("ran"))
