"""A copy of the whole cluster by pg_basebackup, as one tar: for clusters that are too large to be dumped, and as a base for recovery.

The repository cuts by content, so files that did not change are found again inside of the tar. What is in it starts as a server of the
same major version; the write-ahead log that makes it consistent comes with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from engine.errors import ConnectionLostError, IncompleteDumpError
from engine.hosts.base import Command, Exit, Process, require_started
from engine.sources.base import ItemStream
from engine.sources.postgres import facts, session, words
from engine.sources.postgres.base_backup import BaseReader
from engine.sources.postgres.dumping import Gathered, Wanted


def command(wanted: Wanted) -> Command:
    """pg_basebackup to standard output. It takes but one tablespace there, and log only by fetching it at the end (measured)."""
    made = wanted.connection.command(
        "pg_basebackup",
        *("--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--label=holdfast", "--no-sync"),
    )
    return replace(made, compress=True)


@dataclass(frozen=True, slots=True)
class BaseItem:
    """The cluster. See `base.Item`."""

    wanted: Wanted
    database: str
    """Where the server is asked what it is."""
    gathered: Gathered
    path: str = "base.tar"

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        wanted = self.wanted
        async with session.opened(wanted.host, wanted.connection, self.database) as asked:
            server = await facts.server(asked)
        async with wanted.host.start(command(wanted)) as process:
            yield _BaseStream(self, process, server)


class _BaseStream:
    """See `base.ItemStream`."""

    def __init__(self, item: BaseItem, process: Process, server: facts.ServerFacts) -> None:
        self._item = item
        self._process = process
        self._server = server
        self._reader = BaseReader()
        self._is_at_end = False

    async def read(self) -> bytes:
        piece = await self._process.read()
        self._is_at_end = not piece
        if piece:
            self._reader.feed(piece)
        return piece

    async def judge(self) -> Sequence[str]:
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        ended = self._successful(await self._process.wait())
        self._reader.require_whole()
        self._item.gathered.server = self._server
        return words.warnings(ended.stderr)

    def _successful(self, ended: Exit) -> Exit:
        host = self._item.wanted.host
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_basebackup ended")
        require_started(host.name, command(self._item.wanted), ended)
        if not ended.is_success:
            raise words.failure(ended, f"the cluster of {host.name} could not be copied", IncompleteDumpError)
        return ended
