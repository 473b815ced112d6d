"""The items of a backup: the accounts, a dump a database, and the manifest that is put together while those are read."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec

from engine.errors import IncompleteDumpError, SourceError, UnknownNameError
from engine.hosts.base import Command, Exit, Process, require_started
from engine.model.manifest import DatabaseFacts, Manifest
from engine.sources.base import ItemStream
from engine.sources.mariadb import facts as reading
from engine.sources.mariadb.connection import Connection, hides_events
from engine.sources.mariadb.dump_text import DumpScanner

MANIFEST_PATH = "manifest.json"
MANIFEST_LIMIT_NAMED = 20
"""So many tables are named in a warning."""


@dataclass(slots=True)
class Gathered:
    """What the reading of the other items tells the manifest."""

    kind: str
    tool_version: str
    identity: str
    scope: str
    server_version: str = ""
    taken_at: datetime.datetime | None = None
    databases: list[DatabaseFacts] = field(default_factory=list)
    roles: Sequence[str] = ()
    positions: list[str] = field(default_factory=list)
    """Of the log, one a database, since each dump has its own instant: `PATH FILE:POSITION GTID`. Of a copy of files there is one."""
    folder: str = ""
    increments: Sequence[str] = ()
    files_id: str = ""
    received_bytes: int = 0
    """Of a copy of files."""
    log_note: str = ""
    """What a copy of files says of the log: `FILE POSITION GTIDS`; empty where the server keeps none."""

    def manifest(self) -> Manifest:
        """Raises: IncompleteDumpError where no database was read."""
        if self.taken_at is None:
            raise IncompleteDumpError(
                "no database was dumped, so there is nothing that a manifest could tell"
            )
        return Manifest(
            kind=self.kind,
            taken_at=self.taken_at,
            server_version=self.server_version,
            tool_version=self.tool_version,
            identity=self.identity,
            databases=sorted(self.databases, key=lambda each: each.name),
            roles=self.roles,
            position="\n".join(self.positions),
            scope=self.scope,
            folder=self.folder,
            increments=self.increments,
            files_id=self.files_id,
        )


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """An item that is made here: `make` gives its bytes and its warnings, and is asked when it is opened."""

    path: str
    make: Callable[[], Awaitable[tuple[bytes, Sequence[str]]]]

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        try:
            data, warnings = await self.make()
        except SourceError as error:
            yield _MemoryStream(self.path, b"", (), error)
        else:
            yield _MemoryStream(self.path, data, warnings)


class _MemoryStream:
    """See `base.ItemStream`."""

    def __init__(
        self, path: str, data: bytes, warnings: Sequence[str], error: SourceError | None = None
    ) -> None:
        self._path = path
        self._data = data
        self._warnings = warnings
        self._error = error
        self._is_at_end = False

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        self._is_at_end = not data
        return data

    async def judge(self) -> Sequence[str]:
        if self._error is not None:
            raise self._error
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._path} was not read to its end")
        return self._warnings


def manifest_item(gathered: Gathered) -> MemoryItem:
    """The last item. Its stream fails where no database was read."""

    async def make() -> tuple[bytes, Sequence[str]]:
        return msgspec.json.format(msgspec.json.encode(gathered.manifest()), indent=1), ()

    return MemoryItem(MANIFEST_PATH, make)


@dataclass(frozen=True, slots=True)
class DatabaseItem:
    """One database's dump. See `base.Item`.

    Rows are counted in the dump itself, and so are those of its very instant; names and sizes are looked at just before it begins, and once
    more after it where its tables are others.
    """

    path: str
    name: str
    connection: Connection
    command: Command
    gathered: Gathered
    tables: tuple[str, ...] = ()
    has_content: bool = True
    has_schema: bool = True

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        before: reading.Look | SourceError | UnknownNameError
        try:
            before = await reading.look(self.connection, self.name)
        except (SourceError, UnknownNameError) as error:
            before = error  # the dump will most likely say the same, and better
        async with self.connection.host.start(self.command) as process:
            yield _DumpStream(self, process, before)


class _DumpStream:
    """See `base.ItemStream`."""

    def __init__(
        self, item: DatabaseItem, process: Process, before: reading.Look | SourceError | UnknownNameError
    ) -> None:
        self._item = item
        self._process = process
        self._before = before
        self._scanner = DumpScanner()
        self._is_at_end = False

    async def read(self) -> bytes:
        data = await self._process.read()
        for _span in self._scanner.feed(data):
            pass
        self._is_at_end = not data
        return data

    async def judge(self) -> Sequence[str]:
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        for _span in self._scanner.end():
            pass
        self._require_whole(await self._process.wait())
        look = self._before
        if isinstance(look, (SourceError, UnknownNameError)):
            raise look
        return await self._gather(look)

    def _require_whole(self, ended: Exit) -> None:
        connection, command = self._item.connection, self._item.command
        require_started(connection.host.name, command, ended)
        if not ended.is_success:
            raise connection.failure(command, ended, IncompleteDumpError)
        if not self._scanner.is_complete:
            raise IncompleteDumpError(
                f"the dump of {self._item.name!a} lacks its end marker, `-- Dump completed`",
                hint="skip-comments in an option file of the host's client takes it away",
            )

    async def _gather(self, look: reading.Look) -> list[str]:
        item, scanner, gathered = self._item, self._scanner, self._item.gathered
        warnings = []
        told = scanner.tables if item.has_schema else scanner.rows.keys()
        if not item.tables and {table.name for table in look.facts.tables} != told:
            look = await reading.look(item.connection, item.name)
            if {table.name for table in look.facts.tables} != told:
                warnings.append(
                    f"tables of {item.name!a} came or went during the dump: its manifest may not fit it"
                )
        facts = chosen(look.facts, item.tables)
        facts = replace(facts, events=()) if hides_events(item.name) else facts
        if look.has_newlines and item.has_content:
            warnings.append(
                f"{item.name!a} has a newline in a name of a table or column: its rows were counted after the dump"
            )
            rows = await reading.row_counts(item.connection, facts)
        else:
            rows = scanner.rows if item.has_content else dict.fromkeys(scanner.tables, 0)
        facts = reading.with_values(facts, rows, scanner.sequences)
        gathered.databases.append(replace(facts, path=item.path))
        gathered.server_version = look.server_version
        gathered.taken_at = min(gathered.taken_at or look.at, look.at)
        if scanner.position:
            gathered.positions.append(f"{item.path} {scanner.position} {scanner.gtid}".rstrip())
        if look.facts.events and not facts.events and not item.tables and item.has_schema:
            warnings.append(
                f"events of {item.name!a} are not in this backup: mariadb-dump cannot read those of a database with quotes in its name"
            )
        return [*warnings, *self._mixtures(look)]

    def _mixtures(self, look: reading.Look) -> list[str]:
        names = [
            name for name in look.not_transactional if not self._item.tables or name in self._item.tables
        ]
        if not names or not self._item.has_content:
            return []
        more = f" and {len(names) - MANIFEST_LIMIT_NAMED} more" if len(names) > MANIFEST_LIMIT_NAMED else ""
        listed = ", ".join(f"{name} ({look.engines[name]})" for name in names[:MANIFEST_LIMIT_NAMED])
        return [
            f"tables of {self._item.name!a} whose engine knows no transactions may hold a mixture of instants: {listed}{more}"
        ]


def chosen(facts: DatabaseFacts, tables: Sequence[str]) -> DatabaseFacts:
    """The facts of those tables alone, by their names; all where none is named."""
    if not tables:
        return facts
    names = frozenset(tables)

    def of_chosen(dotted: Sequence[str]) -> list[str]:
        return [each for each in dotted if any(each.startswith(f"{name}.") for name in names)]

    return replace(
        facts,
        tables=[table for table in facts.tables if table.name in names],
        indexes=of_chosen(facts.indexes),
        constraints=of_chosen(facts.constraints),
        sequences=[each for each in facts.sequences if each.name in names],
        views=[each for each in facts.views if each in names],
        routines=(),
        triggers=(),
        events=(),
    )
