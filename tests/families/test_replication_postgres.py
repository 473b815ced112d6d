"""The streaming protocol against a real server, by each way in, and what is said where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from engine.errors import HoldfastError, SourceError
from engine.hosts.base import OpenHost
from engine.model.secret import Secret
from engine.sources.postgres import replication, wal
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.log_stream import LogStream
from engine.sources.postgres.slot import Slot
from tests.families.hosts import opened, ssh_definition
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow
SEGMENT = 16 << 20


@pytest.fixture(scope="module")
def streamers(postgres: Postgres) -> Postgres:
    """The session's server, with roles that may stream."""
    password = PASSWORD.replace("'", "''").replace("\\", "\\\\")
    postgres.psql(
        f"create role streamer login replication password E'{password}';"
        f"create role clear_streamer login replication password E'{password}';"
        "set password_encryption = 'md5';"
        f"create role old_streamer login replication password E'{password}'"
    )
    return postgres


@pytest.fixture
async def host(sshd: Sshd) -> AsyncIterator[OpenHost]:
    """The server's machine, over SSH."""
    async with opened(ssh_definition(sshd)) as host:
        yield host


async def _system(host: OpenHost, server: Postgres, password: str = PASSWORD, **options: str) -> str:
    secret = Secret(password) if password else None
    connection = Connection(port=server.port, secret=secret, **options)
    where = replication.place(connection, "postgres", str(server.directory), server.port)
    async with replication.opened(host, connection, where) as asked:
        return (await asked.identify()).system


async def test_each_way_in_leads_to_the_server(host: OpenHost, streamers: Postgres) -> None:
    """Trusted on a socket; by SCRAM and md5, in the clear only under TLS; under TLS that is checked, or not."""
    system = streamers.psql("select system_identifier from pg_control_system()")
    address, authority = {"address": "127.0.0.1"}, str(streamers.authority)
    for options in (
        {},
        {"socket": str(streamers.directory)},
        {**address, "user": "streamer"},
        {**address, "user": "streamer", "tls": "disable"},
        {**address, "user": "old_streamer", "tls": "disable"},
        {**address, "user": "streamer", "tls": "require"},
        {**address, "user": "clear_streamer", "tls": "verify-ca", "tls_ca": authority},
        {"address": "localhost", "user": "clear_streamer", "tls": "verify-full", "tls_ca": authority},
    ):
        assert await _system(host, streamers, **options) == system, options


@pytest.mark.parametrize(
    ("options", "password", "words"),
    [
        ({"user": "streamer"}, "wrong", "password authentication failed"),
        ({"user": "streamer"}, "", "wants a password"),
        ({"user": "clear_streamer", "tls": "disable"}, PASSWORD, "in the clear"),
        ({"user": "backup"}, PASSWORD, "replication"),
        (
            {"user": "streamer", "tls": "verify-full", "tls_ca": "/etc/ssl/certs/ca-certificates.crt"},
            PASSWORD,
            "not trusted",
        ),
        ({"user": "streamer", "tls": "verify-full", "tls_ca": "/nowhere"}, PASSWORD, "No such file"),
    ],
)
async def test_a_way_that_is_shut_is_said(
    host: OpenHost, streamers: Postgres, options: dict[str, str], password: str, words: str
) -> None:
    """In one sentence with a hint, and nothing of the password in it."""
    with pytest.raises(HoldfastError, match=words) as refused:
        await _system(host, streamers, password, address="127.0.0.1", **options)
    assert PASSWORD not in f"{refused.value} {refused.value.hint}"


async def test_what_streams_in_is_the_servers_own_segment(host: OpenHost, streamers: Postgres) -> None:
    """Byte for byte: of a whole one, and of the one that is being written, from the same stream."""
    streamers.psql(
        "select pg_create_physical_replication_slot('own', true); create table noise as select repeat(md5(i::text), 20) from generate_series(1, 60000) i"
    )
    try:
        connection = Connection(socket=str(streamers.directory), port=streamers.port, user="postgres")
        where = replication.place(connection, "", "", 0)
        begin = wal.parse_position(
            streamers.psql("select restart_lsn from pg_replication_slots where slot_name = 'own'")
        )
        number = begin // SEGMENT
        async with replication.opened(host, connection, where) as asked:
            stream = LogStream(asked, 1, number, SEGMENT)
            await stream.start("own")
            own = (streamers.data / "pg_wal" / wal.segment_name(1, number, SEGMENT)).read_bytes()
            assert await stream.read(SEGMENT) == own
            assert stream.go_on(1, number + 1)
            assert len(await stream.read(100_000)) == 100_000
            await stream.confirm((number + 1) * SEGMENT)
            await stream.end()
        confirmed = streamers.psql("select restart_lsn from pg_replication_slots where slot_name = 'own'")
        assert wal.parse_position(confirmed) == (number + 1) * SEGMENT
        async with replication.opened(host, connection, where) as asked:
            with pytest.raises(SourceError, match="does not exist"):
                await asked.start("nowhere", begin, 1)
    finally:
        streamers.psql("drop table noise; select pg_drop_replication_slot('own')")


async def test_what_a_server_lacks_for_a_slot_is_told(host: OpenHost, streamers: Postgres) -> None:
    """In lines to paste: a bound on what a slot may keep, and the way in for the account."""
    secret = Secret(PASSWORD)
    for user, lines in (
        ("streamer", ["max_slot_wal_keep_size = '20GB'"]),
        (
            "backup",
            ["max_slot_wal_keep_size = '20GB'", 'host replication "backup" 127.0.0.1/32 scram-sha-256'],
        ),
    ):
        connection = Connection(address="127.0.0.1", port=streamers.port, user=user, secret=secret)
        assert await Slot(host, connection, "none").setup() == lines


async def test_a_slot_that_another_connection_leaves_is_waited_for(
    host: OpenHost, streamers: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut the server holds the old connection for a moment; one that stays is told."""
    streamers.psql("select pg_create_physical_replication_slot('taken', true)")
    connection = Connection(socket=str(streamers.directory), port=streamers.port, user="postgres")
    where = replication.place(connection, "", "", 0)
    begin = wal.parse_position(
        streamers.psql("select restart_lsn from pg_replication_slots where slot_name = 'taken'")
    )
    try:
        async with AsyncExitStack() as first, replication.opened(host, connection, where) as second:
            holder = await first.enter_async_context(replication.opened(host, connection, where))
            await holder.start("taken", begin, 1)
            monkeypatch.setattr(replication, "TAKEN_TRIES", 1)
            with pytest.raises(SourceError, match="is active"):
                await second.start("taken", begin, 1)
            monkeypatch.undo()
            async with asyncio.TaskGroup() as group:
                group.create_task(second.start("taken", begin, 1))
                await holder.end()
                await first.aclose()
            await second.end()
    finally:
        streamers.psql("select pg_drop_replication_slot('taken')")
