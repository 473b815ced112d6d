"""diff --live: a backup against what its source holds now, without taking a backup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Final

from engine.errors import SourceError, UnknownNameError, UsageError
from engine.events import StepBegan
from engine.jobs import diff_dumps, diff_live_files
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_backup, open_database_source
from engine.jobs.diff import (
    HAS_DATABASES,
    HAS_DEFINITIONS,
    HAS_ROWS,
    Coverage,
    Tell,
    counted,
    knows_content,
)
from engine.jobs.diff_dumps import Meter
from engine.jobs.diff_facts import (
    compare_contents,
    compare_facts,
    database_path,
    object_path,
    unread_tables,
    whole_database,
)
from engine.model.backup import Backup, Scope
from engine.model.contents import OTHER_COLUMNS, DumpContents, RowSample
from engine.model.manifest import DatabaseFacts
from engine.model.requests import Limits
from engine.model.results import Compared, Difference
from engine.sources import registry as sources
from engine.sources.base import Database, DatabaseSource, SamplingDatabase

SAMPLED_ROWS: Final = 1000
"""Of a table."""
_SAMPLED_ROWS_IN_ALL: Final = 200_000
"""Of a database: their hashes are held."""
_FEWEST_ROWS: Final = 20
_READ_WHOLE: Final = frozenset(("sqlite",))
"""Kinds that have no server which a dump would burden."""


async def run(context: JobContext, backup: Backup, tell: Tell, *, is_checksum: bool) -> Compared:
    """Tells what differs; the backup is what was before. With `is_checksum` everything is read, and not a sample of it.

    Raises: UsageError where such a source cannot be asked; SourceError, HostError, StorageError, DamagedError.
    """
    coverage = Coverage()
    context.emit(StepBegan("diff"))
    seed = SystemRandom().randrange(1 << 31)
    kind = (await context.catalog.sources.get(backup.source)).kind
    if kind == "files":
        await diff_live_files.compare(context, backup, tell, coverage, seed, is_checksum=is_checksum)
    elif sources.is_database(kind):
        async with open_backup(context, backup, "", Limits()) as opened:
            await _compare_databases(opened, tell, coverage, seed, is_checksum=is_checksum)
    else:
        raise UsageError(
            f"what a source of kind {kind} holds now cannot be asked for",
            hint="take another backup, and compare the two",
        )
    return coverage.result


async def _compare_databases(
    backup: DatabaseBackup, tell: Tell, coverage: Coverage, seed: int, *, is_checksum: bool
) -> None:
    context = backup.context
    if backup.manifest.scope not in HAS_DATABASES:
        coverage.leave_out("databases", f"this backup holds the {backup.manifest.scope} alone")
        return
    async with open_database_source(context, backup.source) as source, source.database() as live:
        await _compare_server(backup, source, live, tell, coverage)
        comparison = _Live(backup, source, live, tell, coverage, seed, is_checksum)
        for facts in backup.manifest.databases:
            await comparison.compare(facts)
        if backup.source.options.get("all"):
            known = {each.name for each in backup.manifest.databases}
            for name in await live.names():
                if name not in known:
                    tell(whole_database(await live.facts(name), "added"))
    if not backup.manifest.databases:
        coverage.leave_out("databases", "the manifest of this backup lists none")


async def _compare_server(
    backup: DatabaseBackup, source: DatabaseSource, live: Database, tell: Tell, coverage: Coverage
) -> None:
    identity = await live.identity()
    if identity != backup.manifest.identity:
        detail = f"{backup.manifest.identity} -> {identity}"
        tell(Difference("server/identity", "modified", what="schema", detail=detail))
    try:
        found = await source.check()
    except SourceError as error:
        coverage.leave_out("server version", error.message)
    else:
        version = found.get("server_version") or found.get("version", "")
        if version and version != backup.manifest.server_version:
            detail = f"{backup.manifest.server_version} -> {version}"
            tell(Difference("server/server_version", "modified", what="schema", detail=detail))
    if backup.manifest.roles:
        coverage.leave_out("roles", "they are compared between two backups")


@dataclass(slots=True)
class _Live:
    """The databases of one backup, and those of the server."""

    backup: DatabaseBackup
    source: DatabaseSource
    live: Database
    tell: Tell
    coverage: Coverage
    seed: int
    is_checksum: bool

    async def compare(self, old: DatabaseFacts) -> None:
        """One database. Raises: SourceError, HostError, DamagedError."""
        path = database_path(old.name)
        try:
            new = await self.live.facts(old.name)
        except UnknownNameError:
            self.tell(whole_database(old, "removed"))
            return
        only_tables = bool(self.backup.source.options.get("table"))
        if only_tables:
            names = {table.name for table in old.tables}
            new = replace(new, tables=[table for table in new.tables if table.name in names])
            self.coverage.leave_out(
                f"{path}: indexes, constraints and other objects", "the source takes chosen tables alone"
            )
        is_known = knows_content(self.backup.manifest)
        has_rows = is_known and self.backup.manifest.scope in HAS_ROWS
        has_values = is_known and self.backup.manifest.scope == Scope.ALL
        found = compare_facts(old, new, has_rows=has_rows, has_values=has_values, only_tables=only_tables)
        for each in found:
            self.tell(each)
        rows = " and their rows" if has_rows else ""
        others = "" if only_tables else ", and what else the manifest lists"
        self.coverage.compared.append(f"{path}: tables{rows}{others}")
        estimated = {table.name for facts in (old, new) for table in facts.tables if table.is_estimated}
        self.coverage.leave_out_tables(
            path, ((name, "their number is an estimate") for name in sorted(estimated))
        )
        if has_rows or self.is_checksum:
            await self._compare_content(old, new, found)
        else:
            self.coverage.leave_out(f"{path}: the text of definitions", "--checksum reads everything")

    async def _compare_content(
        self, old: DatabaseFacts, new: DatabaseFacts, told: Sequence[Difference]
    ) -> None:
        path = database_path(old.name)
        kind = self.backup.source.kind
        if self.backup.manifest.folder:
            self.coverage.leave_out(f"{path}: content", "the files of a whole server are no dump")
            return
        if not diff_dumps.can_read(kind):
            self.coverage.leave_out(f"{path}: content", f"of kind {kind} no more than this can be asked")
            return
        try:
            if self.is_checksum or kind in _READ_WHOLE:
                await self._compare_all(old, new, told)
            elif isinstance(self.live, SamplingDatabase):
                await self._compare_sample(self.live, old, new, told)
            else:
                self.coverage.leave_out(f"{path}: content", "--checksum takes a dump, and compares that")
        except SourceError as error:
            self.coverage.leave_out(f"{path}: content", error.message)

    async def _compare_all(self, old: DatabaseFacts, new: DatabaseFacts, told: Sequence[Difference]) -> None:
        meter = await self._meter(old, 2)
        held = await diff_dumps.read_backup(self.backup, old, {}, meter)
        now = await diff_dumps.read_live(
            self.backup.context, self.backup.source.kind, self.source, old.path, meter
        )
        scope = self.backup.manifest.scope
        has_definitions = scope in HAS_DEFINITIONS
        for each in compare_contents(old, new, (held, now), told, has_definitions=has_definitions):
            self.tell(each)
        path = database_path(old.name)
        tables = held.tables.keys() & now.tables.keys()
        self.coverage.cover_dumps(path, len(tables), {scope})
        self.coverage.leave_out_tables(path, unread_tables(held, now).items())

    async def _compare_sample(
        self, live: SamplingDatabase, old: DatabaseFacts, new: DatabaseFacts, told: Sequence[Difference]
    ) -> None:
        changed = {each.path for each in told if each.what == "content" or each.change != "modified"}
        there = {table.name for table in new.tables}
        wanted = [
            table.name
            for table in old.tables
            if table.name in there and object_path(old.name, f"tables/{table.name}") not in changed
        ]
        most = max(_FEWEST_ROWS, min(SAMPLED_ROWS, _SAMPLED_ROWS_IN_ALL // max(1, len(wanted))))
        sampled = await live.sample(old.name, dict.fromkeys(wanted, most), self.seed)
        meter = await self._meter(old, 1)
        held = await diff_dumps.read_backup(self.backup, old, sampled.samples, meter)
        path = database_path(old.name)
        unread = {**sampled.unread, **held.unread}
        for name in held.tables.keys() - sampled.samples.keys() - unread.keys():
            if object_path(old.name, f"tables/{name}") not in changed:
                unread[name] = "a sample does not reach them"
        for each in (*_reshaped(old, unread), *_missing(old, new, sampled.samples, held)):
            self.tell(each)
        compared = [each for name, each in sampled.samples.items() if name not in unread]
        rows = sum(len(each.rows) for each in compared)
        whole = sum(each.whole is not None for each in compared)
        self.coverage.compared.append(
            f"{path}: {counted(rows, 'row')} of {counted(len(compared), 'table')} by their hashes, chosen at random (seed {self.seed}); "
            f"all rows of {counted(whole, 'table')}"
        )
        unread |= {
            name: "no row was chosen"
            for name, each in sampled.samples.items()
            if not each.rows and each.whole is None
        }
        self.coverage.leave_out_tables(path, unread.items())
        others = "" if whole == len(compared) else "all other rows, and "
        self.coverage.leave_out(f"{path}: {others}the text of definitions", "--checksum reads everything")

    async def _meter(self, facts: DatabaseFacts, times: int) -> Meter:
        meter = Meter(self.backup.context, times * await diff_dumps.size_of(self.backup, facts))
        meter.current = facts.name
        return meter


def _reshaped(facts: DatabaseFacts, unread: Mapping[str, str]) -> list[Difference]:
    """Tables whose columns are not those of the backup."""
    return [
        Difference(object_path(facts.name, f"tables/{name}"), "modified", what="schema", detail=why)
        for name, why in sorted(unread.items())
        if why == OTHER_COLUMNS
    ]


def _missing(
    old: DatabaseFacts, new: DatabaseFacts, samples: Mapping[str, RowSample], held: DumpContents
) -> list[Difference]:
    """Tables of which live rows are not in the backup."""
    before = {table.name: table for table in old.tables}
    after = {table.name: table for table in new.tables}
    found = []
    for name, sample in samples.items():
        content = held.tables.get(name)
        if name in held.unread or content is None:
            continue
        is_other = sample.whole is not None and sample.whole != replace(content, missing=0)
        if not content.missing and not is_other:
            continue
        said = f"{content.missing} of {len(sample.rows)} rows that were looked at are not in the backup"
        found.append(
            Difference(
                object_path(old.name, f"tables/{name}"),
                "modified",
                before[name].size_bytes,
                after[name].size_bytes,
                "content",
                content.rows,
                after[name].rows,
                said if content.missing else "rows are there another number of times",
            )
        )
    return found
