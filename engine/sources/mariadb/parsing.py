"""A dump read to its end marker, without a server: MariaDB has no tool that does, so this is our own reading of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.errors import IncompleteDumpError
from engine.model.manifest import CheckResult, DatabaseFacts, TableFacts, compare
from engine.sources.base import ParseStream
from engine.sources.mariadb.dump_text import DumpScanner


@asynccontextmanager
async def parsing(facts: DatabaseFacts) -> AsyncIterator[ParseStream]:
    """See `base.ParsingSource.parsing`."""
    yield _Parse(facts)


class _Parse:
    """See `base.ParseStream`."""

    def __init__(self, facts: DatabaseFacts) -> None:
        self._facts = facts
        self._scanner = DumpScanner()

    async def write(self, data: bytes) -> None:
        for _span in self._scanner.feed(data):
            pass

    async def finish(self) -> Sequence[CheckResult]:
        scanner = self._scanner
        for _span in scanner.end():
            pass
        if not scanner.is_complete:
            raise IncompleteDumpError("the dump lacks its end marker, `-- Dump completed`: it is not whole")
        found = DatabaseFacts(
            self._facts.name,
            tables=[TableFacts(name, scanner.rows.get(name, 0)) for name in sorted(scanner.tables)],
        )
        names = [each.name for each in (*self._facts.tables, *found.tables)]
        refused = scanner.refused or "none"
        return [
            CheckResult("statement that chooses a database", "none", refused, not scanner.refused),
            *(compare(self._facts, found, names) if names else ()),
        ]
