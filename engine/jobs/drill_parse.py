"""The drill of a database's dumps without a server: each read to its end by the database's own parser, all else of the backup byte by byte."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack
from typing import cast

from engine.errors import UsageError
from engine.events import Progress
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_database_source
from engine.jobs.drill_steps import DrillRecord
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.repository import dump as repository_dump
from engine.repository import reader
from engine.repository.reader import Trees
from engine.sources.base import DatabaseSource, ParsingSource


async def drill(context: JobContext, backup: DatabaseBackup, record: DrillRecord) -> None:
    """Reads all of it. Raises: StepFailedError, which is written down; UsageError where the kind has no parser."""
    async with AsyncExitStack() as stack:
        with record.step("connect", is_proof=False):
            source = await stack.enter_async_context(open_database_source(context, backup.source))
        parser = _parser(source, backup)
        record.level = "parse"
        if not backup.manifest.databases:
            record.checks.append(CheckResult("databases", "at least one", "none", False))
        for facts in backup.manifest.databases:
            await _one_dump(backup, parser, facts, facts.name, record)
            for number, path in enumerate(facts.parts, 1):
                # Rows alone: no table is made there.
                part = dataclasses.replace(facts, path=path, tables=())
                await _one_dump(backup, parser, part, f"{facts.name}, part {number}", record)
    with record.step("read the rest") as detail:
        count = await _read_rest(backup)
        detail.append(f"{count} files besides the dumps")


def _parser(source: DatabaseSource, backup: DatabaseBackup) -> ParsingSource:
    if not isinstance(source, ParsingSource):
        raise UsageError(f"{backup.source.name} is of kind {backup.source.kind}, which has no level parse")
    return cast("ParsingSource", source)


async def _one_dump(
    backup: DatabaseBackup, parser: ParsingSource, facts: DatabaseFacts, name: str, record: DrillRecord
) -> None:
    with record.step(f"parse {name}") as detail:
        done_bytes = 0
        async with parser.parsing(facts) as stream:

            async def write(data: bytes) -> None:
                nonlocal done_bytes
                await stream.write(data)
                done_bytes += len(data)
                backup.context.emit(Progress("parse", done_bytes, current=name))

            await backup.read(facts.path, write)
            found = await stream.finish()
        record.checks += [
            CheckResult(f"{name}: {each.check}", each.expected, each.actual, each.passed) for each in found
        ]
        detail.append(f"{done_bytes} bytes")


async def _read_rest(backup: DatabaseBackup) -> int:
    """Every file that is no dump, each blob checked as it is read; how many. Raises: DamagedError."""
    root = f"{backup.source.kind}/{backup.source.name}/"
    dumps = {
        (root + path).encode() for each in backup.manifest.databases for path in (each.path, *each.parts)
    }
    count = 0
    async for visited in reader.walk(Trees(backup.repository), backup.snapshot.tree):
        if visited.node.type == "file" and visited.path not in dumps:
            await repository_dump.dump_node(backup.repository, visited.node, _drop)
            count += 1
    return count


async def _drop(_data: bytes) -> None:
    """Nobody keeps it."""
