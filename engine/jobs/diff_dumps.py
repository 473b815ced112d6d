"""Dumps read for a comparison: out of a repository, or from the live server without being kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from engine.errors import SourceError
from engine.events import Progress
from engine.format.tree import Node
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup
from engine.model.contents import DumpContents, RowSample
from engine.model.manifest import DatabaseFacts
from engine.repository.reader import Trees, find_node
from engine.sources import registry as sources
from engine.sources.base import DatabaseSource, DumpReader

_FED_BYTES: Final = 256 << 10
"""At once, for each row of it becomes an object for a moment."""
_GLOBALS: Final = "globals.sql"
_CHANGING: Final = (b"\\restrict ", b"\\unrestrict ", b"--")
"""Beginnings of lines that differ at each dump, or say nothing."""


@dataclass(slots=True)
class Meter:
    """How much of what is to be read was read."""

    context: JobContext
    total_bytes: int | None = None
    done_bytes: int = 0
    current: str = field(default="", init=False)

    def add(self, size_bytes: int) -> None:
        """So much more."""
        self.done_bytes += size_bytes
        self.context.emit(Progress("diff", self.done_bytes, self.total_bytes, current=self.current))


def can_read(kind: str) -> bool:
    """Whether dumps of that kind can be told apart without being loaded."""
    return kind in sources.DUMP_READERS


async def read_backup(
    backup: DatabaseBackup, facts: DatabaseFacts, samples: Mapping[str, RowSample], meter: Meter
) -> DumpContents:
    """What a dump in a repository holds; rows of the samples are looked for. Raises: DamagedError, IncompleteDumpError."""
    found = []
    for path in (facts.path, *facts.parts):
        with _reader(backup.context, backup.source.kind, samples) as reader:
            await backup.read(path, _into(reader, meter))
            found.append(await asyncio.to_thread(reader.finish))
    return joined(found)


def joined(parts: Sequence[DumpContents]) -> DumpContents:
    """What the parts of one dump hold together; the first one has the definitions."""
    first, *others = parts
    if not others:
        return first
    tables, unread = dict(first.tables), dict(first.unread)
    for each in others:
        tables |= each.tables
        unread |= each.unread
    return replace(first, tables=tables, unread=unread)


async def read_live(
    context: JobContext, kind: str, source: DatabaseSource, path: str, meter: Meter
) -> DumpContents:
    """What a dump of the live database would hold: it is taken, and thrown away as it comes.

    Raises: SourceError, HostError, IncompleteDumpError.
    """
    item = next((each for each in await source.items() if each.path == path), None)
    if item is None:
        raise SourceError(f"the source does not take {path} any more")
    with _reader(context, kind, {}) as reader:
        take = _into(reader, meter)
        async with item.open() as stream:
            while data := await stream.read():
                await take(data)
            await stream.judge()
        return await asyncio.to_thread(reader.finish)


async def has_same_dump(
    before: DatabaseBackup, after: DatabaseBackup, old: DatabaseFacts, new: DatabaseFacts
) -> bool:
    """Whether both backups hold the very same blobs there."""
    first, second = [
        [node.content for node in await _nodes(backup, facts)]
        for backup, facts in ((before, old), (after, new))
    ]
    return first == second


async def size_of(backup: DatabaseBackup, facts: DatabaseFacts) -> int:
    """Of a dump, with its parts. Raises: PathMissingError."""
    return sum(node.size for node in await _nodes(backup, facts))


async def _nodes(backup: DatabaseBackup, facts: DatabaseFacts) -> list[Node]:
    trees = Trees(backup.repository)
    paths = [backup.place(path) for path in (facts.path, *facts.parts)]
    return [await find_node(trees, backup.snapshot, path) for path in paths]


async def globals_lines(backup: DatabaseBackup) -> frozenset[bytes] | None:
    """The statements of what belongs to no database; None where the backup has none. They may hold secrets: to be compared, not shown."""
    held = bytearray()

    async def write(data: bytes) -> None:
        held.extend(data)

    if not await _has(backup, _GLOBALS):
        return None
    await backup.read(_GLOBALS, write)
    return frozenset(line for line in bytes(held).splitlines() if line and not line.startswith(_CHANGING))


async def _has(backup: DatabaseBackup, path: str) -> bool:
    folder = await find_node(Trees(backup.repository), backup.snapshot, backup.place("").rstrip(b"/"))
    assert folder.subtree is not None
    return any(node.name == path.encode() for node in await Trees(backup.repository).nodes(folder.subtree))


@contextmanager
def _reader(context: JobContext, kind: str, samples: Mapping[str, RowSample]) -> Iterator[DumpReader]:
    context.home.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader = sources.dump_reader(kind, samples, context.home.cache)
    assert reader is not None
    try:
        yield reader
    finally:
        reader.close()


def _into(reader: DumpReader, meter: Meter) -> Callable[[bytes], Awaitable[None]]:
    def feed(data: bytes) -> None:
        for begin in range(0, len(data), _FED_BYTES):
            reader.feed(data[begin : begin + _FED_BYTES])

    async def write(data: bytes) -> None:
        # Not in the loop's thread: a piece of a few MiB takes some tens of milliseconds.
        await asyncio.to_thread(feed, data)
        meter.add(len(data))

    return write
