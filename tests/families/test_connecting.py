"""Connections that a host makes for us, by this machine itself and by OpenSSH's server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from engine.errors import ConnectionLostError, HostError, HostUnreachableError
from engine.hosts.base import OpenHost
from engine.model.definitions import LOCAL_HOST, Host
from tests.families.hosts import opened, ssh_definition
from tests.servers.sshd import Sshd
from tests.servers.tools import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "ssh"])
def definition(request: pytest.FixtureRequest) -> Host:
    """A host of each kind."""
    if request.param == "local":
        return Host(LOCAL_HOST, "local")
    return ssh_definition(request.getfixturevalue("sshd"))


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # whoever asked may have been cut off, which is a test's doing
        writer.write((await reader.readline()).upper() * 100_000)
        await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def _listening(path: Path) -> AsyncIterator[tuple[int, str]]:
    """Whoever came is answered before it ends: a server of asyncio's waits for none of them."""
    async with asyncio.TaskGroup() as group:

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            group.create_task(_shout(reader, writer))

        async with (
            await asyncio.start_server(serve, "127.0.0.1", 0) as by_port,
            await asyncio.start_unix_server(serve, path),
        ):
            yield by_port.sockets[0].getsockname()[1], str(path)


async def _answer(host: OpenHost, address: str, port: int) -> bytes:
    async with host.connect(address, port) as stream:
        await stream.write(b"hello\n")
        pieces = []
        while piece := await stream.read():
            pieces.append(piece)
        return b"".join(pieces)


async def test_a_port_and_a_socket_of_the_host_are_reached(definition: Host, tmp_path: Path) -> None:
    """A database that listens on the host alone must be reached from here."""
    async with _listening(tmp_path / "s") as (port, path), opened(definition) as host:
        assert await _answer(host, "127.0.0.1", port) == b"HELLO\n" * 100_000
        assert await _answer(host, path, 0) == b"HELLO\n" * 100_000


async def test_where_nothing_answers_is_said(definition: Host) -> None:
    """The server is down: the sentence must say where it was looked for."""
    async with opened(definition) as host:
        port = free_port()
        with pytest.raises(HostUnreachableError, match=f"port {port} of 127.0.0.1"):
            async with host.connect("127.0.0.1", port):
                pass
        with pytest.raises(HostError, match="/nowhere/at/all"):
            async with host.connect("/nowhere/at/all"):
                pass


async def test_a_server_that_lets_nobody_through_says_why(start_sshd: Callable[..., Sshd]) -> None:
    """An administrator who reads which line of sshd_config is in the way need not guess."""
    server = start_sshd(extra=("AllowTcpForwarding no",))
    async with opened(ssh_definition(server)) as host:
        with pytest.raises(HostError, match="lets nobody through to port") as refused:
            async with host.connect("127.0.0.1", free_port()):
                pass
        assert refused.value.hint is not None
        assert "(AllowTcpForwarding)" in refused.value.hint


async def test_a_cut_is_no_end(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """What came before it would be taken for all."""
    server = start_sshd()
    async with (
        _listening(tmp_path / "s") as (_, path),
        opened(ssh_definition(server)) as host,
        host.connect(path) as stream,
    ):
        server.drop_connections()
        with pytest.raises(ConnectionLostError):
            await stream.read()
