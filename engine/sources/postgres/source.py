"""The databases of a PostgreSQL server as a source."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.errors import ConfigurationError, HoldfastError, SourceError
from engine.hosts.base import Command, OpenHost
from engine.hosts.grants import Grant, Occasion
from engine.model.backup import Scope
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.model.secret import Secret
from engine.scope import task_scope
from engine.sources import container
from engine.sources.base import Database, Item, ParseStream, Secrets, Traits, TreeFeed
from engine.sources.dump import DumpItem as FileItem
from engine.sources.incremental import FilesBefore
from engine.sources.logs import (
    BasePosition,
    KeptLog,
    LogLook,
    LogReading,
    Replay,
    Replaying,
    SegmentStream,
    WaitingSegment,
    WholePlace,
    WholeSwap,
)
from engine.sources.logs import Wanted as WantedWhole
from engine.sources.options import Reader
from engine.sources.postgres import (
    connection,
    dealing,
    dumping,
    facts,
    grants,
    incremental,
    kept_log,
    laying,
    log_ways,
    parsing,
    partial,
    physical,
    scratch,
    session,
    spaces,
    whole,
)
from engine.sources.postgres.database import PostgresDatabase
from engine.sources.postgres.dumping import DumpItem, Gathered, GlobalsItem, Wanted, manifest_item
from engine.sources.postgres.facts import TableName
from engine.sources.postgres.parted import PartedDumpItem
from engine.sources.postgres.physical import BaseItem
from engine.sources.postgres.slot import Slot
from engine.sources.postgres.spool import Spool
from engine.sources.postgres.wal_search import WalReading
from engine.sources.server_files import Revival

MAINTENANCE = "postgres"
"""The database that every server has for questions that concern none."""
DEFAULT_ROLE = "holdfast"
"""For grants, where the source names no user."""
_CLOSED = """
select datname as name from pg_database
where not datistemplate and not (datallowconn and has_database_privilege(oid, 'connect')) order by datname"""
_ROLES = "select rolname as name from pg_roles where rolname !~ '^pg_' order by rolname"


class PostgresSource:
    """See `base.DatabaseSource`."""

    traits = Traits(kind="postgres", shape="items", can_load=True, is_database=True)
    scopes: AbstractSet[Scope] = partial.SCOPES
    kept_log: KeptLog = kept_log
    log_reading: LogReading = WalReading()
    log_laying = staticmethod(laying.laying)
    placing = staticmethod(spaces.placing)

    def __init__(self, definition: Source, host: OpenHost, secrets: Secrets) -> None:
        """Raises: ConfigurationError."""
        given = Reader(definition)
        self._databases = given.texts("database")
        is_all, is_schema_only = given.flag("all"), given.flag("schema_only")
        tables = given.texts("table")
        # Where nobody resolved it, as for grants, the commands still read one.
        secret = secrets.get("secret", Secret("") if given.text("secret", "") else None)
        self._connection = connection.parse(given, secret)
        box = given.text("in_container", "")
        self._is_contained = bool(box)
        self._host = container.inside(host, box)
        self._is_physical = given.flag("physical")
        jobs = given.number("jobs") or 1
        spool, slot = given.text("log_spool", ""), given.text("log_slot", "")
        given.require_no_more()
        if self._is_physical and (self._databases or is_all or tables or is_schema_only):
            raise ConfigurationError(
                f"option --physical of source {definition.name} takes the whole cluster: leave --database, --all, --table and --schema-only out"
            )
        if not self._is_physical and bool(self._databases) == is_all:
            raise ConfigurationError(f"source {definition.name} needs --database, --all or --physical")
        if "" in self._databases or len(set(self._databases)) < len(self._databases):
            raise ConfigurationError(
                f"option --database of source {definition.name} holds an empty name, or one twice"
            )
        if tables and len(self._databases) != 1:
            raise ConfigurationError(
                f"option --table of source {definition.name} goes with exactly one --database"
            )
        if jobs > 1 and (self._is_physical or is_schema_only):
            raise ConfigurationError(
                f"option --jobs of source {definition.name} is for dumps of rows: leave --physical and --schema-only out"
            )
        if jobs > dealing.MOST_JOBS:
            raise ConfigurationError(
                f"option --jobs of source {definition.name} must be at most {dealing.MOST_JOBS}, not {jobs}"
            )
        scope = Scope.SCHEMA if is_schema_only else Scope.ALL
        self._wanted = Wanted(self._host, self._connection, tables, scope, jobs)
        self._logged = log_ways.chosen(
            definition.name, spool, slot, self._host, self._connection, is_physical=self._is_physical
        )
        self._base: Gathered | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, definition: Source, host: OpenHost, secrets: Secrets
    ) -> AsyncIterator[PostgresSource]:
        """Opens it; the server is asked later. Raises: ConfigurationError."""
        source = cls(definition, host, secrets)
        try:
            yield source
        finally:
            if isinstance(source._logged, Slot):
                await source._logged.close()

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`: the server's version, and each database with its size. Raises: SourceError, HostError."""
        tool = await self._host.run(self._version)
        async with self._asked() as asked:
            server = await facts.server(asked)
            sizes = {row["name"]: row["size"] for row in await asked.rows(facts.DATABASES)}
            closed = [row["name"] for row in await asked.rows(_CLOSED)]
            changes = await incremental.lacking(asked) or "yes"
        chosen = self._databases or tuple(sizes)
        missing = [name for name in chosen if name not in sizes]
        if missing:
            raise SourceError(
                f"{self._host.name} has no database {missing[0]!a} that this account may connect to",
                hint=f"it has {', '.join(sizes) or 'none'}",
            )
        found = {
            "tool": "pg_dump",
            "version": tool.stdout.decode(errors="replace").strip(),
            "server_version": server.version,
            "size_bytes": str(sum(sizes[name] for name in chosen)),
            **{f"database {name}": f"{sizes[name]} bytes" for name in chosen},
        }
        if closed and not self._databases:
            found["closed"] = ", ".join(closed)
        if self._is_physical:
            found["incremental"] = changes
            if spaces := await physical.copied_spaces(self._wanted, MAINTENANCE):
                found["tablespaces"] = ", ".join(spaces)
        return found

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. For all databases those that are there; where nobody may ask yet, of the first alone."""
        try:
            names = await self._names()
        except HoldfastError:
            names = (MAINTENANCE,)
        commands = [
            self._version,
            *(session.command(self._connection, each) for each in dict.fromkeys((MAINTENANCE, *names))),
        ]
        if self._is_physical:
            commands += [physical.command(self._wanted), incremental.command(self._wanted)]
            commands += self._logged.commands() if isinstance(self._logged, Spool) else ()
            return container.as_started(self._host, commands)
        commands += [
            dumping.globals_command(self._wanted, MAINTENANCE, has_passwords=may) for may in (True, False)
        ]
        tables = [TableName(0, *_schema_and_name(table)) for table in self._wanted.tables]
        commands += [dumping.dump_command(self._wanted, name, "", tables) for name in names]
        if self._wanted.jobs > 1:
            commands += [dumping.main_command(self._wanted, name, "", tables, ()) for name in names]
            commands += [dumping.part_command(self._wanted, name, "", ()) for name in names]
        return container.as_started(self._host, commands)

    async def grants(self) -> Sequence[Grant]:
        """See `base.GrantingSource`. A superuser needs none."""
        connection = self._connection
        user = connection.user or (connection.as_user or "")
        way_in = []
        if isinstance(self._logged, Slot):
            text = grants.forwarding(connection.address, connection.port)
            way_in.append(Grant("note", text, grants.FORWARDING_REASON))
        if user == "postgres":
            return way_in
        role = user or DEFAULT_ROLE
        text = grants.statements(role, self._databases, is_physical=self._is_physical)
        found = [Grant("sql", text, grants.REASON), *way_in]
        if self._is_physical:
            way = "spool" if isinstance(self._logged, Spool) else "slot" if self._logged else ""
            if way:
                found.append(Grant("sql", grants.log_statements(role, way), grants.LOG_REASONS[way]))
            return found
        return [
            *found,
            Grant("sql", grants.part_statements(role), grants.PART_REASON, "part"),
            Grant("sql", grants.restore_statements(role, self._databases), grants.RESTORE_REASON, "restore"),
        ]

    async def occasions(self) -> Sequence[Occasion]:
        """See `base.OccasionalSource`. A comparison dumps what a backup does, and asks by the same sessions."""
        if self._is_physical:
            return []
        try:
            names: Sequence[str] = await self._names()
        except HoldfastError:
            names = ()
        tables = [TableName(0, *_schema_and_name(table)) for table in self._wanted.tables]
        parts = [dataclasses.replace(self._wanted, scope=scope) for scope in (Scope.SCHEMA, Scope.CONTENT)]
        dumps = [dumping.dump_command(part, name, "", tables) for part in parts for name in names]
        found, more = list(container.as_started(self._host, dumps)), ""
        try:
            items = await self.partial_items(Scope.CONFIGURATION)
            found += [each.command for each in items if isinstance(each, FileItem)]
        except HoldfastError:
            more = "the server's configuration files, which it names once it may be asked"
        return [Occasion("part", found, more), Occasion("diff")]

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: SourceError, HostError."""
        gathered = Gathered()
        if self._is_physical:
            self._base = gathered
            if isinstance(self._logged, Slot):
                await self._logged.make()
            return [BaseItem(self._wanted, MAINTENANCE, gathered), manifest_item(self._wanted, gathered)]
        async with self._asked() as asked:
            server = await facts.server(asked)
            gathered.roles = [row["name"] for row in await asked.rows(_ROLES)]
            names = self._databases or [row["name"] for row in await asked.rows(facts.DATABASES)]
        dumped = PartedDumpItem if self._wanted.jobs > 1 else DumpItem
        return [
            GlobalsItem(self._wanted, MAINTENANCE, server.has_passwords),
            *(dumped(self._wanted, name, gathered) for name in names),
            manifest_item(self._wanted, gathered),
        ]

    @property
    def folder(self) -> str:
        """See `incremental.IncrementalSource.folder`."""
        return physical.FOLDER if self._is_physical else ""

    async def items_since(self, before: FilesBefore) -> Sequence[Item]:
        """See `incremental.IncrementalSource.items_since`."""
        async with self._asked() as asked:
            known, block_bytes = await incremental.before(asked, before)
        base, manifest = await self.items()
        assert isinstance(base, BaseItem)
        return [incremental.IncrementItem(base, known, block_bytes), manifest]

    @property
    def received_bytes(self) -> int:
        """See `incremental.IncrementalSource.received_bytes`."""
        return self._base.received_bytes if self._base is not None else 0

    async def partial_items(self, scope: Scope) -> Sequence[Item]:
        """See `base.PartialSource.partial_items`."""
        if self._is_physical:
            raise ConfigurationError(
                f"a physical backup is of the whole cluster, never of its {scope.value} alone",
                hint="add a source with --database or --all beside it",
            )
        gathered = Gathered()
        async with self._asked() as asked:
            gathered.server = await facts.server(asked)
            gathered.roles = [row["name"] for row in await asked.rows(_ROLES)]
            if scope is Scope.CONFIGURATION:
                return await partial.configuration_items(asked, self._wanted, gathered)
            names = self._databases or [row["name"] for row in await asked.rows(facts.DATABASES)]
        return partial.items(scope, self._wanted, names, gathered, MAINTENANCE)

    @property
    def is_logged(self) -> bool:
        """See `logs.LogSource.is_logged`."""
        return self._logged is not None

    @property
    def is_live(self) -> bool:
        """See `logs.LiveLogSource.is_live`."""
        return isinstance(self._logged, Slot)

    async def let_go(self) -> str:
        """See `logs.HeldLogSource.let_go`."""
        is_slot = isinstance(self._logged, Slot) and await self._logged.drop()
        return f"replication slot {self._logged.name}" if is_slot and isinstance(self._logged, Slot) else ""

    async def wait_segment(self) -> None:
        """See `logs.LiveLogSource.wait_segment`."""
        if isinstance(self._logged, Slot):
            await self._logged.wait_segment()
        else:
            await asyncio.Event().wait()

    async def base_position(self) -> BasePosition | None:
        """See `logs.LogSource.base_position`."""
        return self._base.base if self._base is not None else None

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        return await self._log.look()

    def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AbstractAsyncContextManager[SegmentStream]:
        """See `logs.LogSource.segments`."""
        return self._log.segments(wanted, look)

    async def release(self, names: Sequence[str]) -> None:
        """See `logs.LogSource.release`."""
        await self._log.release(names)

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        return await self._log.setup()

    @property
    def _log(self) -> Spool | Slot:
        if self._logged is None:
            raise SourceError(
                "its log is not shipped",
                hint="say how it comes: --physical with --log-slot NAME, or with --log-spool FOLDER",
            )
        return self._logged

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("a source of kind postgres has no tree, but items")

    def database(self) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.database`."""
        return self._database()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        async with task_scope() as tasks:
            live = PostgresDatabase(self._host, self._connection, MAINTENANCE, tasks)
            await live.identity()
            yield live

    def scratch(self, version: str) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.scratch`."""
        return scratch.started(self._host, self._connection.as_user, version)

    def parsing(self, facts: DatabaseFacts) -> AbstractAsyncContextManager[ParseStream]:
        """See `base.ParsingSource.parsing`."""
        return parsing.parsing(self._host, self._connection.as_user, facts)

    def revive(self, manifest: Manifest, depth: int) -> AbstractAsyncContextManager[Revival]:
        """See `server_files.PhysicalSource.revive`."""
        return scratch.revived(self._host, self._connection.as_user, manifest, depth)

    def replaying(
        self, manifest: Manifest, depth: int, replay: Replay
    ) -> AbstractAsyncContextManager[Replaying]:
        """See `logs.ReplayingSource.replaying`."""
        return scratch.replaying(self._host, self._connection.as_user, manifest, depth, replay)

    async def data_folder(self) -> str:
        """See `logs.WholeSource.data_folder`."""
        if self._is_contained:
            raise SourceError(
                f"the server of {self._host.name} runs in a container, which its data folder goes away with"
            )
        async with self._asked() as asked:
            row = await asked.row("select current_setting('data_directory') as folder")
        return str(row["folder"])

    def whole(self, data: str, replay: Replay, depth: int, base: Manifest, wanted: WantedWhole) -> WholeSwap:
        """See `logs.WholeSource.whole`."""
        return whole.swap(data, replay, depth, base, wanted, self._connection.as_user)

    def whole_back(self, place: WholePlace, kept: str) -> Command:
        """See `logs.WholeSource.whole_back`."""
        return whole.back(place, kept, self._connection.as_user)

    def whole_discard(self, place: WholePlace) -> Command:
        """See `logs.WholeSource.whole_discard`."""
        return whole.discard(place, self._connection.as_user)

    async def whole_reached(self) -> tuple[bool, datetime.datetime | None]:
        """See `logs.WholeSource.whole_reached`."""
        async with self._asked() as asked:
            row = await asked.row(scratch.REACHED)
        return row["over"], scratch.last_of(row)

    @property
    def _version(self) -> Command:
        return Command(("pg_dump", "--version"), as_user=self._connection.as_user)

    async def _names(self) -> Sequence[str]:
        if self._databases:
            return self._databases
        async with self._asked() as asked:
            return [row["name"] for row in await asked.rows(facts.DATABASES)]

    def _asked(self) -> AbstractAsyncContextManager[session.Session]:
        return session.opened(self._host, self._connection, MAINTENANCE)


def _schema_and_name(table: str) -> tuple[str, str]:
    """How a table is most likely meant, where nobody may ask the server yet."""
    schema, dot, name = table.partition(".")
    return (schema, name) if dot else ("public", table)
