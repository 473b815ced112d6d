"""What a command writes, on its way through the short cut past asyncssh and without it, against OpenSSH's server."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.errors import ConnectionLostError
from engine.hosts.base import Command, OpenHost
from engine.hosts.ssh.receiving import Receiver
from tests.families.hosts import drain, opened, ssh_definition
from tests.servers.sshd import Sshd

MIB = 1 << 20
SLOW_CIPHER = "Ciphers chacha20-poly1305@openssh.com"
NUMBERS = Command(("seq", "3000000"))
NUMBERS_SHA256 = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, 3_000_001))).hexdigest()


def receivers(host: OpenHost) -> list[Receiver]:
    """Those under the host's connections."""
    protocols = [connection._transport.get_protocol() for connection in host._connections]  # type: ignore[attr-defined]
    return [protocol for protocol in protocols if isinstance(protocol, Receiver)]


async def sha256_of(host: OpenHost, command: Command) -> str:
    """Of all that the command writes."""
    digest = hashlib.sha256()
    async with host.start(command) as process:
        while piece := await process.read():
            digest.update(piece)
        assert (await process.wait()).is_success
    return digest.hexdigest()


async def test_nearly_all_of_a_stream_takes_the_short_way(sshd: Sshd) -> None:
    """An asyncssh that is made otherwise would cost a quarter more, and nobody would notice."""
    async with opened(ssh_definition(sshd)) as host:
        assert await sha256_of(host, NUMBERS) == NUMBERS_SHA256
        (receiver,) = receivers(host)
    assert receiver.taken_bytes > 20 * MIB


@pytest.mark.parametrize("limit", ["RekeyLimit 1M", SLOW_CIPHER])
async def test_a_stream_arrives_whole(start_sshd: Callable[..., Sshd], limit: str) -> None:
    """New keys every megabyte, and an encryption for which there is no short way."""
    async with opened(ssh_definition(start_sshd(extra=(limit,)))) as host:
        found = [await sha256_of(host, NUMBERS) for _ in range(2)]
        (receiver,) = receivers(host)
    assert found == [NUMBERS_SHA256] * 2
    assert (receiver.taken_bytes > 20 * MIB) == (limit != SLOW_CIPHER)


@pytest.mark.parametrize("cipher", ["Ciphers aes128-gcm@openssh.com", SLOW_CIPHER])
async def test_a_slow_reader_holds_the_command_back(start_sshd: Callable[..., Sshd], cipher: str) -> None:
    """What is compressed and stored comes in faster than it goes out: it must wait on the host and not in our memory."""
    server = start_sshd(extra=(cipher,))
    read_bytes = 0
    async with opened(ssh_definition(server)) as host, host.start(Command(("cat", "/dev/zero"))) as process:
        read_bytes += len(await process.read())
        (cat,) = [one for one in server.processes() if one.cmdline() == ["cat", "/dev/zero"]]
        while read_bytes < 160 * MIB:
            read_bytes += len(await process.read())
            ahead_bytes = await _standstill(cat) - read_bytes
            assert ahead_bytes < 32 * MIB


async def _standstill(writer: psutil.Process) -> int:
    """What the process has written once it does not get on any more, however often we look."""
    written_bytes, looks = 0, 0
    while looks < 50:
        before, written_bytes = written_bytes, writer.io_counters().write_chars
        looks = looks + 1 if written_bytes == before else 0
        await asyncio.sleep(0)
    return int(written_bytes)


@pytest.mark.parametrize("cipher", ["Ciphers aes128-gcm@openssh.com", SLOW_CIPHER])
async def test_a_damaged_packet_ends_the_connection(start_sshd: Callable[..., Sshd], cipher: str) -> None:
    """No byte is taken from a packet whose seal is wrong."""
    with _damaging_proxy(start_sshd(extra=(cipher,)), 20 * MIB) as server:
        definition = ssh_definition(server, known_hosts=None, host_key=_host_key(server))
        async with opened(definition) as host, host.start(Command(("cat", "/dev/zero"))) as process:
            with pytest.raises(ConnectionLostError):
                await drain(process)


def _host_key(server: Sshd) -> str:
    return " ".join(Path(f"{server.host_key}.pub").read_text(encoding="utf-8").split()[:2])


@contextmanager
def _damaging_proxy(server: Sshd, at_bytes: int) -> Iterator[Sshd]:
    """The server behind a line that turns one bit of what it sends on the first connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:

        def serve() -> None:
            ours = stack.enter_context(listening.accept()[0])
            theirs = stack.enter_context(socket.create_connection((server.address, server.port)))
            back = threading.Thread(target=_carry, args=(ours, theirs, None))
            back.start()
            _carry(theirs, ours, at_bytes)
            back.join()

        serving = threading.Thread(target=serve)
        serving.start()
        yield replace(server, port=listening.getsockname()[1])
        serving.join()


def _carry(source: socket.socket, target: socket.socket, left: int | None) -> None:
    with suppress(OSError):
        while data := bytearray(source.recv(65536)):
            if left is not None:
                if 0 <= left < len(data):
                    data[left] ^= 1
                left -= len(data)
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
