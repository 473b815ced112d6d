"""Items of which every member makes use: the standard output of one command, judged at its end, and bytes that are made here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import msgspec

from engine.errors import ConnectionLostError, IncompleteDumpError
from engine.hosts.base import Command, DirectProcess, Exit, OpenHost, Process, require_success
from engine.model.manifest import Manifest
from engine.sources.base import ItemStream

MANIFEST_PATH = "manifest.json"

Judge = Callable[[Exit], Sequence[str]]
"""Looks at a command that ended: warnings, or raises in its own words. What it lets pass must still have status 0."""


def no_opinion(_ended: Exit) -> Sequence[str]:
    """A judge for commands of which nothing but the status is known."""
    return ()


@dataclass(frozen=True, slots=True)
class DumpItem:
    """See `base.Item`."""

    path: str
    host: OpenHost
    command: Command
    judge: Judge = no_opinion
    listen: Callable[[Sequence[bytes]], None] | None = None
    """Gets the lines that a command wrote to standard error, once it has ended well."""

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        async with self.host.start(self.command) as process:
            yield (
                _DirectStream(self, process)
                if isinstance(process, DirectProcess)
                else _DumpStream(self, process)
            )


class _DumpStream:
    """See `base.ItemStream`."""

    def __init__(self, item: DumpItem, process: Process) -> None:
        self._item = item
        self._process = process
        self._is_at_end = False

    async def read(self) -> bytes:
        data = await self._process.read()
        self._is_at_end = not data
        return data

    async def judge(self) -> Sequence[str]:
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        ended = await self._process.wait()
        name = self._item.host.name
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{name} never said how {self._item.command.program} ended")
        warnings = self._item.judge(ended)
        require_success(name, self._item.command, ended)
        if self._item.listen is not None:
            self._item.listen([line async for line in self._process.stderr_lines()])
        return warnings


class _DirectStream(_DumpStream):
    """See `base.DirectStream`."""

    def __init__(self, item: DumpItem, process: DirectProcess) -> None:
        super().__init__(item, process)
        self._direct = process

    async def read_into(self, room: memoryview) -> int:
        count = await self._direct.read_into(room)
        self._is_at_end = not count
        return count


@dataclass(frozen=True, slots=True)
class MadeItem:
    """See `base.Item`: bytes that are made here when it is opened, from what the items before it found."""

    path: str
    make: Callable[[], Awaitable[bytes]]

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        yield _MadeStream(await self.make())


class _MadeStream:
    """See `base.ItemStream`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    async def judge(self) -> Sequence[str]:
        return ()


def manifest_item(make: Callable[[], Awaitable[Manifest]]) -> MadeItem:
    """`manifest.json`, the last item of a database's backup."""

    async def encode() -> bytes:
        return msgspec.json.format(msgspec.json.encode(await make()), indent=1)

    return MadeItem(MANIFEST_PATH, encode)
