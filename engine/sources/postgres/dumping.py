"""The items of a backup: roles, each database as pg_dump reads it in a snapshot that a session holds, and the manifest of them all."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import ConnectionLostError, IncompleteDumpError, SourceError
from engine.format.layout import encode_name
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.model.backup import Scope
from engine.model.manifest import DatabaseFacts, Manifest, SequenceFacts, Tablespace
from engine.model.secret import Secret
from engine.sources import dump
from engine.sources.base import ItemStream
from engine.sources.dump import MadeItem
from engine.sources.logs import BasePosition
from engine.sources.postgres import archive_stream, instant, quoting, words
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.archive_stream import Origin
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.facts import ServerFacts, TableName

LOCK_TIMEOUT = "60s"
"""How long a dump waits for a table that somebody changes; then it fails, and does not queue everybody else behind itself."""
START_TIMEOUT_S = 300.0
LEAST_WINDOW_BYTES = 2 << 20
"""Several dumps at once share what one may have on its way, down to so much."""
_SNAPSHOT_NAME = "HOLDFAST_SNAPSHOT"
_WITH_SNAPSHOT = f'exec "$0" "--snapshot=${_SNAPSHOT_NAME}" "$@"'
_TABLES_NAME = "HOLDFAST_TABLES"
_WITH_TABLES = f"""\
set -f
IFS=$(printf '\\t') tables=${_TABLES_NAME}
unset {_TABLES_NAME}
exec "$0" "--snapshot=${_SNAPSHOT_NAME}" "$@" $tables
"""
"""Words that a tab parts, which no pattern holds: the shell takes them apart and looks at nothing else in them."""
_END_OF_GLOBALS = b"PostgreSQL database cluster dump complete"
_TAIL_BYTES = 4096
_SCOPE_WORDS = {Scope.SCHEMA: ("--schema-only",), Scope.CONTENT: ("--data-only",)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is dumped, and from where."""

    host: OpenHost
    connection: Connection
    tables: Sequence[str] = ()
    scope: Scope = Scope.ALL
    jobs: int = 1
    """So many dumps of one database at once, where it is large enough."""

    @property
    def has_rows(self) -> bool:
        """Whether the dumps hold rows."""
        return self.scope is not Scope.SCHEMA


@dataclass(slots=True)
class Gathered:
    """What the items learn while they are read: the manifest is made of it."""

    server: ServerFacts | None = None
    databases: list[DatabaseFacts] = field(default_factory=list)
    roles: Sequence[str] = ()
    tool_version: str = ""
    folder: str = ""
    """Of the server's own files, where they are what is backed up."""
    tablespaces: Sequence[Tablespace] = ()
    base: BasePosition | None = None
    """Of a copy of the server's own files: from where on its log goes on."""
    received_bytes: int = 0
    """Of such a copy: so much came from the server, where it sent only what changed."""

    def add(
        self,
        server: ServerFacts,
        found: DatabaseFacts,
        archive: ArchiveReader,
        path: str,
        parts: Sequence[str] = (),
    ) -> None:
        """One database, dumped whole; `archive` is the one that says what there is, at `path`."""
        self.server = self.server or server
        if archive.head is not None:
            self.tool_version = archive.head.tool_version
        self.databases.append(dataclasses.replace(_with_values(found, archive), path=path, parts=parts))


def dump_command(wanted: Wanted, database: str, snapshot: str, tables: Sequence[TableName] = ()) -> Command:
    """pg_dump for one database, in the snapshot that a session exported.

    The snapshot's name differs at each run. It comes on standard input, as secrets do, so that a rule of sudoers can hold the command.
    """
    chosen = [f"--table={quoting.pattern(table.schema, table.name)}" for table in tables]
    command = _pg_dump(wanted, database, *_SCOPE_WORDS.get(wanted.scope, ()), *chosen)
    secrets = {**command.secrets, _SNAPSHOT_NAME: Secret(snapshot)}
    return dataclasses.replace(command, words=("sh", "-c", _WITH_SNAPSHOT, *command.words), secrets=secrets)


def main_command(
    wanted: Wanted, database: str, snapshot: str, tables: Sequence[TableName], elsewhere: Sequence[TableName]
) -> Command:
    """As `dump_command`, without the rows of tables that are `elsewhere`. Which ones differs at each run, too."""
    chosen = [f"--table={quoting.pattern(table.schema, table.name)}" for table in tables]
    return _with_tables(
        _pg_dump(wanted, database, *chosen), snapshot, [without_rows(each) for each in elsewhere]
    )


def part_command(wanted: Wanted, database: str, snapshot: str, tables: Sequence[TableName]) -> Command:
    """The rows of these tables alone."""
    command = _pg_dump(wanted, database, "--section=data", "--strict-names")
    return _with_tables(
        command, snapshot, [f"--table={quoting.pattern(each.schema, each.name)}" for each in tables]
    )


def without_rows(table: TableName) -> str:
    """The word by which pg_dump leaves a table's rows out."""
    return f"--exclude-table-data={quoting.pattern(table.schema, table.name)}"


def _with_tables(command: Command, snapshot: str, words: Sequence[str]) -> Command:
    secrets = {
        **command.secrets,
        _SNAPSHOT_NAME: Secret(snapshot),
        _TABLES_NAME: Secret("\t".join(words)),
    }
    return dataclasses.replace(command, words=("sh", "-c", _WITH_TABLES, *command.words), secrets=secrets)


def _pg_dump(wanted: Wanted, database: str, *more: str) -> Command:
    command = wanted.connection.command(
        "pg_dump",
        "--format=custom",
        "--compress=0",
        f"--lock-wait-timeout={LOCK_TIMEOUT}",
        *more,
        database=database,
    )
    return dataclasses.replace(
        command, compress=True, window_bytes=max(command.window_bytes // wanted.jobs, LEAST_WINDOW_BYTES)
    )


def globals_command(wanted: Wanted, database: str, *, has_passwords: bool) -> Command:
    """pg_dumpall for what belongs to no database; `-l` says where it asks."""
    return wanted.connection.command(
        "pg_dumpall",
        "--globals-only",
        f"--database={quoting.connection_string(database)}",
        *([] if has_passwords else ["--no-role-passwords"]),
    )


@dataclass(frozen=True, slots=True)
class DumpItem:
    """One database. See `base.Item`."""

    wanted: Wanted
    database: str
    gathered: Gathered

    @property
    def path(self) -> str:
        """See `base.Item.path`."""
        return f"databases/{encode_name(self.database)}.dump"

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        wanted = self.wanted
        async with instant.held(wanted.host, wanted.connection, self.database, wanted.tables) as held:
            command = dump_command(wanted, self.database, held.snapshot, held.tables)
            async with (
                started(wanted.host, command) as process,
                instant.counted(held, has_rows=wanted.has_rows) as counting,
            ):

                async def whole(archive: ArchiveReader) -> None:
                    self.gathered.add(held.server, await counting.facts(), archive, self.path)

                origin = Origin(wanted.host, self.database, self.path, counting)
                yield archive_stream.streamed(origin, command, process, whole)


@asynccontextmanager
async def started(host: OpenHost, command: Command) -> AsyncIterator[Process]:
    """The dump beside its session, which takes a channel too: on a host that has but one it would wait for ever."""
    deadline = asyncio.timeout(START_TIMEOUT_S)
    try:
        async with deadline, host.start(command) as process:
            deadline.reschedule(None)
            yield process
    except TimeoutError:
        if not deadline.expired():
            raise
        raise SourceError(
            f"{host.name} had no channel for pg_dump beside its session",
            hint="set max_channels of the host to 2 or more",
        ) from None


def _with_values(found: DatabaseFacts, archive: ArchiveReader) -> DatabaseFacts:
    """With the values of sequences that the dump has: they follow no snapshot, and go on between a look and the dump."""
    if not archive.is_known:
        return found
    values = {
        f"{entry.namespace}.{entry.name}": entry.last_value
        for entry in archive.entries
        if entry.kind == "SEQUENCE SET"
    }
    sequences = [SequenceFacts(each.name, values.get(each.name)) for each in found.sequences]
    return dataclasses.replace(found, sequences=sequences)


@dataclass(frozen=True, slots=True)
class GlobalsItem:
    """Roles, their memberships and settings, and tablespaces, as SQL. See `base.Item`."""

    wanted: Wanted
    database: str
    """Where the server is asked."""
    has_passwords: bool
    path: str = "globals.sql"

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        command = globals_command(self.wanted, self.database, has_passwords=self.has_passwords)
        async with self.wanted.host.start(command) as process:
            yield _GlobalsStream(self, command, process)


class _GlobalsStream:
    """See `base.ItemStream`."""

    def __init__(self, item: GlobalsItem, command: Command, process: Process) -> None:
        self._item = item
        self._command = command
        self._process = process
        self._tail = b""
        self._is_at_end = False

    async def read(self) -> bytes:
        piece = await self._process.read()
        self._is_at_end = not piece
        self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        return piece

    async def judge(self) -> Sequence[str]:
        host = self._item.wanted.host
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        ended = await self._process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_dumpall ended")
        require_started(host.name, self._command, ended)
        if not ended.is_success:
            raise words.failure(ended, f"the roles of {host.name} could not be dumped", IncompleteDumpError)
        if _END_OF_GLOBALS not in self._tail:
            raise IncompleteDumpError(f"the roles of {host.name} came without their end")
        said = words.warnings(ended.stderr)
        if not self._item.has_passwords:
            said.append(
                f"the roles of {host.name} were saved without their passwords, which this account may not read"
            )
        return said


def manifest_item(wanted: Wanted, gathered: Gathered) -> MadeItem:
    """What the others learnt: the last item. Opening it raises SourceError where no database could be dumped."""

    async def make() -> Manifest:
        if gathered.server is None:
            raise SourceError(f"no database of {wanted.host.name} could be dumped")
        return Manifest(
            kind="postgres",
            taken_at=datetime.datetime.fromtimestamp(gathered.server.taken_s, datetime.UTC),
            server_version=gathered.server.version,
            tool_version=gathered.tool_version,
            identity=gathered.server.identity,
            databases=gathered.databases,
            roles=gathered.roles,
            position=gathered.server.position,
            folder=gathered.folder,
            tablespaces=gathered.tablespaces,
            scope=wanted.scope.value,
        )

    return dump.manifest_item(make)
