"""A dump on its way into a database: checked and rewritten while it streams, and given to the client on standard input."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import Command, Process
from engine.sources.base import Selection
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.dump_text import DumpScanner, Span
from engine.sources.mariadb.rewriting import Rewriter

_SILENT = ("sh", "-c", 'exec "$@" >/dev/null', "sh")
"""A dump may hold statements that answer, and nobody reads what they say."""


@asynccontextmanager
async def loading(connection: Connection, name: str, selection: Selection) -> AsyncIterator[Load]:
    """Starts the client. Leaving early ends it. Raises on entering: ToolMissingError, HostError."""
    tools = await connection.tools()
    client = await connection.client_command(f"--database={name}")
    command = Command(
        (*_SILENT, *client.words), client.settings, client.secrets, as_user=client.as_user, input="stream"
    )
    rewriter = Rewriter(
        frozenset(selection.tables), is_owned=selection.is_owned, keeps_sandbox=tools.knows_sandbox
    )
    async with connection.host.start(command) as process:
        yield Load(connection, command, process, rewriter)


class Load:
    """See `base.LoadStream`."""

    def __init__(
        self, connection: Connection, command: Command, process: Process, rewriter: Rewriter
    ) -> None:
        self._connection = connection
        self._command = command
        self._process = process
        self._rewriter = rewriter
        self._scanner = DumpScanner()

    async def write(self, data: bytes) -> None:
        """See `base.LoadStream.write`. Raises: SourceError for a dump that is not of one database alone."""
        for span in self._scanner.feed(data):
            await self._pass_on(span)

    async def finish(self) -> Sequence[str]:
        """See `base.LoadStream.finish`."""
        for span in self._scanner.end():
            await self._pass_on(span)
        if not self._scanner.is_complete:
            raise IncompleteDumpError(
                "the dump lacks its end marker, `-- Dump completed`: it is not whole",
                hint="what was loaded of it is to be dropped",
            )
        missing = (
            self._rewriter.tables - self._scanner.tables - self._scanner.views - set(self._scanner.sequences)
        )
        await self._process.write(b"\n")
        await self._process.close_input()
        self._connection.require_success(self._command, await self._process.wait())
        if missing:
            raise SourceError(f"the dump holds no table {min(missing)!a}")
        paused = self._rewriter.paused
        return [f"{paused} events sleep until their database is put in place"] if paused else []

    async def _pass_on(self, span: Span) -> None:
        if self._scanner.refused:
            raise SourceError(
                f"the dump chooses a database by itself ({self._scanner.refused!a}), and would overwrite that one",
                hint="a dump of one database, made without --databases, can be loaded anywhere",
            )
        data = self._rewriter.rewritten(span)
        if not data:
            return
        try:
            await self._process.write(data)
        except BrokenPipeError:
            ended = await self._process.wait()
            self._connection.require_success(self._command, ended)
            raise SourceError(f"{self._connection.place}: the client ended before the dump did") from None
