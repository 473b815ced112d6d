"""The drill of a database: its dumps into a throwaway server, or into scratch databases of the live one where no server can be started."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from engine.errors import HoldfastError, RestoreError, ToolMissingError
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_database_source
from engine.jobs.drill_steps import TEAR_DOWN, DrillRecord, StepFailedError
from engine.model.manifest import CheckResult, DatabaseFacts, compare, without_content
from engine.model.requests import DrillRequest
from engine.model.results import KeptScratch
from engine.sources.base import Database, DatabaseSource, Selection

Hold = Callable[[Sequence[KeptScratch]], Awaitable[None]]
"""Is given what there is to look into."""
_CLEANUP_S = 60.0
PREFIX = "holdfast_drill_"
"""What a scratch database's name begins with; random digits follow, never anything that somebody typed."""


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Where a drill restores to."""

    database: Database
    level: str
    """server or database."""


async def drill(
    context: JobContext, request: DrillRequest, backup: DatabaseBackup, record: DrillRecord, hold: Hold
) -> None:
    """Restores every database of the backup, looks at it, and throws it away.

    `hold` is awaited before anything is thrown away. Raises: StepFailedError, which is written down.
    """
    async with AsyncExitStack() as stack:
        with record.step("connect", is_proof=False):
            source = await stack.enter_async_context(open_database_source(context, backup.source))
        server = AsyncExitStack()
        scratch = await _open_scratch(request, backup, source, record, server)
        record.level = scratch.level
        made: list[str] = []
        try:
            await _all_databases(request, backup, scratch, record, made)
            names = [facts.name for facts in backup.manifest.databases]
            kept = [
                KeptScratch(name, scratch.database.connect_line(fresh))
                for name, fresh in zip(names, made, strict=True)
            ]
            await hold(kept)
        finally:
            await _tear_down(scratch.database, made, server, record)


async def _tear_down(
    database: Database, made: Sequence[str], server: AsyncExitStack, record: DrillRecord
) -> None:
    """Removes what was made, ends the server, and looks whether all is gone. Never raises for it: what was found out stands."""
    with contextlib.suppress(StepFailedError), record.step(TEAR_DOWN, is_proof=False) as detail:
        try:
            left = await asyncio.shield(_left_over(database, made))
        finally:
            await server.aclose()
        if left:
            raise RestoreError(f"{', '.join(left)} is still there")
        detail.append("scratch gone: yes")


async def _left_over(database: Database, made: Sequence[str]) -> list[str]:
    """Drops them; which ones are there all the same."""
    try:
        async with asyncio.timeout(_CLEANUP_S):
            for name in made:
                await database.drop(name)
            return sorted(set(made) & set(await database.names()))
    except TimeoutError:
        return list(made)


async def _all_databases(
    request: DrillRequest, backup: DatabaseBackup, scratch: _Scratch, record: DrillRecord, made: list[str]
) -> None:
    word = secrets.token_hex(4)
    if not backup.manifest.databases:
        record.checks.append(CheckResult("databases", "at least one", "none", False))
    for number, facts in enumerate(backup.manifest.databases):
        name = f"{PREFIX}{word}_{number}"
        made.append(name)
        await _one_database(request, backup, scratch.database, facts, name, record)


async def _one_database(
    request: DrillRequest,
    backup: DatabaseBackup,
    database: Database,
    facts: DatabaseFacts,
    name: str,
    record: DrillRecord,
) -> None:
    with record.step(f"restore {facts.name}") as detail:
        await database.create(name, facts, is_owned=False)
        size_bytes = await backup.load(database, facts, name, Selection(is_owned=False))
        detail.append(f"{size_bytes} bytes")
    await look_at(request, database, facts, name, record)


async def look_at(
    request: DrillRequest,
    database: Database,
    facts: DatabaseFacts,
    name: str,
    record: DrillRecord,
    *,
    has_content: bool = True,
) -> None:
    """Compares a restored database with what it should be, lets the database's own checker look, and asks the user's queries.

    `has_content`: whether the manifest knows its rows and the values of its sequences. Raises: StepFailedError.
    """
    with record.step(f"compare {facts.name}"):
        found = await database.facts(name)
        found = found if has_content else without_content(found)
        if facts.tables and not found.tables:
            record.checks.append(
                CheckResult(f"{facts.name}: not empty", "tables", "an empty database", False)
            )
        record.checks += _named(facts.name, compare(facts, found))
    await look_into(request, database, facts.name, name, record)


async def look_into(
    request: DrillRequest, database: Database, meant: str, name: str, record: DrillRecord
) -> None:
    """What needs no manifest: lets the database's own checker look, and asks the user's queries of the one that is `meant`.

    Raises: StepFailedError.
    """
    with record.step(f"inspect {meant}"):
        record.checks += _named(meant, await database.inspect(name))
    for wanted, statement, expected in request.checks:
        if wanted in ("", meant):
            with record.step(f"query {meant}"):
                record.checks.append(await _queried(database, name, meant, statement, expected))


async def _queried(database: Database, name: str, meant: str, statement: str, expected: str) -> CheckResult:
    try:
        actual = await database.query(name, statement)
    except HoldfastError as error:
        return CheckResult(f"{meant}: {statement}", expected, error.message, False)
    return CheckResult(f"{meant}: {statement}", expected, actual, actual == expected)


def _named(meant: str, checks: Sequence[CheckResult]) -> list[CheckResult]:
    return [CheckResult(f"{meant}: {each.check}", each.expected, each.actual, each.passed) for each in checks]


async def _open_scratch(
    request: DrillRequest,
    backup: DatabaseBackup,
    source: DatabaseSource,
    record: DrillRecord,
    stack: AsyncExitStack,
) -> _Scratch:
    """A throwaway server, unless another level was asked for; scratch databases on the live server where none can be started."""
    database: Database | None = None
    if request.level in ("", "server"):
        optional = None if request.level else ToolMissingError
        with record.step("start a throwaway server", is_proof=False, optional=optional):
            database = await stack.enter_async_context(source.scratch(backup.manifest.server_version))
    if database is not None:
        return _Scratch(database, "server")
    with record.step("connect to the live server", is_proof=False):
        live = await stack.enter_async_context(source.database())
    return _Scratch(live, "database")
