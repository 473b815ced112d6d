"""Named queries in transactions over one connection, with SQLite's errors translated."""

from __future__ import annotations

import asyncio
import datetime
import functools
import json
import sqlite3
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiosqlite

from engine.catalog import opening, takeover, unwritable
from engine.catalog.packing import unpack
from engine.clock import Clock
from engine.errors import CatalogError

_KEYS_AT_ONCE = 10_000

Value = str | int | float | bytes | None
Row = tuple[Any, ...]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def to_microseconds(instant: datetime.datetime) -> int:
    """An aware instant as the catalog holds it: whole microseconds since 1970 in UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def to_instant(microseconds: int) -> datetime.datetime:
    """An instant out of the catalog, in UTC."""
    return _EPOCH + datetime.timedelta(microseconds=microseconds)


def to_optional_microseconds(instant: datetime.datetime | None) -> int | None:
    """As `to_microseconds`; None stays None."""
    return None if instant is None else to_microseconds(instant)


def to_optional_instant(microseconds: int | None) -> datetime.datetime | None:
    """As `to_instant`; None stays None."""
    return None if microseconds is None else to_instant(microseconds)


def to_json(value: object) -> str:
    """JSON in ASCII: a name that is no UTF-8 survives as an escaped surrogate, which SQLite would refuse as text."""
    return json.dumps(value, separators=(",", ":"))


def to_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object out of the catalog, packed or not."""
    return {} if text == "{}" else cast("dict[str, Any]", json.loads(unpack(text)))


def to_list(text: str) -> Sequence[str]:
    """A JSON list of texts out of the catalog."""
    return () if text == "[]" else tuple(json.loads(text))


def to_text(text: str) -> str:
    """Text that SQLite takes: what is no Unicode (part of a file's name) becomes a visible escape."""
    return text.encode("utf-8", "backslashreplace").decode()


class Transaction:
    """Statements that all take effect, or none. Lives inside `Database.transaction`."""

    def __init__(self, connection: aiosqlite.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    async def fetch_all(self, query: str, **parameters: Value) -> list[Row]:
        """All rows of a query of queries.sql."""
        return cast("list[Row]", await self._connection.execute_fetchall(self._queries[query], parameters))

    async def fetch_one(self, query: str, **parameters: Value) -> Row | None:
        """The first row, or None."""
        rows = await self.fetch_all(query, **parameters)
        return rows[0] if rows else None

    async def execute(self, query: str, **parameters: Value) -> int:
        """Runs a statement; the number of rows that it changed."""
        cursor = await self._connection.execute(self._queries[query], parameters)
        return cursor.rowcount

    async def execute_many(self, query: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Runs a statement once for each row; where there is none, the connection's thread is not asked."""
        if given := list(rows):
            await self._connection.executemany(self._queries[query], given)


class _Connector:
    """Opens, in the connection's thread, and keeps the error for the opener.

    aiosqlite leaves its thread to itself where opening raises, and the thread then speaks to an event loop that may be gone.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        connect_unwritable: Callable[[], sqlite3.Connection | None] | None,
    ) -> None:
        self._connect = connect
        self._connect_unwritable = connect_unwritable
        self.error: CatalogError | None = None
        self.unwritable = ""

    def __call__(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except CatalogError as error:
            # What is busy, damaged or of another version has a class of its own, and no other way in.
            if self._connect_unwritable is not None and type(error) is CatalogError:
                connection = self._connect_unwritable()
                if connection is not None:
                    self.unwritable = error.message
                    return connection
            self.error = error
            return sqlite3.connect(":memory:")


class Database:
    """One open catalog file. Safe for many tasks of one event loop: transactions queue up for the connection."""

    def __init__(
        self, connection: aiosqlite.Connection, path: Path, clock: Clock, unwritable_: str = ""
    ) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._is_synced: bool | None = True
        """Whether commits wait for the disk, as `opening.connect` left it; None while that is being changed."""
        self._queries = opening.load_queries()
        self.path = path
        self.clock = clock
        self.unwritable = unwritable_
        """Why nothing can be written, where it was opened all the same; else empty."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        timeout_s: float,
        schema: opening.Schema,
        is_reading: bool = False,
    ) -> AsyncIterator[Database]:
        """Opens, creates or migrates the file; with `is_reading` one that cannot be written will do. See `opening.connect` for what it raises."""
        connect = functools.partial(
            opening.connect, path, now=clock.now(), timeout_s=timeout_s, schema=schema
        )
        reading = functools.partial(unwritable.connect, path, schema)
        connector = _Connector(connect, reading if is_reading else None)
        async with aiosqlite.Connection(connector, iter_chunk_size=64) as connection:
            if connector.error is not None:
                raise connector.error
            yield cls(connection, path, clock, connector.unwritable)

    @property
    def now(self) -> int:
        """The clock's present instant as the catalog holds it."""
        return to_microseconds(self.clock.now())

    @asynccontextmanager
    async def transaction(self, *, is_lasting: bool = True) -> AsyncIterator[Transaction]:
        """Takes the write lock of the file, waits for it up to the time-out, and commits at the end.

        What is not lasting is a note that a power cut may take away, with all other notes since the last commit that was lasting: its commit
        does not wait for the disk, which may take longer than all else that is done here.
        An error or a cancellation inside rolls back. Statements reach the connection's thread in order, so that a rollback is in
        effect before whatever comes next, even if nobody waits for its end. A cancellation while the commit itself runs leaves open
        which of the two happened: what is asked again must be idempotent.

        Raises: CatalogBusyError, CatalogDamagedError, CatalogError.
        """
        async with self._turn:
            with opening.translated(self.path):
                try:
                    await self._sync(is_lasting=is_lasting)
                    await self._connection.execute("BEGIN IMMEDIATE")
                    yield Transaction(self._connection, self._queries)
                    await self._connection.commit()
                except BaseException:
                    await self._connection.rollback()
                    raise

    async def _sync(self, *, is_lasting: bool) -> None:
        if self._is_synced is not is_lasting:
            self._is_synced = None
            # In a write-ahead log a commit waits for the disk with FULL alone; NORMAL may lose it, and never harms the file.
            await self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_lasting else 'NORMAL'}")
            self._is_synced = is_lasting

    async def fetch_all(self, query: str, **parameters: Value) -> list[Row]:
        """All rows of a query of queries.sql, read by itself: never inside a transaction of the same task. Raises: CatalogError."""
        return await self.fetch_sql(self._queries[query], parameters)

    async def fetch_one(self, query: str, **parameters: Value) -> Row | None:
        """The first row, or None. Raises: CatalogError."""
        rows = await self.fetch_all(query, **parameters)
        return rows[0] if rows else None

    async def fetch_sql(self, sql: str, parameters: Mapping[str, Value]) -> list[Row]:
        """All rows of a query that was put together from parts of queries.sql. Raises: CatalogError."""
        async with self._turn:
            with opening.translated(self.path):
                return cast("list[Row]", await self._connection.execute_fetchall(sql, parameters))

    async def fetch_keys(self, sql: str, parameters: Mapping[str, Value]) -> bytes:
        """The one number of each row, eight bytes each: of a million rows no million objects are made at once. Raises: CatalogError."""
        keys = array("q")
        async with self._turn:
            with opening.translated(self.path):
                async with self._connection.execute(sql, parameters) as cursor:
                    while rows := await cursor.fetchmany(_KEYS_AT_ONCE):
                        keys.extend([row[0] for row in rows])
        return keys.tobytes()

    async def copy_to(self, path: Path) -> None:
        """Writes a whole copy of the file, as it is at one instant, to a path where nothing is. Raises: CatalogError."""
        async with self._turn:
            with opening.translated(self.path):
                await self._connection.execute("VACUUM INTO ?", (str(path),))

    async def take_over(self, path: Path, tables: Sequence[str], join: takeover.Join | None = None) -> int:
        """See `takeover.take_over`. Raises: CatalogError."""
        async with self._turn:
            with opening.translated(path):
                return await takeover.take_over(self._connection, path, tables, join)

    def query(self, name: str) -> str:
        """The text of a query, for putting together."""
        return self._queries[name]
