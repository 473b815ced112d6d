"""An instant of a database, held by one session for as long as its dump takes: others read in its snapshot, and it counts meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.errors import HoldfastError
from engine.hosts.base import OpenHost
from engine.model.manifest import DatabaseFacts
from engine.scope import task_scope
from engine.sources.postgres import facts, session
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.facts import ServerFacts, TableName
from engine.sources.postgres.session import Session

_SNAPSHOT = "begin isolation level repeatable read, read only; set local max_parallel_workers_per_gather = 0;"
"""What counts beside the dump must not take the cores that the dump and everybody else need."""


@dataclass(frozen=True, slots=True)
class Instant:
    """What is known of it before the dump begins."""

    asked: Session
    """Free until the counting begins."""
    database: str
    snapshot: str
    """Its name; it is gone with the session."""
    server: ServerFacts
    tables: Sequence[TableName]
    """The chosen ones; none for all."""


class Counting:
    """What the database holds at the instant, as it is found out."""

    def __init__(self) -> None:
        self.failure: HoldfastError | None = None
        """Why it ended: the snapshot is gone, too, then."""
        self._found: DatabaseFacts | None = None
        self._is_over = asyncio.Event()

    async def run(self, instant: Instant, *, has_rows: bool) -> None:
        """Counts. A failure is kept, for `facts`."""
        try:
            self._found = await facts.gather(
                instant.asked, instant.database, instant.tables, has_rows=has_rows
            )
        except HoldfastError as error:
            self.failure = error
        self._is_over.set()

    async def facts(self) -> DatabaseFacts:
        """Waits for the end. Raises: SourceError, HostError."""
        await self._is_over.wait()
        if self.failure is not None:
            raise self.failure
        assert self._found is not None
        return self._found


@asynccontextmanager
async def held(
    host: OpenHost, connection: Connection, database: str, tables: Sequence[str]
) -> AsyncIterator[Instant]:
    """Holds the database still; `tables` are those that were chosen. Raises: SourceError, HostError."""
    async with session.opened(host, connection, database) as asked:
        await asked.run(_SNAPSHOT)
        snapshot = (await asked.row("select pg_export_snapshot() as id"))["id"]
        found = await facts.find_tables(asked, tables) if tables else []
        yield Instant(asked, database, snapshot, await facts.server(asked), found)


@asynccontextmanager
async def counted(instant: Instant, *, has_rows: bool) -> AsyncIterator[Counting]:
    """Counts beside the body, and no longer."""
    counting = Counting()
    async with task_scope() as tasks:
        task = tasks.create_task(counting.run(instant, has_rows=has_rows))
        try:
            yield counting
        finally:
            task.cancel()
