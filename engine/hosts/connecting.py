"""Connections to what listens: a reader and a writer of asyncio's kind as a `base.ByteStream`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from engine.errors import ConnectionLostError, HoldfastError, HostUnreachableError
from engine.hosts.base import READ_BYTES, ByteStream

CLOSE_TIMEOUT_S = 5.0


class Reader(Protocol):
    """Of asyncio, or of asyncssh."""

    async def read(self, n: int = ..., /) -> bytes:
        """What has come."""
        ...


class Writer(Protocol):
    """Of asyncio, or of asyncssh."""

    def write(self, data: bytes, /) -> None:
        """Takes it."""
        ...

    async def drain(self) -> None:
        """Waits while too much was taken."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...

    async def wait_closed(self) -> None:
        """Waits for the end."""
        ...


class PairedStream:
    """See `base.ByteStream`."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        errors: tuple[type[Exception], ...],
        translate: Callable[[Exception], HoldfastError],
    ) -> None:
        """`translate` makes ours of `errors`."""
        self._reader = reader
        self._writer = writer
        self._errors = errors
        self._translate = translate

    async def read(self) -> bytes:
        """See `base.ByteStream.read`."""
        try:
            return await self._reader.read(READ_BYTES)
        except self._errors as error:
            raise self._translate(error) from error

    async def write(self, data: bytes) -> None:
        """See `base.ByteStream.write`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except self._errors as error:
            raise self._translate(error) from error

    async def close(self) -> None:
        """Ends it, and waits a while until the other end knows."""
        with contextlib.suppress(TimeoutError, *self._errors):
            self._writer.close()
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()


def where(address: str, port: int) -> str:
    """For messages."""
    return address if address.startswith("/") else f"port {port} of {address}"


@asynccontextmanager
async def local(host: str, address: str, port: int) -> AsyncIterator[ByteStream]:
    """A connection from this machine. See `base.OpenHost.connect`."""

    def lost(error: Exception) -> HoldfastError:
        return ConnectionLostError(f"the connection of {host} to {where(address, port)} was lost: {error}")

    try:
        if address.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        raise HostUnreachableError(
            f"nothing answers at {where(address, port)} on {host}: {error.strerror or error}"
        ) from error
    stream = PairedStream(reader, writer, (OSError,), lost)
    try:
        yield stream
    finally:
        await stream.close()
