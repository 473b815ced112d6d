"""A MariaDB or MySQL server as a source: see the package.

What holds: each dump is one transaction that sees its tables as they were at its beginning (engines without transactions are named in a
warning); databases are not consistent with each other. The rows of the manifest are those of the dump itself, its names and sizes were
looked at just before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from engine.errors import ConfigurationError, LoginRefusedError, SourceError
from engine.format.layout import encode_name
from engine.hosts.base import Command, OpenHost
from engine.hosts.grants import Grant
from engine.model.definitions import Source
from engine.model.secret import Secret
from engine.sources import container
from engine.sources.base import Database, Item, Secrets, Traits, TreeFeed
from engine.sources.mariadb import accounts
from engine.sources.mariadb.connection import LOOK, Connection, Tools, hides_events
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.facts import database_names
from engine.sources.mariadb.items import DatabaseItem, Gathered, MemoryItem, manifest_item
from engine.sources.mariadb.scratch import scratch
from engine.sources.mariadb.server import ask_server, may_know_position
from engine.sources.options import Reader

_ALWAYS = (
    "--opt",
    "--comments",
    "--quote-names",
    "--single-transaction",
    "--quick",
    "--hex-blob",
    "--triggers",
)
"""Named although most are defaults: the host's option files may say otherwise."""
_MYSQL_ONLY = ("--set-gtid-purged=OFF", "--loose-column-statistics=0", "--no-tablespaces")
"""Without them a dump sets the target's replication state, or asks for what MariaDB lacks, or for the right PROCESS."""
_NO_POSITION = "the position of the binary log is not in this backup: the account needs RELOAD and BINLOG MONITOR (MySQL: REPLICATION CLIENT)"


class MariadbSource:
    """See `base.DatabaseSource`."""

    traits = Traits(kind="mariadb", shape="items", can_load=True, is_database=True)

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
        self._is_schema_only = given.flag("schema_only")
        self._connection = Connection.read(given, inside, secret)
        given.require_no_more()
        if self._takes_all == bool(self._databases):
            raise ConfigurationError(f"source {definition.name} needs either --database or --all")
        if "" in self._databases or len(set(self._databases)) < len(self._databases):
            raise ConfigurationError(
                f"option --database of source {definition.name} holds an empty name, or one twice"
            )
        if self._tables and len(self._databases) != 1:
            raise ConfigurationError(
                f"option --table of source {definition.name} needs exactly one --database"
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
        missing = sorted(set(self._databases) - set(there))
        if missing:
            raise SourceError(
                f"{self._connection.place} shows no database named {missing[0]!a} to this account"
            )
        wanted = self._databases or there
        return {"tool": tools.dumper_version, "version": server.version, "databases": ", ".join(wanted)}

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. Raises: ToolMissingError, SourceError, HostError."""
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
            LOOK,
            await self._connection.client_command("--xml"),
            await self._connection.client_command("--xml", "--force"),
            *([accounts.globals_command(self._connection, tools)] if accounts.dumps_users(tools) else []),
            *(self._dump(tools, name, has_log=each) for name in names for each in has_log),
        ]
        return container.as_started(self._connection.host, commands)

    async def grants(self) -> Sequence[Grant]:
        """What the account of the backup must be allowed, for `host grants`. Raises: ToolMissingError, HostError."""
        tools = await self._connection.tools()
        return accounts.backup_grants(self._connection.user, is_mysql=tools.is_mysql)

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: ToolMissingError, SourceError, HostError."""
        connection = self._connection
        tools = await connection.tools()
        server = await ask_server(connection)
        has_log = await may_know_position(connection, server)
        names = self._databases or await database_names(connection)
        if not names:
            raise SourceError(f"{connection.place} shows no database to this account")
        gathered = Gathered(
            self.traits.kind,
            tools.dumper_version,
            server.identity,
            "schema" if self._is_schema_only else "all",
            server.version,
            roles=await accounts.read_roles(connection),
        )
        dumps = [
            DatabaseItem(
                f"databases/{encode_name(name)}.sql",
                name,
                connection,
                self._dump(tools, name, has_log=has_log),
                gathered,
                self._tables,
                has_content=not self._is_schema_only,
            )
            for name in names
        ]

        async def users() -> tuple[bytes, Sequence[str]]:
            script, warnings = await accounts.read_globals(connection, tools)
            return script, warnings if has_log or not server.has_log else [*warnings, _NO_POSITION]

        return [MemoryItem(accounts.GLOBALS_PATH, users), *dumps, manifest_item(gathered)]

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
        return scratch(self._host, version, self._connection.as_user)

    def _dump(self, tools: Tools, name: str, *, has_log: bool) -> Command:
        words = list(_ALWAYS)
        words += ["--skip-routines"] if self._tables else ["--routines"]
        words += ["--skip-events"] if self._tables or hides_events(name) else ["--events"]
        words += ["--no-data"] if self._is_schema_only else []
        if tools.is_mysql:
            words += [*_MYSQL_ONLY, *(["--source-data=2"] if has_log else [])]
        elif has_log:
            words += ["--master-data=2", "--gtid"]
        return self._connection.command(
            tools.dumper, *words, "--", name, *self._tables, is_mysql=tools.is_mysql, is_text=True
        )
