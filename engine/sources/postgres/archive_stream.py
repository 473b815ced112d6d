"""An archive of pg_dump as it comes from a host, and how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from engine.errors import ConnectionLostError, IncompleteDumpError
from engine.hosts.base import Command, DirectProcess, Exit, OpenHost, Process, require_started
from engine.sources.base import ItemStream
from engine.sources.postgres import words
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.instant import Counting

Whole = Callable[[ArchiveReader], Awaitable[None]]
"""Takes an archive that came whole. May raise all the same."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an archive is of."""

    host: OpenHost
    database: str
    path: str
    """Of its item, for messages."""
    counting: Counting


def streamed(origin: Origin, command: Command, process: Process, whole: Whole) -> ItemStream:
    """The running pg_dump as the stream of an item; `whole` is told when it is judged."""
    made = _DirectStream if isinstance(process, DirectProcess) else _ArchiveStream
    return made(origin, command, process, whole)


class _ArchiveStream:
    """See `base.ItemStream`."""

    def __init__(self, origin: Origin, command: Command, process: Process, whole: Whole) -> None:
        self._origin = origin
        self._command = command
        self._process = process
        self._whole = whole
        self._archive = ArchiveReader()
        self._is_at_end = False

    async def read(self) -> bytes:
        """See `base.ItemStream.read`. Raises: IncompleteDumpError where it is no archive."""
        piece = await self._process.read()
        await self._take(piece)
        return piece

    async def _take(self, piece: bytes | memoryview) -> None:
        self._is_at_end = not piece
        if piece:
            try:
                self._archive.feed(piece)
            except IncompleteDumpError:
                await self._require_success()
                raise

    async def judge(self) -> Sequence[str]:
        """See `base.ItemStream.judge`."""
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._origin.path} was not read to its end")
        ended = await self._require_success()
        self._archive.require_whole()
        await self._whole(self._archive)
        return words.warnings(ended.stderr)

    async def _require_success(self) -> Exit:
        ended = await self._process.wait()
        host, counting = self._origin.host, self._origin.counting
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_dump ended")
        require_started(host.name, dataclasses.replace(self._command, words=("pg_dump",)), ended)
        if not ended.is_success:
            if counting.failure is not None and b"snapshot" in ended.stderr:
                raise counting.failure  # the session ended first, and its snapshot with it
            what = f"database {self._origin.database!a} of {host.name} could not be dumped"
            raise words.failure(ended, what, IncompleteDumpError)
        return ended


class _DirectStream(_ArchiveStream):
    """See `base.DirectStream`."""

    async def read_into(self, room: memoryview) -> int:
        assert isinstance(self._process, DirectProcess)
        count = await self._process.read_into(room)
        await self._take(room[:count])
        return count
