"""A psql that stays open and is asked over its standard input: one session of the server, so one transaction over many questions.

Rows come as JSON, one a line, so that no name or value can be taken for the end of a field or of an answer.
"""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from engine.errors import ConnectionLostError, SourceError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.sources.postgres import words
from engine.sources.postgres.connection import Connection

_END = b"holdfast: end of answer"
"""No row of JSON is like it."""
_MOST_ANSWER_BYTES = 256 << 20
_QUIET = """\
set search_path = pg_catalog;
set statement_timeout = 0;
set lock_timeout = '60s';
set idle_in_transaction_session_timeout = 0;
set row_security = off;
select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout';
"""
"""Nobody else's functions are found before the server's own, and nothing is cut short or left out in silence."""

Row = dict[str, Any]


class Session:
    """One session. Questions are put one after the other; not for several tasks at once."""

    def __init__(self, host: OpenHost, process: Process, command: Command, database: str) -> None:
        self._host = host
        self._command = command
        self._process = process
        self._database = database
        self._received = bytearray()

    async def run(self, statements: str) -> None:
        """Statements without an answer, each ended by a semicolon. Raises: SourceError with the server's words, HostError."""
        await self.lines(statements)

    async def rows(self, select: str) -> list[Row]:
        """A query's rows, by the names of its columns. Raises: as `run`."""
        found = []
        for line in await self.lines(f"select row_to_json(answer) from ({select}) answer;"):
            row = json.loads(line.decode("utf-8", "backslashreplace"))
            found.append(row)
        return found

    async def row(self, select: str) -> Row:
        """The only row of a query."""
        (row,) = await self.rows(select)
        return row

    async def lines(self, statements: str) -> Sequence[bytes]:
        """What psql prints for the statements, line by line. Raises: as `run`."""
        answer: list[bytes] = []
        await self.each_line(statements, answer.append)
        return answer

    async def each_line(self, statements: str, take: Callable[[bytes], None]) -> None:
        """As `lines`, for an answer that is too long to be held. Raises: as `run`."""
        text = f"{statements}\n\\echo '{_END.decode()}'\n"
        try:
            await self._process.write(text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:
            await self._fail()
        while (line := await self._line()) != _END:
            take(line)

    async def _line(self) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            piece = await self._process.read()
            if not piece:
                await self._fail()
            self._received += piece
            if len(self._received) > _MOST_ANSWER_BYTES:
                raise SourceError(f"psql on {self._host.name} sent a line without an end")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    async def _fail(self) -> None:
        """Raises: why psql ended."""
        await self._process.close_input()
        ended = await self._process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{self._host.name} never said how psql ended")
        require_started(self._host.name, self._command, ended)
        raise words.failure(ended, f"database {self._database!a} of {self._host.name} could not be asked")


def command(connection: Connection, database: str) -> Command:
    """psql for a session with that database."""
    return connection.command(
        "psql",
        "-AtXq",
        "--set=ON_ERROR_STOP=1",
        database=database,
        input="stream",
        settings={"PGCLIENTENCODING": "UTF8"},
    )


@asynccontextmanager
async def opened(host: OpenHost, connection: Connection, database: str) -> AsyncIterator[Session]:
    """A session with that database; leaving ends it, and rolls back what it did not commit. Raises: SourceError, HostError."""
    psql = command(connection, database)
    async with host.start(psql) as process:
        session = Session(host, process, psql, database)
        await session.run(_QUIET)
        yield session
