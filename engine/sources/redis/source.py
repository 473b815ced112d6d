"""Reading a Redis server: its RDB, and the manifest."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from engine.errors import ConnectionLostError, HoldfastError, IncompleteDumpError, SourceError
from engine.hosts.base import Command, Exit, OpenHost, Process, require_started
from engine.hosts.grants import Grant, Occasion
from engine.model.backup import Scope
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.sources import configuration, container
from engine.sources.base import (
    Database,
    Item,
    ItemStream,
    ParseStream,
    Secrets,
    Traits,
    TreeFeed,
)
from engine.sources.dump import manifest_item
from engine.sources.redis import grants, parsing, scratch
from engine.sources.redis.client import Client, Info, read_address
from engine.sources.redis.rdb import RdbCheck
from engine.sources.redis.refill import refilling
from engine.sources.redis.server import BY_HAND, NAME, LiveServer
from engine.sources.refill import Refill

PATH = f"databases/{NAME}.rdb"
_SUCCESS = b"Transfer finished with success"
_SIZE = re.compile(rb"writing (\d+) bytes to|success after (\d+) bytes")


class RedisSource:
    """See `base.DatabaseSource`."""

    traits = Traits(kind="redis", shape="items", is_database=True, is_refillable=True, load_hint=BY_HAND)
    scopes: AbstractSet[Scope] = frozenset({Scope.CONFIGURATION})

    def __init__(self, definition: Source, host: OpenHost, secrets: Secrets) -> None:
        """Raises: ConfigurationError."""
        self._host = host
        self._client = Client(host, read_address(definition, secrets))

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[RedisSource]:
        """Opens it. Raises: ConfigurationError."""
        yield cls(definition, host, secrets)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`. Raises: ToolMissingError, SourceError, HostError."""
        info = await self._client.info()
        keys = sum(table.rows for table in info.tables)
        return {
            "tool": await self._client.tool_version(),
            "server": info.version,
            "keys": str(keys),
            "size_bytes": str(info.used_bytes),
        }

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. Raises: ToolMissingError, HostError."""
        client = self._client
        commands = [
            await client.version_command(),
            await client.command("INFO"),
            await client.command("--rdb", "-"),
        ]
        return container.as_started(client.host, commands)

    async def grants(self) -> Sequence[Grant]:
        """See `base.GrantingSource`. Without a user of its own a password allows everything."""
        return grants.statements(self._client.address.user)

    async def occasions(self) -> Sequence[Occasion]:
        """See `base.OccasionalSource`. A comparison takes a dump as a backup does."""
        return [
            Occasion("part", more="the server's configuration files, which it names once it may be asked"),
            Occasion("diff"),
        ]

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: ToolMissingError, HostError."""
        gathered = _Gathered()
        dump = _RdbItem(PATH, self._client, await self._client.command("--rdb", "-"), gathered)
        return [dump, manifest_item(lambda: self._manifest(gathered))]

    async def partial_items(self, scope: Scope) -> Sequence[Item]:
        """See `base.PartialSource.partial_items`: redis.conf, and the files that it includes, its users' among them."""
        client, as_user = self._client, self._client.address.as_user
        if not client.address.is_on_host:
            raise SourceError(
                f"the configuration file of {client.where} is not on that host",
                hint="back it up from the machine where the server runs",
            )
        path = (await client.info()).config_file
        if not path:
            raise SourceError(f"{client.where} was started without a configuration file")
        paths = await configuration.with_included(client.host, [path], as_user, _included)

        async def made() -> Manifest:
            return replace(await self._manifest(_Gathered()), scope=scope.value)

        return [*configuration.items(client.host, paths, as_user), manifest_item(made)]

    async def _manifest(self, gathered: _Gathered) -> Manifest:
        info = gathered.info
        databases = [database_facts(info, is_exact=gathered.is_exact, path=PATH)] if info else []
        info = info or await self._client.info()
        return Manifest(
            kind="redis",
            taken_at=info.at,
            server_version=info.version,
            tool_version=await self._client.tool_version(),
            identity=info.run_id,
            databases=databases,
        )

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("a source of kind redis has no tree, but items")

    def database(self) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.database`."""
        return self._database()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        await self._client.info()
        yield LiveServer(self._client)

    def refill(
        self, facts: DatabaseFacts, databases: Sequence[str], seed: int
    ) -> AbstractAsyncContextManager[Refill]:
        """See `refill.RefillableSource.refill`."""
        return refilling(self._client, facts, databases, seed)

    def scratch(self, version: str) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.scratch`. On the host itself, also for a server in a container."""
        return scratch.opened(self._host, version)

    def parsing(self, facts: DatabaseFacts) -> AbstractAsyncContextManager[ParseStream]:
        """See `base.ParsingSource.parsing`."""
        return parsing.parsing(self._host, facts)


def _included(text: bytes) -> list[str]:
    """What redis.conf includes, and the file of its users."""
    found = map(configuration.words, text.splitlines())
    return [each[1] for each in found if len(each) == 2 and each[0].lower() in ("include", "aclfile")]


@dataclass(slots=True)
class _Gathered:
    """What the reading of the dump found, for the manifest."""

    info: Info | None = None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class _RdbItem:
    """See `base.Item`."""

    path: str
    client: Client
    command: Command
    gathered: _Gathered

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        before = await self.client.info()
        async with self.client.host.start(self.command) as process:
            yield _RdbStream(self, process, before)


class _RdbStream:
    """See `base.ItemStream`."""

    def __init__(self, item: _RdbItem, process: Process, before: Info) -> None:
        self._item = item
        self._process = process
        self._before = before
        self._check = RdbCheck(f"{item.path} of {item.client.where}")
        self._is_at_end = False
        self._is_vouched_for = False
        self._fault: IncompleteDumpError | None = None

    async def read(self) -> bytes:
        while not self._is_at_end:
            data = await self._process.read()
            handed_on = self._check.take(data) if data else self._finish()
            if handed_on:
                return handed_on
        return b""

    def _finish(self) -> bytes:
        """A fault is told by `judge`, which knows better reasons: what the tool said."""
        self._is_at_end = True
        try:
            last, self._is_vouched_for = self._check.finish()
        except IncompleteDumpError as error:
            self._fault = error
            return b""
        return last

    async def judge(self) -> Sequence[str]:
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        self._judge_exit(await self._process.wait())
        if self._fault is not None:
            raise self._fault
        warnings = []
        if not self._is_vouched_for:
            warnings.append(
                f"{self._item.client.where} writes no checksum into its dumps (rdbchecksum no): that this one has its end is all that is known of it"
            )
        return warnings + await self._look_again()

    def _judge_exit(self, ended: Exit) -> None:
        client = self._item.client
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{client.host.name} never said how {self._item.command.program} ended")
        require_started(client.host.name, self._item.command, ended)
        if not ended.is_success:
            how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
            words = client.refusal(ended.stderr.strip().rsplit(b"\n", 1)[-1])
            raise IncompleteDumpError(f"redis-cli ended with {how}: {words.message}", hint=words.hint)
        if _SUCCESS not in ended.stderr:
            raise IncompleteDumpError(
                f"redis-cli never said that the transfer from {client.where} was finished"
            )
        sizes = {int(each) for found in _SIZE.findall(ended.stderr) for each in found if each}
        if self._fault is None and sizes - {self._check.size_bytes}:
            raise IncompleteDumpError(
                f"{client.where} sent {sizes.pop()} bytes, and {self._check.size_bytes} came"
            )

    async def _look_again(self) -> list[str]:
        """The counts are of the dump itself only where they are the same behind it as before, and nothing was changed between."""
        gathered, before = self._item.gathered, self._before
        gathered.info = before
        try:
            after = await self._item.client.info()
        except HoldfastError as error:
            return [
                f"the keys of {self._item.client.where} could not be counted again behind the dump: {error.message}"
            ]
        is_quiet = after.changes in (before.changes, 0)
        gathered.is_exact = is_quiet and after.tables == before.tables and after.run_id == before.run_id
        return []


def database_facts(info: Info, *, is_exact: bool, path: str) -> DatabaseFacts:
    """The server's whole content as the one database that it is."""
    tables = [replace(table, is_estimated=not is_exact) for table in info.tables]
    return DatabaseFacts(NAME, path=path, size_bytes=info.used_bytes, tables=tables)
