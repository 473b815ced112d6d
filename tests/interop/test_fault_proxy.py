"""The fault proxies do what the suite of faults believes: against a small HTTP server, through a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.servers.fault_proxy import Fault, Harm, Way, running_fault_proxy
from tests.servers.http_fault_proxy import Answer, Spoiled, running_http_fault_proxy

BODY = bytes(range(256)) * 4096


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that answers each request with BODY, and then ends the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"Content-Length: 1048576" in head:
                await reader.readexactly(1 << 20)
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def ask(port: int, body: bytes = b"") -> bytes:
    """All that is answered, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return await reader.read(-1)
    finally:
        writer.close()


async def test_what_is_not_spoiled_passes(port: int) -> None:
    """A proxy with faults of its own would prove nothing."""
    async with running_fault_proxy(port) as proxy, running_http_fault_proxy(port) as http_proxy:
        for each in (proxy.port, http_proxy.port):
            assert (await ask(each, bytes(1 << 20))).endswith(b"\r\n\r\n" + BODY)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Harm.REFUSE),
        Fault(Harm.CUT, Way.UP, after_bytes=500_000),
        Fault(Harm.CUT, Way.DOWN, after_bytes=500_000),
        Fault(Harm.CUT, Way.DOWN),
    ],
    ids=lambda fault: f"{fault.harm.name} {fault.way.name} {fault.after_bytes}",
)
async def test_a_connection_is_reset_once(port: int, fault: Fault) -> None:
    """The next one goes through."""
    async with running_fault_proxy(port) as proxy:
        proxy.arm(fault)
        with pytest.raises(ConnectionError):
            await ask(proxy.port, bytes(1 << 20))
        assert (await ask(proxy.port, bytes(1 << 20))).endswith(BODY)
        assert proxy.struck == 1


async def test_a_stream_ends_early_or_is_changed_at_the_byte_that_was_named(port: int) -> None:
    """A test says where."""
    async with running_fault_proxy(port) as proxy:
        whole = await ask(proxy.port)
        proxy.arm(Fault(Harm.CLOSE, Way.DOWN, after_bytes=1000))
        assert await ask(proxy.port) == whole[:1000]
        proxy.arm(Fault(Harm.FLIP, Way.DOWN, after_bytes=70_000))
        assert await ask(proxy.port) == whole[:70_000] + bytes([whole[70_000] ^ 1]) + whole[70_001:]


async def test_a_stall_holds_until_the_client_gives_up(port: int) -> None:
    """Only the client's own patience ends it."""
    async with running_fault_proxy(port) as proxy:
        proxy.arm(Fault(Harm.STALL, Way.DOWN, after_bytes=1000))
        asking = asyncio.ensure_future(ask(proxy.port))  # noqa: TID251 -- it is awaited below
        await proxy.has_struck.wait()
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_an_answer_is_replaced_cut_or_changed(port: int) -> None:
    """And the request counted."""
    async with running_http_fault_proxy(port) as proxy:
        proxy.spoil(Spoiled(answer=Answer(503, b"busy"), method="GET"))
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readexactly(12)) == b"HTTP/1.1 503"
        writer.close()
        proxy.spoil(Spoiled(is_truncated=True))
        with contextlib.suppress(ConnectionError):
            assert len(await ask(proxy.port)) < len(BODY)
        proxy.spoil(Spoiled(is_flipped=True))
        changed = (await ask(proxy.port))[-len(BODY) :]
        assert [place for place, byte in enumerate(changed) if byte != BODY[place]] == [len(BODY) // 2]
        assert [each.method for each in proxy.requests] == ["GET"]
