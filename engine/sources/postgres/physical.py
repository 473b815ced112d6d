"""A copy of the whole cluster by pg_basebackup, file by file: for clusters that are too large to be dumped, and as a base for recovery.

Files that did not change are found again in the repository whole. What is restored starts as a server of the same major version; the
write-ahead log that makes it consistent comes with it.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from engine.errors import ConnectionLostError, HoldfastError, IncompleteDumpError
from engine.hosts.base import Command, Process, require_started
from engine.model.logs import LogPosition
from engine.model.manifest import DatabaseFacts, Tablespace, without_content
from engine.sources.base import ItemStream, Member
from engine.sources.logs import BasePosition
from engine.sources.postgres import facts, session, spaced_copy, wal, words
from engine.sources.postgres.base_backup import BaseReader, Event
from engine.sources.postgres.dumping import Gathered, Wanted

FOLDER = "data"
_ENDED = """
select extract(epoch from clock_timestamp())::float8 as at,
case when has_function_privilege('pg_control_system()', 'execute') then (select system_identifier from pg_control_system())::text end as system"""
_ROLES = "select rolname as name from pg_roles where rolname !~ '^pg_' order by oid"
"""The cluster's first superuser comes first: a throwaway server is entered as that one."""


def command(wanted: Wanted) -> Command:
    """pg_basebackup to standard output. It takes but the data folder there, and log only by fetching it at the end (measured)."""
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
        """See `base.Item.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        wanted = self.wanted
        asked = await ask(wanted, self.database, self.gathered)
        if asked.spaces:
            async with spaced_copy.opened(wanted, asked.place, asked.spaces) as spaced:
                yield BaseStream(self, spaced, asked)
        else:
            started = command(wanted)
            async with wanted.host.start(started) as process:
                yield BaseStream(self, ToolCopy(wanted, started, process), asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server said before it was copied."""

    server: facts.ServerFacts
    names: Sequence[str]
    """Of its databases."""
    spaces: Mapping[str, Tablespace]
    """Of its tablespaces but for its own two, by number."""
    place: Mapping[str, Any]
    """See `spaced_copy.SERVER`."""


async def ask(wanted: Wanted, database: str, gathered: Gathered) -> Asked:
    """What the server is, before it is copied. Raises: SourceError, HostError."""
    async with session.opened(wanted.host, wanted.connection, database) as asked:
        server = await facts.server(asked)
        gathered.roles = [row["name"] for row in await asked.rows(_ROLES)]
        names = [row["name"] for row in await asked.rows(facts.DATABASES)]
        spaces = {
            row["oid"]: Tablespace(row["oid"], row["name"], "", row["size"])
            for row in await asked.rows(spaced_copy.KNOWN)
        }
        place = await asked.row(spaced_copy.SERVER) if spaces else {}
    return Asked(server, names, spaces, place)


async def copied_spaces(wanted: Wanted, database: str) -> Sequence[str]:
    """The names of the tablespaces, once it is seen that they can be copied. Raises: SourceError where they cannot; HostError."""
    asked = await ask(wanted, database, Gathered())
    if asked.spaces:
        async with spaced_copy.connected(wanted, asked.place, asked.spaces):
            pass
    return [each.name for each in asked.spaces.values()]


class Copy(Protocol):
    """A base backup that is coming."""

    @property
    def reader(self) -> BaseReader:
        """What takes it apart."""
        ...

    async def next(self) -> Sequence[Event] | None:
        """What comes next, perhaps nothing yet; None at the end. Raises: IncompleteDumpError, SourceError, HostError."""
        ...

    async def end(self) -> Sequence[str]:
        """After the end: warnings. Raises: IncompleteDumpError where whoever sent it says that it is not whole; HostError."""
        ...

    def tablespaces(self) -> Sequence[Tablespace]:
        """Those that came."""
        ...


class ToolCopy:
    """See `Copy`: the output of pg_basebackup."""

    def __init__(self, wanted: Wanted, started: Command, process: Process) -> None:
        self.reader = BaseReader()
        self.process = process
        self._wanted = wanted
        self._started = started

    async def next(self) -> Sequence[Event] | None:
        """See `Copy.next`."""
        piece = await self.process.read()
        return self.reader.feed(piece) if piece else None

    async def end(self) -> Sequence[str]:
        """See `Copy.end`."""
        host = self._wanted.host
        ended = await self.process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host.name} never said how pg_basebackup ended")
        require_started(host.name, self._started, ended)
        if not ended.is_success:
            raise words.failure(ended, f"the cluster of {host.name} could not be copied", IncompleteDumpError)
        return words.warnings(ended.stderr)

    def tablespaces(self) -> Sequence[Tablespace]:
        """There are none: the program would have refused."""
        return ()


class BaseStream:
    """A base backup as the files of one folder. See `base.FolderStream`."""

    def __init__(self, item: BaseItem, copy: Copy, asked: Asked) -> None:
        self._item = item
        self._names = asked.names
        self._copy = copy
        self._server = asked.server
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
        warnings = await self._copy.end()
        self._copy.reader.require_whole()
        said = await self._gather()
        return [*warnings, *said]

    async def _has_event(self) -> bool:
        """Whether more is coming; one event lies ready then."""
        while not self._events and not self._is_at_end:
            events = await self._copy.next()
            self._is_at_end = events is None
            self._events.extend(events or ())
        return bool(self._events)

    async def _gather(self) -> list[str]:
        """What the databases hold now, for the manifest; says which it could not look into. What was copied is whole without it."""
        gathered = self._item.gathered
        gathered.server, gathered.folder = self._server, FOLDER
        gathered.tablespaces = self._copy.tablespaces()
        said = await self._place()
        for name in self._names:
            try:
                gathered.databases.append(await self._facts(name))
            except HoldfastError as error:
                said.append(f"{name} is not in the manifest, so a drill will not look at it: {error.message}")
        return said

    async def _place(self) -> list[str]:
        """Where in the log the copy ends; says why that is not known. What was copied is whole without it."""
        wanted, last = self._item.wanted, self._copy.reader.last_segment
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
