"""A dump read by pg_restore to its last byte, without a server: as SQL that nobody keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.errors import ConnectionLostError, SourceError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.model.manifest import CheckResult, DatabaseFacts, compare_names
from engine.sources.base import ParseStream
from engine.sources.postgres import words
from engine.sources.postgres.archive import ArchiveReader

_TABLES = frozenset({"TABLE", "FOREIGN TABLE"})


@asynccontextmanager
async def parsing(host: OpenHost, as_user: str | None, facts: DatabaseFacts) -> AsyncIterator[ParseStream]:
    """See `base.ParsingSource.parsing`."""
    command = Command(("pg_restore", "--file=/dev/null"), as_user=as_user, input="stream")
    async with host.start(command) as process:
        yield _Parse(host, command, process, facts)


class _Parse:
    """See `base.ParseStream`. The table of contents is read here as well, to be held against the manifest."""

    def __init__(self, host: OpenHost, command: Command, process: Process, facts: DatabaseFacts) -> None:
        self._host = host
        self._command = command
        self._process = process
        self._facts = facts
        self._archive = ArchiveReader()

    async def write(self, data: bytes) -> None:
        self._archive.feed(data)
        try:
            await self._process.write(data)
        except BrokenPipeError:
            await self._end()
            raise SourceError("pg_restore took no more of the dump") from None

    async def finish(self) -> Sequence[CheckResult]:
        await self._process.close_input()
        await self._end()
        self._archive.require_whole()
        checks = [CheckResult("read by pg_restore", "to its end", "to its end", True)]
        if self._archive.is_known:
            found = [
                f"{each.namespace}.{each.name}" for each in self._archive.entries if each.kind in _TABLES
            ]
            checks.append(compare_names("tables", [each.name for each in self._facts.tables], found))
        return checks

    async def _end(self) -> None:
        """How pg_restore ended. Raises: SourceError, HostError."""
        ended = await self._process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{self._host.name} never said how pg_restore ended")
        require_started(self._host.name, self._command, ended)
        if not ended.is_success:
            raise words.failure(ended, f"pg_restore on {self._host.name} could not read the dump")
