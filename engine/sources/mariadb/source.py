"""A MariaDB or MySQL server as a source: see the package.

What holds: each dump is one transaction that sees its tables as they were at its beginning (engines without transactions are named in a
warning); databases are not consistent with each other. The rows of the manifest are those of the dump itself, its names and sizes were
looked at just before. A copy of the server's files (`physical`) is consistent, of the instant at which it ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace

from engine.errors import ConfigurationError, LoginRefusedError, SourceError
from engine.format.layout import encode_name
from engine.hosts.base import Command, OpenHost
from engine.hosts.grants import Grant, Occasion
from engine.model.backup import Scope
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.model.secret import Secret
from engine.sources import container
from engine.sources.base import Database, Item, ParseStream, Secrets, Traits, TreeFeed
from engine.sources.chaining import EarlierBackup
from engine.sources.logs import (
    BasePosition,
    KeptLog,
    LogLook,
    LogReading,
    Replay,
    Replaying,
    SegmentStream,
    WaitingSegment,
)
from engine.sources.mariadb import accounts, increments, kept_log, partial, physical, preparation
from engine.sources.mariadb.binary_logs import BinaryLogs
from engine.sources.mariadb.binlog_search import BinlogReading
from engine.sources.mariadb.connection import Connection, Tools
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.dumping import dump_command
from engine.sources.mariadb.facts import database_names
from engine.sources.mariadb.increments import Increment
from engine.sources.mariadb.items import DatabaseItem, Gathered, MemoryItem, manifest_item
from engine.sources.mariadb.parsing import parsing
from engine.sources.mariadb.replaying import replaying
from engine.sources.mariadb.revival import revived
from engine.sources.mariadb.scratch import scratch
from engine.sources.mariadb.server import Server, ask_server, may_know_position, server_now
from engine.sources.options import Reader
from engine.sources.server_files import Revival

_NO_POSITION = "the position of the binary log is not in this backup: the account needs RELOAD and BINLOG MONITOR (MySQL: REPLICATION CLIENT)"


class MariadbSource:
    """See `base.DatabaseSource`."""

    traits = Traits(kind="mariadb", shape="items", can_load=True, is_database=True)
    scopes: AbstractSet[Scope] = partial.SCOPES
    preparation = staticmethod(preparation.of)
    kept_log: KeptLog = kept_log
    log_reading: LogReading = BinlogReading()

    def __init__(self, definition: Source, host: OpenHost, secrets: Secrets) -> None:
        """Raises: ConfigurationError."""
        self.traits = replace(type(self).traits, kind=definition.kind)
        given = Reader(definition)
        # Where nobody resolved it, as for grants, the commands still read one.
        unresolved = Secret("") if given.text("secret", "") else None
        secret = secrets.get("secret", unresolved)
        self._host = host
        inside = container.inside(host, given.text("in_container", ""))
        self._databases = given.texts("database")
        self._takes_all = given.flag("all")
        self._tables = given.texts("table")
        self._scope = Scope.SCHEMA if given.flag("schema_only") else Scope.ALL
        self._connection = Connection.read(given, inside, secret, is_of_mysql=definition.kind == "mysql")
        self._is_physical = given.flag("physical")
        # MySQL's files are no base: see `_require_all_files`.
        self._is_logged = definition.kind == "mariadb" and given.flag("log_binlog")
        self._copied: Gathered | None = None
        self._increment: Increment | None = None
        given.require_no_more()
        if self._is_logged and not self._is_physical:
            raise ConfigurationError(
                f"option --log-binlog of source {definition.name} is for copies of the whole server: add --physical"
            )
        if self._is_physical:
            self._require_all_files(definition)
        elif self._takes_all == bool(self._databases):
            raise ConfigurationError(
                f"source {definition.name} needs either --database or --all, or --physical"
            )
        if "" in self._databases or len(set(self._databases)) < len(self._databases):
            raise ConfigurationError(
                f"option --database of source {definition.name} holds an empty name, or one twice"
            )
        if self._tables and len(self._databases) != 1:
            raise ConfigurationError(
                f"option --table of source {definition.name} needs exactly one --database"
            )

    def _require_all_files(self, definition: Source) -> None:
        """A copy of files is of the whole server, and made where these are. Raises: ConfigurationError."""
        if self._databases or self._tables or self._scope is not Scope.ALL:
            raise ConfigurationError(
                f"option --physical of source {definition.name} takes the whole server: leave --database, --table and --schema-only out"
            )
        if definition.kind != "mariadb":
            raise ConfigurationError(
                f"option --physical of source {definition.name} is for MariaDB: mariadb-backup cannot copy the files of MySQL",
                hint="back its databases up as dumps, by --all",
            )
        if not self._connection.is_on_host:
            raise ConfigurationError(
                f"option --physical of source {definition.name} needs the server's files, and {self._connection.db_host} is another machine",
                hint="define that machine as the host: mariadb-backup must run where the server does",
            )

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[MariadbSource]:
        """Opens it; nothing is connected yet. Raises: ConfigurationError."""
        yield cls(definition, host, secrets)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`. Raises: ToolMissingError, SourceError, HostError."""
        tools = await self._connection.tools()
        server = await ask_server(self._connection)
        there = await database_names(self._connection)
        if self._is_physical:
            found = await physical.look(self._connection, server)
            return {"tool": found.version, "version": server.version, "databases": ", ".join(there)}
        missing = sorted(set(self._databases) - set(there))
        if missing:
            raise SourceError(
                f"{self._connection.place} shows no database named {missing[0]!a} to this account"
            )
        wanted = self._databases or there
        return {"tool": tools.dumper_version, "version": server.version, "databases": ", ".join(wanted)}

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. Raises: ToolMissingError, SourceError, HostError."""
        if self._is_physical:
            return await self._physical_commands()
        tools = await self._connection.tools()
        try:
            has_log: Sequence[bool] = [
                await may_know_position(self._connection, await ask_server(self._connection))
            ]
            names = self._databases or await database_names(self._connection)
        except (SourceError, LoginRefusedError):
            # Nothing may be allowed yet: then both forms, of those databases that are named.
            has_log, names = (True, False), self._databases
        commands = [
            self._connection.look,
            await self._connection.client_command("--xml"),
            await self._connection.client_command("--xml", "--force"),
            *([accounts.globals_command(self._connection, tools)] if accounts.dumps_users(tools) else []),
            *(self._dump(tools, name, self._scope, has_log=each) for name in names for each in has_log),
        ]
        return container.as_started(self._connection.host, commands)

    async def _physical_commands(self) -> Sequence[Command]:
        connection = self._connection
        commands = [
            connection.look,
            await connection.client_command("--xml"),
            physical.copy_command(connection),
        ]
        with suppress(SourceError, LoginRefusedError):
            # Where nobody may ask yet, the folder is not known.
            commands.append(physical.look_command(connection, (await ask_server(connection)).datadir))
            commands += await self._log.commands() if self._is_logged else ()
        return container.as_started(connection.host, commands)

    async def grants(self) -> Sequence[Grant]:
        """What the account of the backup must be allowed, for `host grants`. Raises: ToolMissingError, HostError."""
        tools = await self._connection.tools()
        user = self._connection.user
        if self._is_physical:
            return accounts.physical_grants(user)
        return [
            *accounts.backup_grants(user, is_mysql=tools.is_mysql),
            *accounts.restore_grants(user, is_mysql=tools.is_mysql),
        ]

    async def occasions(self) -> Sequence[Occasion]:
        """See `base.OccasionalSource`. Raises: ToolMissingError, HostError."""
        if self._is_physical:
            return []
        tools = await self._connection.tools()
        scopes = (Scope.SCHEMA, Scope.CONTENT)
        dumps = [
            self._dump(tools, name, scope, has_log=each)
            for scope in scopes
            for name in self._databases
            for each in (True, False)
        ]
        commands = container.as_started(self._connection.host, dumps)
        return [
            Occasion(
                "part", commands, "the server's configuration files, which it names once it may be asked"
            ),
            Occasion("diff", more="rows that a comparison chooses at random"),
        ]

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: ToolMissingError, SourceError, HostError."""
        connection = self._connection
        tools = await connection.tools()
        server = await ask_server(connection)
        gathered = await self._gathered(tools, server, self._scope)
        if self._is_physical:
            self._copied = gathered
            gathered.increments = self._increment.folders if self._increment else ()
            since_lsn = self._increment.since_lsn if self._increment else None
            return [physical.CopyItem(connection, gathered, since_lsn), manifest_item(gathered)]
        has_log = await may_know_position(connection, server)
        dumps = await self._dumps(tools, gathered, self._scope, has_log=has_log)

        async def users() -> tuple[bytes, Sequence[str]]:
            script, warnings = await accounts.read_globals(connection, tools)
            return script, warnings if has_log or not server.has_log else [*warnings, _NO_POSITION]

        return [MemoryItem(accounts.GLOBALS_PATH, users), *dumps, manifest_item(gathered)]

    @property
    def folder(self) -> str:
        """See `chaining.ChainingSource.folder`."""
        return physical.FOLDER if self._is_physical else ""

    @property
    def received_bytes(self) -> int:
        """See `chaining.ChainingSource.received_bytes`."""
        return self._copied.received_bytes if self._copied is not None else 0

    async def go_on_from(self, earlier: EarlierBackup) -> None:
        """See `chaining.ChainingSource.go_on_from`."""
        self._increment = None
        self._increment = await increments.planned(self._connection, earlier)

    async def partial_items(self, scope: Scope) -> Sequence[Item]:
        """See `base.PartialSource.partial_items`."""
        if self._is_physical:
            raise ConfigurationError(
                f"a physical backup is of the whole server, never of its {scope.value} alone",
                hint="add a source with --database or --all beside it",
            )
        tools = await self._connection.tools()
        server = await ask_server(self._connection)
        gathered = await self._gathered(tools, server, scope)
        if scope in (Scope.ROLES, Scope.CONFIGURATION):
            gathered.taken_at = await server_now(self._connection)
        if scope is Scope.ROLES:
            return await partial.role_items(self._connection, tools, gathered)
        if scope is Scope.CONFIGURATION:
            return await partial.configuration_items(self._connection, gathered)
        has_log = await may_know_position(self._connection, server)
        return [
            *await self._dumps(tools, gathered, scope, has_log=has_log),
            manifest_item(gathered),
        ]

    async def _gathered(self, tools: Tools, server: Server, scope: Scope) -> Gathered:
        return Gathered(
            self.traits.kind,
            tools.dumper_version,
            server.identity,
            scope.value,
            server.version,
            roles=await accounts.read_roles(self._connection),
        )

    async def _dumps(
        self, tools: Tools, gathered: Gathered, scope: Scope, *, has_log: bool
    ) -> list[DatabaseItem]:
        names = self._databases or await database_names(self._connection)
        if not names:
            raise SourceError(f"{self._connection.place} shows no database to this account")
        return [
            DatabaseItem(
                f"databases/{encode_name(name)}.sql",
                name,
                self._connection,
                self._dump(tools, name, scope, has_log=has_log),
                gathered,
                self._tables,
                has_content=scope is not Scope.SCHEMA,
                has_schema=scope is not Scope.CONTENT,
            )
            for name in names
        ]

    @property
    def is_logged(self) -> bool:
        """See `logs.LogSource.is_logged`."""
        return self._is_logged

    async def base_position(self) -> BasePosition | None:
        """See `logs.LogSource.base_position`."""
        copied = self._copied
        if copied is None or copied.taken_at is None:
            return None
        return await self._log.position_of(copied.log_note, copied.taken_at)

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        return await self._log.look()

    def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AbstractAsyncContextManager[SegmentStream]:
        """See `logs.LogSource.segments`."""
        return self._log.segments(wanted, look)

    async def release(self, names: Sequence[str]) -> None:
        """Nothing: the server forgets its logs by itself. See `logs.LogSource.release`."""

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        return await self._log.setup()

    @property
    def _log(self) -> BinaryLogs:
        return BinaryLogs(self._connection)

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError(f"a source of kind {self.traits.kind} has no tree, but items")

    def database(self) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.database`."""
        return self._database()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        await ask_server(self._connection)
        yield MariadbDatabase(self._connection)

    def scratch(self, version: str) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.scratch`. On the host itself, also for a server in a container."""
        is_of_mysql = self._connection.is_of_mysql and "MariaDB" not in version
        return scratch(self._host, version, self._connection.as_user, is_of_mysql=is_of_mysql)

    def revive(self, manifest: Manifest, depth: int) -> AbstractAsyncContextManager[Revival]:
        """See `server_files.PhysicalSource.revive`. On the host itself, as `scratch`."""
        return revived(self._host, self._connection.as_user, manifest, depth)

    def replaying(
        self, manifest: Manifest, depth: int, replay: Replay
    ) -> AbstractAsyncContextManager[Replaying]:
        """See `logs.ReplayingSource.replaying`. On the host itself, as `scratch`."""
        return replaying(self._host, self._connection.as_user, manifest, depth, replay)

    def parsing(self, facts: DatabaseFacts) -> AbstractAsyncContextManager[ParseStream]:
        """See `base.ParsingSource.parsing`."""
        return parsing(facts)

    def _dump(self, tools: Tools, name: str, scope: Scope, *, has_log: bool) -> Command:
        return dump_command(self._connection, tools, name, scope, self._tables, has_log=has_log)
