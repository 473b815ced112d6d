"""Frames between this process and its workers: a kind, a small header, a body of bytes, over a Unix socket pair.

A frame is `kind(1) | header length(4 LE) | body length(8 LE) | header (msgpack) | body`. Both ends are ours and the pair has no name, so
nothing here guards against a stranger; lengths are bounded all the same, so that a mistake ends with an error and not with the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import RepositoryError
from engine.storages.base import Buffer

_PREFIX = struct.Struct("<1sIQ")
_MAX_BODY_BYTES = 1 << 32
_SOCKET_BUFFER_BYTES = 1 << 20
_MOST_DESCRIPTORS = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Frame(NamedTuple):
    """One message. The body is the receiver's own to keep."""

    kind: bytes
    header: Any
    body: bytearray


def _head(kind: bytes, header: Any, body_bytes: int) -> bytes:
    packed = _encode(header)
    return _PREFIX.pack(kind, len(packed), body_bytes) + packed


class Channel:
    """The parent's end, on the event loop. One task may send while another receives."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection

    async def send(self, kind: bytes, header: Any, parts: Sequence[Buffer] = ()) -> None:
        """Sends one frame; waits while the worker is not reading. Raises: RepositoryError where the worker is gone."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._connection, _head(kind, header, sum(map(len, parts))))
            for part in parts:
                await loop.sock_sendall(self._connection, part)
        except OSError as error:
            raise RepositoryError("a worker process ended before its work was done") from error

    async def send_first(self, kind: bytes, header: Any, descriptors: Sequence[int]) -> None:
        """As `send`, with open files for the worker, which then has them in `WorkerEnd.descriptors`; they stay the caller's to close.

        Only while nothing else is on its way there. Raises: RepositoryError where the worker is gone.
        """
        head = _head(kind, header, 0)
        try:
            sent = socket.send_fds(self._connection, [head], list(descriptors))
            await asyncio.get_running_loop().sock_sendall(self._connection, head[sent:])
        except OSError as error:
            raise RepositoryError("a worker process ended before its work was done") from error

    async def receive(self) -> Frame:
        """The next frame. Raises: RepositoryError where the worker is gone."""
        kind, header_bytes, body_bytes = _PREFIX.unpack(await self._exactly(_PREFIX.size))
        header = _decode(await self._exactly(header_bytes))
        return Frame(kind, header, await self._exactly(body_bytes))

    async def _exactly(self, length: int) -> bytearray:
        if length > _MAX_BODY_BYTES:
            raise RepositoryError("a worker process sent a frame beyond all bounds")
        loop = asyncio.get_running_loop()
        buffer = bytearray(length)
        view = memoryview(buffer)
        done = 0
        while done < length:
            try:
                count = await loop.sock_recv_into(self._connection, view[done:])
            except OSError as error:
                raise RepositoryError("a worker process ended before its work was done") from error
            if not count:
                raise RepositoryError("a worker process ended before its work was done")
            done += count
        return buffer

    async def wait_ended(self) -> None:
        """Tells the worker that nothing more comes, drops what it still says, and waits until it is gone.

        No other task may be receiving any more.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(self._connection, _SOCKET_BUFFER_BYTES):
                pass

    def close(self) -> None:
        """Closes this end; the worker sees the end of the stream and exits."""
        self._connection.close()


class WorkerEnd:
    """The worker's end: blocking, for a process that does one thing at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.descriptors: list[int] = []
        """Open files that came with the last frame that had any; the worker's to close."""

    def send(self, kind: bytes, header: Any, parts: Sequence[Buffer] = ()) -> None:
        """Sends one frame, blocking while the parent is not reading."""
        self._connection.sendall(_head(kind, header, sum(map(len, parts))))
        for part in parts:
            self._connection.sendall(part)

    def receive(self) -> Frame | None:
        """The next frame; None when the parent has closed."""
        prefix = self._prefix()
        if prefix is None:
            return None
        kind, header_bytes, body_bytes = _PREFIX.unpack(prefix)
        header, body = self._exactly(header_bytes), self._exactly(body_bytes)
        return None if header is None or body is None else Frame(kind, _decode(header), body)

    def _prefix(self) -> bytes | bytearray | None:
        """The beginning of a frame, and the open files that come with it."""
        first, descriptors, _, _ = socket.recv_fds(self._connection, _PREFIX.size, _MOST_DESCRIPTORS)
        self.descriptors = descriptors or self.descriptors
        rest = self._exactly(_PREFIX.size - len(first)) if first else None
        return None if rest is None else first + rest

    def _exactly(self, length: int) -> bytearray | None:
        buffer = bytearray(length)
        view = memoryview(buffer)
        done = 0
        while done < length:
            count = self._connection.recv_into(view[done:])
            if not count:
                return None
            done += count
        return buffer


@asynccontextmanager
async def start_workers(module: str, count: int) -> AsyncIterator[list[Channel]]:
    """Starts `count` processes that each run `module` on one channel, and ends them on the way out.

    One interpreter is started and forks itself, before it has threads: importing is most of what a start costs. They are plain
    children with a bare environment and not multiprocessing's, which would import the main module again in each.
    """
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, theirs in pairs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
    numbers = [theirs.fileno() for _, theirs in pairs]
    # A subprocess by asyncio needs a child watcher and a turn of the loop; this one is only waited for at the end.
    process = subprocess.Popen(  # noqa: ASYNC220 -- fork and exec take a millisecond
        [
            sys.executable,
            "-P",
            "-c",
            f"from engine.repository import frames, {module}; frames.serve({module}.work, {numbers!r})",
        ],
        pass_fds=numbers,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    for _, theirs in pairs:
        theirs.close()
    channels = [Channel(ours) for ours, _ in pairs]
    try:
        yield channels
    finally:
        for channel in channels:
            channel.close()
        process.terminate()
        process.wait()


def serve(work: Any, numbers: Sequence[int]) -> None:
    """The worker processes' main function: one fork for each channel, the first served by this process itself."""
    children: list[int] = []
    mine = numbers[0]
    for number in numbers[1:]:
        pid = os.fork()
        if pid == 0:
            mine, children = number, []
            break
        children.append(pid)
    for number in numbers:
        if number != mine:
            os.close(number)
    with (
        socket.socket(fileno=mine) as connection,
        contextlib.suppress(BrokenPipeError, ConnectionResetError, KeyboardInterrupt),
    ):
        work(WorkerEnd(connection))
    for pid in children:
        os.waitpid(pid, 0)
