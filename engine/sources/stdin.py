"""Standard input of this process as one file of the backup: `pg_dump shop | holdfast backup --stdin shop.sql --as-source shop`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import Command, OpenHost
from engine.model.definitions import Source
from engine.sources.base import Item, ItemStream, Secrets, Traits, TreeFeed
from engine.sources.options import Reader, require_filename

_READ_BYTES = 1 << 20
"""So much is read at once, and so large is the pipe made: Linux grants that to everybody (fs.pipe-max-size)."""


class StdinSource:
    """See `base.OpenSource`. It can be read once."""

    traits = Traits(kind="stdin", shape="items")

    def __init__(self, filename: str, descriptor: int = 0) -> None:
        """`descriptor` stays open: it is not ours."""
        self._item = _StdinItem(filename, descriptor)

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[StdinSource]:
        """Opens it. Raises: ConfigurationError."""
        del host, secrets
        given = Reader(definition)
        filename = require_filename(given)
        given.require_no_more()
        yield cls(filename)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`. Raises: SourceError where standard input is a terminal."""
        self._item.require_input()
        return {"filename": self._item.path}

    async def commands(self) -> Sequence[Command]:
        """None: nothing runs."""
        return []

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`."""
        return [self._item]

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("standard input has no tree, but an item")


class _StdinItem:
    """See `base.Item`."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def require_input(self) -> None:
        """Raises SourceError where nobody pipes anything in."""
        if os.isatty(self._descriptor):
            raise SourceError(
                "standard input is a terminal",
                hint="pipe the dump in: pg_dump NAME | holdfast backup --stdin FILENAME",
            )

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        self.require_input()
        was_blocking = os.get_blocking(self._descriptor)
        mode = os.fstat(self._descriptor).st_mode
        can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if can_wait:
            # Waited for by the event loop, so that a cancelled backup does not hang in a thread until the writer says something.
            os.set_blocking(self._descriptor, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _READ_BYTES)
        try:
            yield _StdinStream(self.path, self._descriptor, can_wait=can_wait)
        finally:
            os.set_blocking(self._descriptor, was_blocking)


class _StdinStream:
    """See `base.DirectStream`."""

    def __init__(self, path: str, descriptor: int, *, can_wait: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._can_wait = can_wait
        self._size = 0
        self._is_at_end = False

    async def read(self) -> bytes:
        room = memoryview(bytearray(_READ_BYTES))
        return bytes(room[: await self.read_into(room)])

    async def read_into(self, room: memoryview) -> int:
        parts = (room[:_READ_BYTES],)
        count = (
            await self._next(parts)
            if self._can_wait
            else await asyncio.to_thread(os.readv, self._descriptor, parts)
        )
        self._size += count
        self._is_at_end = not count
        return count

    async def judge(self) -> Sequence[str]:
        if not self._is_at_end:
            raise IncompleteDumpError(f"standard input for {self._path} was not read to its end")
        if not self._size:
            raise IncompleteDumpError(
                f"standard input for {self._path} was empty",
                hint="the command ahead of the pipe failed: run it alone, or put `set -o pipefail` in the script",
            )
        return (
            "whether the command ahead of the pipe succeeded cannot be seen from here: use `set -o pipefail`",
        )

    async def _next(self, parts: Sequence[memoryview]) -> int:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.readv(self._descriptor, parts)
            except BlockingIOError:
                ready: asyncio.Future[None] = loop.create_future()
                loop.add_reader(self._descriptor, _set_done, ready)
                try:
                    await ready
                finally:
                    loop.remove_reader(self._descriptor)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
