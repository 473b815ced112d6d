"""The items of a backup: roles, each database as pg_dump reads it in a snapshot that a session holds, and the manifest of them all."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import ConnectionLostError, HoldfastError, IncompleteDumpError, SourceError
from engine.format.layout import encode_name
from engine.hosts.base import Command, DirectProcess, Exit, OpenHost, Process, require_started
from engine.model.backup import Scope
from engine.model.manifest import DatabaseFacts, Manifest, SequenceFacts
from engine.model.secret import Secret
from engine.scope import task_scope
from engine.sources import dump
from engine.sources.base import ItemStream
from engine.sources.dump import MadeItem
from engine.sources.postgres import facts, quoting, session, words
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.facts import ServerFacts, TableName
from engine.sources.postgres.session import Session

LOCK_TIMEOUT = "60s"
"""How long a dump waits for a table that somebody changes; then it fails, and does not queue everybody else behind itself."""
START_TIMEOUT_S = 300.0
_SNAPSHOT_NAME = "HOLDFAST_SNAPSHOT"
_WITH_SNAPSHOT = f'exec "$0" "--snapshot=${_SNAPSHOT_NAME}" "$@"'
_SNAPSHOT = "begin isolation level repeatable read, read only; set local max_parallel_workers_per_gather = 0;"
"""What counts beside the dump must not take the cores that the dump and everybody else need."""
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


def dump_command(wanted: Wanted, database: str, snapshot: str, tables: Sequence[TableName] = ()) -> Command:
    """pg_dump for one database, in the snapshot that a session exported.

    The snapshot's name differs at each run. It comes on standard input, as secrets do, so that a rule of sudoers can hold the command.
    """
    chosen = [f"--table={quoting.pattern(table.schema, table.name)}" for table in tables]
    command = wanted.connection.command(
        "pg_dump",
        "--format=custom",
        "--compress=0",
        f"--lock-wait-timeout={LOCK_TIMEOUT}",
        *_SCOPE_WORDS.get(wanted.scope, ()),
        *chosen,
        database=database,
    )
    return dataclasses.replace(
        command,
        words=("sh", "-c", _WITH_SNAPSHOT, *command.words),
        secrets={**command.secrets, _SNAPSHOT_NAME: Secret(snapshot)},
        compress=True,
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
        async with session.opened(wanted.host, wanted.connection, self.database) as asked:
            await asked.run(_SNAPSHOT)
            snapshot = (await asked.row("select pg_export_snapshot() as id"))["id"]
            tables = await facts.find_tables(asked, wanted.tables) if wanted.tables else []
            server = await facts.server(asked)
            command = dump_command(wanted, self.database, snapshot, tables)
            async with _started(wanted.host, command) as process:
                made = _DirectStream if isinstance(process, DirectProcess) else _DumpStream
                stream = made(self, command, process, server)
                async with task_scope() as tasks:
                    counting = tasks.create_task(stream.gather(asked, tables))
                    try:
                        yield stream
                    finally:
                        counting.cancel()


class _DumpStream:
    """See `base.ItemStream`."""

    def __init__(self, item: DumpItem, command: Command, process: Process, server: ServerFacts) -> None:
        self._item = item
        self._command = command
        self._process = process
        self._server = server
        self._archive = ArchiveReader()
        self._is_at_end = False
        self._facts: DatabaseFacts | None = None
        self._failure: HoldfastError | None = None
        self._is_counted = asyncio.Event()

    async def gather(self, asked: Session, tables: Sequence[TableName]) -> None:
        """Counts what the dump holds, in its own snapshot and beside it. A failure is kept for `judge`."""
        item = self._item
        try:
            self._facts = await facts.gather(asked, item.database, tables, has_rows=item.wanted.has_rows)
        except HoldfastError as error:
            self._failure = error
        self._is_counted.set()

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
        item = self._item
        if not self._is_at_end:
            raise IncompleteDumpError(f"{item.path} was not read to its end")
        ended = await self._require_success()
        self._archive.require_whole()
        await self._is_counted.wait()
        if self._failure is not None:
            raise self._failure
        assert self._facts is not None
        item.gathered.server = item.gathered.server or self._server
        if self._archive.head is not None:
            item.gathered.tool_version = self._archive.head.tool_version
        item.gathered.databases.append(
            dataclasses.replace(_with_values(self._facts, self._archive), path=item.path)
        )
        return words.warnings(ended.stderr)

    async def _require_success(self) -> Exit:
        ended = await self._process.wait()
        host = self._item.wanted.host
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_dump ended")
        require_started(host.name, dataclasses.replace(self._command, words=("pg_dump",)), ended)
        if not ended.is_success:
            if self._failure is not None and b"snapshot" in ended.stderr:
                raise self._failure  # the session ended first, and its snapshot with it
            raise words.failure(ended, _could_not(self._item.database, host), IncompleteDumpError)
        return ended


class _DirectStream(_DumpStream):
    """See `base.DirectStream`."""

    async def read_into(self, room: memoryview) -> int:
        assert isinstance(self._process, DirectProcess)
        count = await self._process.read_into(room)
        await self._take(room[:count])
        return count


@asynccontextmanager
async def _started(host: OpenHost, command: Command) -> AsyncIterator[Process]:
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


def _could_not(database: str, host: OpenHost) -> str:
    return f"database {database!a} of {host.name} could not be dumped"


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
            scope=wanted.scope.value,
        )

    return dump.manifest_item(make)
