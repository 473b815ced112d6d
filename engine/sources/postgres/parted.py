"""A large database as several dumps at once, in one snapshot: the main one holds everything but the rows of the tables that the others take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import IncompleteDumpError
from engine.format.layout import encode_name
from engine.hosts.base import Command
from engine.sources.base import Item, ItemStream, Parts
from engine.sources.postgres import archive_stream, dealing, dumping, instant
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.archive_stream import Origin
from engine.sources.postgres.dumping import DumpItem
from engine.sources.postgres.facts import TableName
from engine.sources.postgres.instant import Counting, Instant


@dataclass(frozen=True, slots=True)
class PartedDumpItem(DumpItem):
    """One database. See `base.PartedItem`."""

    def open_parts(self) -> AbstractAsyncContextManager[Parts]:
        """See `base.PartedItem.open_parts`. Raises on entering: SourceError, HostError."""
        return self._open_parts()

    @asynccontextmanager
    async def _open_parts(self) -> AsyncIterator[Parts]:
        wanted = self.wanted
        async with instant.held(wanted.host, wanted.connection, self.database, wanted.tables) as held:
            dealt = await dealing.dealt(held, wanted.jobs)
            async with instant.counted(held, has_rows=True) as counting:
                yield _Parts(self, held, counting, dealt)


class _Parts:
    """See `base.Parts`."""

    def __init__(
        self, item: PartedDumpItem, held: Instant, counting: Counting, dealt: Sequence[Sequence[TableName]]
    ) -> None:
        self._item = item
        self._held = held
        self._counting = counting
        elsewhere = [table for tables in dealt for table in tables]
        wanted, database, snapshot = item.wanted, item.database, held.snapshot
        main = dumping.main_command(wanted, database, snapshot, held.tables, elsewhere)
        self._main = _Part(item.path, self._origin(item.path), main, [], is_main=True)
        self._others = []
        for number, tables in enumerate(dealt, 1):
            path = f"databases/{encode_name(database)}.data/{number:04}.dump"
            command = dumping.part_command(wanted, database, snapshot, tables)
            self._others.append(_Part(path, self._origin(path), command, tables))

    @property
    def items(self) -> Sequence[Item]:
        """See `base.Parts.items`."""
        return [self._main, *self._others]

    async def judge(self) -> Sequence[str]:
        """See `base.Parts.judge`. The rows of each table are in exactly one of the archives."""
        archives = [each.archive() for each in (self._main, *self._others)]
        main, *others = archives
        for part, archive in zip(self._others, others, strict=True):
            dealt = {(table.schema, table.name) for table in part.tables}
            if archive.is_known and _filled(archive) != dealt:
                raise IncompleteDumpError(
                    f"{part.path} does not hold the rows of the tables that it was to hold"
                )
            if main.is_known and _filled(main) & dealt:
                raise IncompleteDumpError(f"{self._main.path} holds rows that {part.path} holds, too")
        found = await self._counting.facts()
        paths = [each.path for each in self._others]
        self._item.gathered.add(self._held.server, found, main, self._item.path, paths)
        return ()

    def _origin(self, path: str) -> Origin:
        return Origin(self._item.wanted.host, self._item.database, path, self._counting)


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the dumps. See `base.Item`."""

    path: str
    origin: Origin
    command: Command
    tables: Sequence[TableName]
    is_main: bool = False
    came: list[ArchiveReader] = field(default_factory=list)

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        async def whole(archive: ArchiveReader) -> None:
            self.came.append(archive)

        host, command = self.origin.host, self.command
        # The main one must not wait for its own session's channel; the others may wait for those that were before them.
        async with dumping.started(host, command) if self.is_main else host.start(command) as process:
            yield archive_stream.streamed(self.origin, self.command, process, whole)

    def archive(self) -> ArchiveReader:
        """What came. Raises: IncompleteDumpError where it did not come whole."""
        if not self.came:
            raise IncompleteDumpError(f"{self.path} was not read to its end")
        return self.came[0]


def _filled(archive: ArchiveReader) -> set[tuple[str, str]]:
    return {(entry.namespace, entry.name) for entry in archive.entries if entry.kind == "TABLE DATA"}
