"""diff: two backups, path by path; and where they are of a database, table by table."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from engine.errors import IncompleteDumpError, PathMissingError
from engine.events import StepBegan
from engine.format.layout import encode_name
from engine.format.snapshot import Snapshot
from engine.jobs import diff_dumps
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, read_manifest
from engine.jobs.diff_dumps import Meter
from engine.jobs.diff_facts import (
    compare_contents,
    compare_facts,
    database_path,
    unread_tables,
    whole_database,
)
from engine.jobs.snapshot_tags import SOURCE_KIND_TAG, tag_value
from engine.model.backup import Backup, Scope
from engine.model.contents import DumpContents
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.model.results import Compared, Difference
from engine.repository import diff as repository_diff
from engine.repository.diff import Change
from engine.repository.repository import Repository

Tell = Callable[[Difference], None]
"""Takes each difference as it is found; must not raise."""

WITHOUT_MANIFEST = frozenset(("files", "command", "stdin"))
"""Kinds whose backups say nothing of themselves."""
HAS_ROWS = frozenset((Scope.ALL, Scope.CONTENT))
"""Scopes of a manifest that counted rows."""
HAS_DEFINITIONS = frozenset((Scope.ALL, Scope.SCHEMA))
"""Scopes whose dumps have them."""
HAS_DATABASES = HAS_ROWS | HAS_DEFINITIONS
_HAS_ROLES = frozenset((Scope.ALL, Scope.ROLES))
_NAMED = 20
"""So many tables are named in a sentence."""


@dataclass(slots=True)
class Coverage:
    """How far a comparison went, as it becomes known."""

    compared: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def leave_out(self, what: str, why: str) -> None:
        """Names what was not looked at."""
        self.not_compared.append(f"{what}: {why}")

    def leave_out_tables(self, path: str, tables: Iterable[tuple[str, str]]) -> None:
        """Names tables of a database by why their rows were not looked at."""
        reasons: dict[str, list[str]] = {}
        for name, why in tables:
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.leave_out(f"{path}: rows of {', '.join(sorted(names)[:_NAMED])}{more}", why)

    def cover_dumps(self, path: str, tables: int, scopes: AbstractSet[str]) -> None:
        """Says that two dumps of a database were compared, as far as both scopes go."""
        parts = ["definitions"] if scopes <= HAS_DEFINITIONS else []
        parts += [f"all rows of {counted(tables, 'table')}"] if scopes <= HAS_ROWS else []
        if parts:
            self.compared.append(f"{path}: {', and '.join(parts)}")
        if len(parts) < 2:
            self.leave_out(path, "a backup holds a part of it alone")

    @property
    def result(self) -> Compared:
        """As a value."""
        return Compared(tuple(self.compared), tuple(self.not_compared))


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two backups."""

    backup: Backup
    snapshot: Snapshot

    @property
    def source_kind(self) -> str:
        """Of the source that it was taken of."""
        return tag_value(self.snapshot, SOURCE_KIND_TAG)


async def run(context: JobContext, repository: Repository, sides: tuple[Side, Side], tell: Tell) -> Compared:
    """Compares two backups that one open repository holds; the older one first. Raises: DamagedError, StorageError."""
    before, after = sides
    async for change in repository_diff.diff(repository, before.snapshot, after.snapshot):
        tell(_file_difference(change))
    coverage = Coverage()
    kind = before.source_kind
    if kind == after.source_kind and kind and kind not in WITHOUT_MANIFEST:
        try:
            opened = [await _database_backup(context, repository, side) for side in sides]
        except PathMissingError:
            coverage.leave_out("databases", "one of the backups has no manifest")
        else:
            await _Databases(opened[0], opened[1], tell, coverage).compare()
    return coverage.result


def shown_path(path: bytes) -> tuple[str, str]:
    """A path of a snapshot for people, and in Base64 where it is no UTF-8."""
    try:
        return "/" + path.decode(), ""
    except UnicodeDecodeError:
        return "/" + path.decode(errors="backslashreplace"), base64.b64encode(path).decode()


def counted(number: int, noun: str) -> str:
    """`1 table`, `2 tables`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def knows_content(manifest: Manifest) -> bool:
    """Whether it counted rows, and looked what sequences are at, where its scope has them."""
    return not manifest.folder


def compare_roles(old: Sequence[str], new: Sequence[str], tell: Tell) -> None:
    """Who is there on one side alone."""
    for name in sorted(set(old) ^ set(new)):
        tell(Difference(f"roles/{encode_name(name)}", "removed" if name in old else "added", what="schema"))


def _file_difference(change: Change) -> Difference:
    path, raw_path = shown_path(change.path)
    return Difference(path, change.kind, change.size_bytes_before, change.size_bytes_after, raw_path=raw_path)


async def _database_backup(context: JobContext, repository: Repository, side: Side) -> DatabaseBackup:
    source = Source(side.backup.source, side.source_kind, side.backup.host)
    manifest = await read_manifest(source, repository, side.snapshot)
    return DatabaseBackup(context, side.backup, source, repository, side.snapshot, manifest)


class _Databases:
    """The databases of two backups."""

    def __init__(self, before: DatabaseBackup, after: DatabaseBackup, tell: Tell, coverage: Coverage) -> None:
        self._before = before
        self._after = after
        self._tell = tell
        self._coverage = coverage
        self._meter = Meter(before.context)
        self._last: tuple[tuple[str, str], tuple[DumpContents, DumpContents]] | None = None
        self._scopes = {Scope(each.manifest.scope) for each in (before, after)}

    async def compare(self) -> None:
        """Facts first, and then whatever dumps must be read for the rest."""
        self._before.context.emit(StepBegan("diff"))
        await self._compare_server()
        if not self._scopes <= HAS_DATABASES:
            self._coverage.leave_out("databases", "one of the backups holds none")
            return
        old = {each.name: each for each in self._before.manifest.databases}
        new = {each.name: each for each in self._after.manifest.databases}
        if not old and not new:
            self._coverage.leave_out("databases", "the manifests list none; the files were compared")
        pairs = []
        for name in sorted(old.keys() | new.keys()):
            if name not in new:
                self._tell(whole_database(old[name], "removed"))
            elif name not in old:
                self._tell(whole_database(new[name], "added"))
            else:
                pairs.append((old[name], new[name]))
        dumps = {(pair[0].path, pair[1].path): pair for pair in pairs}
        self._meter.total_bytes = sum([await self._bytes_to_read(*pair) for pair in dumps.values()])
        for pair in pairs:
            await self._compare_database(*pair)

    async def _compare_server(self) -> None:
        old, new = self._before.manifest, self._after.manifest
        for name in ("server_version", "identity"):
            first, second = getattr(old, name), getattr(new, name)
            if first != second:
                self._tell(
                    Difference(f"server/{name}", "modified", what="schema", detail=f"{first} -> {second}")
                )
        if not self._scopes <= _HAS_ROLES:
            self._coverage.leave_out("roles", "one of the backups holds none")
            return
        compare_roles(old.roles, new.roles, self._tell)
        lines = [await diff_dumps.globals_lines(each) for each in (self._before, self._after)]
        if old.roles == new.roles and lines[0] != lines[1]:
            self._tell(
                Difference("roles", "modified", what="schema", detail="rights, settings or passwords differ")
            )

    async def _bytes_to_read(self, old: DatabaseFacts, new: DatabaseFacts) -> int:
        if not self._can_read(old, new) or await self._is_same(old, new):
            return 0
        return await diff_dumps.size_of(self._before, old) + await diff_dumps.size_of(self._after, new)

    def _can_read(self, old: DatabaseFacts, new: DatabaseFacts) -> bool:
        """Whether there are dumps of both, of a kind that is read; a physical copy has none."""
        return diff_dumps.can_read(self._before.source.kind) and bool(old.path and new.path)

    async def _is_same(self, old: DatabaseFacts, new: DatabaseFacts) -> bool:
        if not old.path or not new.path:
            return False
        return await diff_dumps.has_same_dump(self._before, self._after, old, new)

    async def _read(self, old: DatabaseFacts, new: DatabaseFacts) -> tuple[DumpContents, DumpContents]:
        """Of two dumps that hold several databases what was read is kept for the next one."""
        if self._last is None or self._last[0] != (old.path, new.path):
            found = (
                await diff_dumps.read_backup(self._before, old, {}, self._meter),
                await diff_dumps.read_backup(self._after, new, {}, self._meter),
            )
            self._last = (old.path, new.path), found
        return self._last[1]

    async def _compare_database(self, old: DatabaseFacts, new: DatabaseFacts) -> None:
        path = database_path(old.name)
        has_rows, has_definitions = self._scopes <= HAS_ROWS, self._scopes <= HAS_DEFINITIONS
        is_known = all(knows_content(each.manifest) for each in (self._before, self._after))
        found = compare_facts(
            old, new, has_rows=has_rows and is_known, has_values=has_definitions and is_known
        )
        for each in found:
            self._tell(each)
        if await self._is_same(old, new):
            self._coverage.compared.append(f"{path}: the dumps are the same, byte by byte")
            return
        if not self._can_read(old, new):
            self._coverage.compared.append(f"{path}: what the manifests list")
            self._coverage.leave_out(f"{path}: content", "dumps of this kind are not told apart")
            return
        self._meter.current = old.name
        try:
            whole = await self._read(old, new)
            contents = (whole[0].of(old.name), whole[1].of(new.name))
        except IncompleteDumpError as error:
            self._coverage.leave_out(f"{path}: content", error.message)
            return
        for each in compare_contents(old, new, contents, found, has_definitions=has_definitions):
            self._tell(each)
        tables = contents[0].tables.keys() & contents[1].tables.keys()
        self._coverage.cover_dumps(path, len(tables), self._scopes)
        self._coverage.leave_out_tables(path, unread_tables(*contents).items())
