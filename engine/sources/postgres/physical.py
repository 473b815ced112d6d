"""A copy of the whole cluster by pg_basebackup, file by file: for clusters that are too large to be dumped, and as a base for recovery.

Files that did not change are found again in the repository whole. What is restored starts as a server of the same major version; the
write-ahead log that makes it consistent comes with it.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from engine.errors import ConnectionLostError, HoldfastError, IncompleteDumpError, SourceError
from engine.hosts.base import Command, Exit, Process, require_started
from engine.model.logs import LogPosition
from engine.model.manifest import DatabaseFacts, without_content
from engine.sources.base import ItemStream, Member
from engine.sources.logs import BasePosition
from engine.sources.postgres import facts, session, wal, words
from engine.sources.postgres.base_backup import BaseReader, Event
from engine.sources.postgres.dumping import Gathered, Wanted

FOLDER = "data"
_TABLESPACES = (
    "select spcname as name from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 1"
)
_ENDED = """
select extract(epoch from clock_timestamp())::float8 as at,
case when has_function_privilege('pg_control_system()', 'execute') then (select system_identifier from pg_control_system())::text end as system"""
_ROLES = "select rolname as name from pg_roles where rolname !~ '^pg_' order by oid"
"""The cluster's first superuser comes first: a throwaway server is entered as that one."""


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
    path: str = FOLDER

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`. Raises on entering: SourceError where there are tablespaces, of which no single stream can be made."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        server, names = await ask(self.wanted, self.database, self.gathered)
        started = command(self.wanted)
        async with self.wanted.host.start(started) as process:
            yield BaseStream(self, started, process, server, names)


async def ask(wanted: Wanted, database: str, gathered: Gathered) -> tuple[facts.ServerFacts, Sequence[str]]:
    """What the server is before it is copied, and its databases. Raises: SourceError where there are tablespaces; HostError."""
    async with session.opened(wanted.host, wanted.connection, database) as asked:
        server = await facts.server(asked)
        gathered.roles = [row["name"] for row in await asked.rows(_ROLES)]
        names = [row["name"] for row in await asked.rows(facts.DATABASES)]
        spaces = [row["name"] for row in await asked.rows(_TABLESPACES)]
    if spaces:
        raise SourceError(
            f"the cluster of {wanted.host.name} has the tablespace {spaces[0]!a}: pg_basebackup cannot send it and the data folder as one stream",
            hint="back its databases up as dumps, by --all instead of --physical; or move what lies there: ALTER DATABASE … SET TABLESPACE pg_default",
        )
    return server, names


class BaseStream:
    """The tar stream of pg_basebackup. See `base.FolderStream`."""

    def __init__(
        self,
        item: BaseItem,
        started: Command,
        process: Process,
        server: facts.ServerFacts,
        names: Sequence[str],
    ) -> None:
        self._item = item
        self._started = started
        self._names = names
        self._process = process
        self._server = server
        self._reader = BaseReader()
        self._events: deque[Event] = deque()
        self._is_at_end = False

    async def next_member(self) -> Member | None:
        """See `base.FolderStream.next_member`. Raises: IncompleteDumpError where it is no base backup."""
        while await self._has_event():
            event = self._events.popleft()
            if isinstance(event, Member):
                return event
        return None

    async def read(self) -> bytes:
        """See `base.ItemStream.read`."""
        if await self._has_event() and not isinstance(piece := self._events[0], Member):
            self._events.popleft()
            return bytes(piece)
        return b""

    async def judge(self) -> Sequence[str]:
        """See `base.ItemStream.judge`."""
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        ended = await self._require_success()
        self._reader.require_whole()
        said = await self._gather()
        return [*words.warnings(ended.stderr), *said]

    async def _has_event(self) -> bool:
        """Whether more is coming; one event lies ready then."""
        while not self._events and not self._is_at_end:
            piece = await self._process.read()
            self._is_at_end = not piece
            self._events.extend(self._reader.feed(piece))
        return bool(self._events)

    async def _gather(self) -> list[str]:
        """What the databases hold now, for the manifest; says which it could not look into. What was copied is whole without it."""
        gathered = self._item.gathered
        gathered.server, gathered.folder = self._server, FOLDER
        said = await self._place()
        for name in self._names:
            try:
                gathered.databases.append(await self._facts(name))
            except HoldfastError as error:
                said.append(f"{name} is not in the manifest, so a drill will not look at it: {error.message}")
        return said

    async def _place(self) -> list[str]:
        """Where in the log the copy ends; says why that is not known. What was copied is whole without it."""
        wanted, last = self._item.wanted, self._reader.last_segment
        found = wal.parse_name(last.path.rpartition("/")[2]) if last is not None else None
        if last is None or found is None:
            return []
        async with session.opened(wanted.host, wanted.connection, self._item.database) as asked:
            row = await asked.row(_ENDED)
        if row["system"] is None:
            return [
                "its place in the log is not known: grant execute on function pg_control_system() to the account"
            ]
        position = LogPosition(row["system"], found.series, found.number(last.size_bytes))
        at = datetime.datetime.fromtimestamp(row["at"], datetime.UTC)
        self._item.gathered.base = BasePosition(position, at)
        return []

    async def _facts(self, name: str) -> DatabaseFacts:
        wanted = self._item.wanted
        async with session.opened(wanted.host, wanted.connection, name) as asked:
            await asked.run("begin isolation level repeatable read, read only;")
            found = await facts.gather(asked, name, has_rows=False)
        return without_content(found)

    async def _require_success(self) -> Exit:
        host = self._item.wanted.host
        ended = await self._process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_basebackup ended")
        require_started(host.name, self._started, ended)
        if not ended.is_success:
            raise words.failure(ended, f"the cluster of {host.name} could not be copied", IncompleteDumpError)
        return ended
