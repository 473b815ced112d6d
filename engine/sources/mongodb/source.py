"""Reading a MongoDB server: its archive, and the manifest."""

from __future__ import annotations

import asyncio
import datetime
import json
import urllib.parse
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

from engine.errors import (
    ConfigurationError,
    ConnectionLostError,
    IncompleteDumpError,
    SourceError,
    ToolMissingError,
)
from engine.hosts.base import Command, Exit, OpenHost, Process, require_started
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.model.secret import Secret
from engine.sources import container
from engine.sources.base import Item, ItemStream, Secrets, Traits, TreeFeed
from engine.sources.dump import manifest_item
from engine.sources.logs import BasePosition, LogLook, SegmentStream, WaitingSegment
from engine.sources.mongodb import replaying
from engine.sources.mongodb.archive import ArchiveCheck
from engine.sources.mongodb.messages import DumpLog, archive_path
from engine.sources.mongodb.oplog import DATE, Oplog
from engine.sources.options import Reader

_PREFERENCES = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")
# The shell's own printf: the text is in no command line, and on no disk. The status is that of mongodump, which is the last.
_SCRIPT = (
    'c=$MONGODUMP_CONFIG; unset MONGODUMP_CONFIG; printf "%s\\n" "$c" | mongodump --config=/dev/stdin "$@"'
)
# What is asked for changes, and comes beside the words of the command line, which a restricted key can name.
_QUERY = (
    "c=$MONGODUMP_CONFIG; q=$MONGODUMP_QUERY; unset MONGODUMP_CONFIG MONGODUMP_QUERY; "
    'printf "%s\\n" "$c" | mongodump --config=/dev/stdin --query="$q" "$@"'
)
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


class MongodbSource:
    """See `base.OpenSource`."""

    traits = Traits(kind="mongodb", shape="items")
    replayed_by = (
        "restore it into a folder: --to DIR lays the dump and its oplog up to that instant there, and says by which two commands an empty server comes to "
        "it; mongorestore replays an oplog into no other name (--oplogReplay goes with no --nsInclude), so --into and --in-place cannot be had"
    )
    """How a person brings such a source to an instant."""
    log_laying = staticmethod(replaying.laying)

    def __init__(self, definition: Source, host: OpenHost, secrets: Secrets) -> None:
        """Raises: ConfigurationError."""
        given = Reader(definition)
        given.text("uri_from")
        self._host = container.inside(host, given.text("in_container", ""))
        self._as_user = given.text("as_user", "") or None
        self._arguments = _arguments(definition, given)
        self._is_logged = given.flag("log_oplog")
        given.require_no_more()
        if self._is_logged and "--oplog" not in self._arguments:
            raise ConfigurationError(
                f"option --log-oplog of source {definition.name} is for dumps of one instant: add --oplog"
            )
        # Without its value the name is there all the same: `host grants` shows the command as it will be.
        uri = secrets["uri_from"].reveal().decode(errors="replace") if "uri_from" in secrets else ""
        self._server = _Server.read(definition.name, uri) if uri else _Server("", "", "")
        self._log = Oplog(self._host, self._read_by, Command(DATE, as_user=self._as_user), self._server.hide)
        if "--oplog" in self._arguments and self._server.database:
            raise ConfigurationError(
                f"option --oplog of source {definition.name} needs a connection string that names no database",
                hint="mongodump takes the operations of a whole server or none; name the database for the login as ?authSource=NAME",
            )

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[MongodbSource]:
        """Opens it. Raises: ConfigurationError."""
        yield cls(definition, host, secrets)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`: a dump is begun, and left as soon as the server has answered. Raises: SourceError, HostError."""
        gathered = _Gathered()
        item = await self._dump(gathered)
        async with item.open() as stream:
            if not await stream.read():
                await stream.judge()
            check = gathered.check
        return {
            "tool": await self._tool_version(),
            "server": check.server_version,
            "consistency": "one instant"
            if "--oplog" in self._arguments
            else "each collection by itself (no --oplog)",
        }

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. Raises: ToolMissingError, HostError."""
        commands = [*await self._commands(), *(self._log.commands() if self._is_logged else ())]
        return container.as_started(self._host, commands)

    async def _commands(self) -> Sequence[Command]:
        await self._require_tool()
        return [
            self._started("--archive", *self._arguments),
            Command(("mongodump", "--version"), as_user=self._as_user),
        ]

    def _started(self, *arguments: str) -> Command:
        config = json.dumps({"uri": self._server.uri})
        return Command(
            ("sh", "-c", _SCRIPT, "mongodump", *arguments),
            secrets={"MONGODUMP_CONFIG": Secret(config)},
            as_user=self._as_user,
        )

    def _read_by(self, arguments: Sequence[str], query: str) -> Command:
        """What reads one collection, from the same member as a dump."""
        options = [each for each in self._arguments if each != "--oplog"]
        found = self._started(*options, *arguments)
        if not query:
            return found
        return replace(
            found,
            words=("sh", "-c", _QUERY, *found.words[3:]),
            secrets={**found.secrets, "MONGODUMP_QUERY": Secret(query)},
        )

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: ToolMissingError, HostError."""
        gathered = _Gathered()
        if self._is_logged:
            await self._require_tool()
            await self._log.begin()
        return [await self._dump(gathered), manifest_item(lambda: self._manifest(gathered))]

    @property
    def is_logged(self) -> bool:
        """See `logs.LogSource.is_logged`."""
        return self._is_logged

    async def base_position(self) -> BasePosition | None:
        """See `logs.LogSource.base_position`."""
        return await self._log.base_position()

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        await self._require_tool()
        return await self._log.look()

    def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AbstractAsyncContextManager[SegmentStream]:
        """See `logs.LogSource.segments`."""
        return self._log.segments(wanted, look)

    async def release(self, names: Sequence[str]) -> None:
        """Nothing: the oplog forgets by itself. See `logs.LogSource.release`."""

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        await self._require_tool()
        return await self._log.setup()

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("a source of kind mongodb has no tree, but items")

    async def _manifest(self, gathered: _Gathered) -> Manifest:
        return Manifest(
            kind="mongodb",
            taken_at=gathered.log.began_at or _EPOCH,
            server_version=gathered.check.server_version,
            tool_version=gathered.check.tool_version or await self._tool_version(),
            identity=self._server.place,
            databases=gathered.databases,
        )

    async def _dump(self, gathered: _Gathered) -> _ArchiveItem:
        command = (await self._commands())[0]
        return _ArchiveItem(archive_path(self._server.database), self._host, command, self._server, gathered)

    async def _require_tool(self) -> None:
        is_inside = isinstance(self._host, container.ContainerHost)
        if not is_inside and "mongodump" not in (await self._host.facts()).tools:
            raise ToolMissingError(
                f"mongodump is missing on {self._host.name}",
                hint=f"install MongoDB's database tools there, then `holdfast host test {self._host.name}`",
            )

    async def _tool_version(self) -> str:
        done = await self._host.run((await self._commands())[1])
        return done.stdout.decode(errors="replace").partition("\n")[0]


def _arguments(definition: Source, given: Reader) -> tuple[str, ...]:
    """What may be seen on the command line."""
    preference, has_oplog = given.text("read_preference", ""), given.flag("oplog")
    if preference and preference not in _PREFERENCES:
        raise ConfigurationError(
            f"option --read-preference of source {definition.name} must be one of {', '.join(_PREFERENCES)}"
        )
    arguments = (f"--readPreference={preference}",) if preference else ()
    return (*arguments, "--oplog") if has_oplog else arguments


@dataclass(frozen=True, slots=True)
class _Server:
    """What a connection string says. The password is in `uri` alone, which goes nowhere but into the tool."""

    uri: str = field(repr=False)
    place: str
    """Hosts and replica set, without login."""
    database: str
    """The only one that is dumped; empty for all."""

    @classmethod
    def read(cls, source: str, uri: str) -> _Server:
        """Raises: ConfigurationError, which shows nothing of the text."""
        scheme, separator, rest = uri.strip().partition("://")
        if scheme not in ("mongodb", "mongodb+srv") or not separator or "\n" in uri.strip():
            raise ConfigurationError(
                f"the connection string of source {source} does not begin with mongodb:// or mongodb+srv://"
            )
        address, _, query = rest.partition("?")
        login, _, hosts = address.rpartition("@")
        del login
        hosts, _, database = hosts.partition("/")
        replica_set = urllib.parse.parse_qs(query).get("replicaSet", [""])[0]
        place = f"{hosts}/{replica_set}" if replica_set else hosts
        return cls(uri.strip(), place, urllib.parse.unquote(database))

    def hide(self, words: str) -> str:
        """The words without the connection string or its login, should the tool ever repeat them."""
        login = self.uri.partition("://")[2].rpartition("@")[0]
        password = login.partition(":")[2]
        for secret in (self.uri, login, password, urllib.parse.unquote(password)):
            words = words.replace(secret, "…") if secret else words
        return words


@dataclass(slots=True)
class _Gathered:
    """What the reading found, for the manifest."""

    log: DumpLog = field(default_factory=DumpLog)
    check: ArchiveCheck = field(default_factory=lambda: ArchiveCheck(""))
    databases: Sequence[DatabaseFacts] = ()
    """Empty as long as the dump was not judged whole."""


@dataclass(frozen=True, slots=True)
class _ArchiveItem:
    """See `base.Item`."""

    path: str
    host: OpenHost
    command: Command
    server: _Server
    gathered: _Gathered

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        self.gathered.check = ArchiveCheck(f"{self.path} of {self.host.name}")
        try:
            async with self.host.start(self.command) as process, asyncio.TaskGroup() as group:
                # A dump of a day says more than is kept: it is read as it comes.
                listening = group.create_task(self._listen(process))
                try:
                    yield _ArchiveStream(self, process, listening)
                finally:
                    listening.cancel()
        except BaseExceptionGroup as failures:
            # What went wrong for the reader is told as itself.
            raise failures.exceptions[0] from None

    async def _listen(self, process: Process) -> None:
        async for line in process.stderr_lines():
            self.gathered.log.take(line)


class _ArchiveStream:
    """See `base.ItemStream`."""

    def __init__(self, item: _ArchiveItem, process: Process, listening: asyncio.Task[None]) -> None:
        self._item = item
        self._process = process
        self._listening = listening
        self._is_at_end = False

    async def read(self) -> bytes:
        data = await self._process.read()
        if data:
            self._item.gathered.check.take(data)
        self._is_at_end = not data
        return data

    async def judge(self) -> Sequence[str]:
        item, gathered = self._item, self._item.gathered
        if not self._is_at_end:
            raise IncompleteDumpError(f"{item.path} was not read to its end")
        ended = await self._process.wait()
        await self._listening
        self._judge_exit(ended)
        gathered.check.finish()
        if gathered.log.unfinished:
            raise IncompleteDumpError(
                f"mongodump on {item.host.name} never said that it was done with {', '.join(gathered.log.unfinished[:5])}"
            )
        if not gathered.log.rows:
            raise IncompleteDumpError(
                f"mongodump on {item.host.name} dumped no collection",
                hint="check the database's name in the connection string, and what its login may read",
            )
        gathered.databases = gathered.log.databases(item.path)
        return ()

    def _judge_exit(self, ended: Exit) -> None:
        item = self._item
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{item.host.name} never said how mongodump ended")
        require_started(item.host.name, item.command, ended)
        if not ended.is_success:
            how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
            words = item.server.hide(item.gathered.log.words)
            raise IncompleteDumpError(
                f"mongodump on {item.host.name} ended with {how}: {words or 'it said nothing'}"
            )
