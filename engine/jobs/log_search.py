"""A source's kept log, read for what it says: where a transaction ended or a point was named, so that a replay has a base that leads there.

Segments are read from the repository one at a time, the newest first, and nothing is asked of the host.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.errors import DamagedError, HoldfastError, RepositoryError, RestoreError, StorageError
from engine.events import Progress, StepBegan
from engine.format.tree import Node
from engine.jobs import log_store
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_copy
from engine.model import log_branches, names
from engine.model.definitions import Source
from engine.model.instants import LogMark, Target
from engine.model.logs import LogRun, LogSegment, Reach
from engine.model.requests import Limits
from engine.repository import dump
from engine.repository.repository import Repository
from engine.sources.logs import LogReading


@dataclass(frozen=True, slots=True)
class KeptLog:
    """What one storage holds of a source's log, as far as its bases lead along it; open for reading."""

    source: Source
    repository: Repository
    tree: log_store.LogTree
    identity: str
    runs: Sequence[LogRun]

    async def segments(self, *, is_newest_first: bool = False) -> AsyncIterator[tuple[Node, LogSegment]]:
        """Each once. Raises: DamagedError, also behind the last one, where not all of them were there; StorageError."""
        there: set[tuple[str, int]] = set()
        found = log_store.segments(self.repository, self.tree, self.identity, is_newest_first=is_newest_first)
        async for node, segment in found:
            if segment is not None and any(
                run.series == segment.series
                and run.first <= segment.number <= run.last
                and run.is_tail == segment.is_tail
                for run in self.runs
            ):
                there.add((segment.series, segment.number))
                yield node, segment
        for run in self.runs:
            for number in range(run.first, run.last + 1):
                if (run.series, number) not in there:
                    raise DamagedError(
                        f"segment {number} of {run.series} of the log of {self.source.name} is not in its storage any more",
                        hint=f"holdfast logs ship {self.source.name} finds out what is left there",
                    )

    async def read(self, node: Node) -> bytearray:
        """A segment's content. Raises: DamagedError, StorageError."""
        content = bytearray()

        async def write(data: bytes) -> None:
            content.extend(data)

        await dump.dump_node(self.repository, node, write)
        return content


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mark lies."""

    mark: LogMark
    series: str
    number: int


@dataclass(frozen=True, slots=True)
class Line:
    """Ways along a log, of one storage and one server, and what of them is looked through."""

    found: Sequence[Reach]
    left: str = ""
    """The series that they end in, where that was left for another: what lies before the fork is no part of it."""
    runs: Sequence[LogRun] = ()


def lines(found: Sequence[Reach], left: Sequence[Reach]) -> list[Line]:
    """The way that the server is on, of each storage and server, then those that it left."""

    def place(reach: Reach) -> tuple[str, str]:
        return reach.storage, reach.base.position.identity

    ordered = sorted(found, key=lambda each: (*place(each), each.begins_at))
    main = [Line(list(group)) for _, group in itertools.groupby(ordered, key=place)]
    main = [Line(each.found, runs=_runs(each.found)) for each in main]
    passed = {(*place(each), each.base.backup_id): each.path for each in found}
    ordered = sorted(left, key=lambda each: (*place(each), each.path[-1].series, each.begins_at))
    others = []
    for (*_, series), group in itertools.groupby(
        ordered, key=lambda each: (*place(each), each.path[-1].series)
    ):
        ways = list(group)
        parts = [
            run
            for each in ways
            for run in log_branches.beyond(each.path, passed[*place(each), each.base.backup_id])
        ]
        others.append(Line(ways, series, tuple(dict.fromkeys(parts))))
    return [*main, *others]


def _runs(found: Sequence[Reach]) -> tuple[LogRun, ...]:
    return tuple(dict.fromkeys(run for reach in found for run in reach.path))


@asynccontextmanager
async def opened(context: JobContext, source: str, line: Line) -> AsyncIterator[KeptLog]:
    """The log along it. Raises: StorageError, RepositoryError."""
    found = line.found
    async with AsyncExitStack() as stack:
        backup = await context.catalog.backups.get(found[-1].base.backup_id)
        storage = found[-1].storage
        copy = await open_copy(context, backup, storage, Limits(), stack)
        definition = await context.catalog.sources.get(source)
        _, tree = await log_store.open_head(copy.repository, definition, found[-1].snapshot_id)
        yield KeptLog(definition, copy.repository, tree, found[-1].base.position.identity, line.runs)


async def find(
    context: JobContext,
    source: str,
    target: Target,
    found: tuple[Sequence[Reach], Sequence[Reach]],
    reading: LogReading,
) -> tuple[Place, Reach]:
    """Where the target lies, and the newest base that leads there. `found`: what bases lead to, and what they lead to on series that were left.

    Raises: RestoreError where none does, with what is nearest; UsageError.
    """
    nearest: list[str] = []
    failed: HoldfastError | None = None
    for line in _wanted(source, target, lines(*found)):
        try:
            async with opened(context, source, line) as log:
                place = await _search(context, log, target, reading, line.left)
                if place is None:
                    nearest += [await _nearest(log, target, reading)] if not line.left else []
                    continue
        except (StorageError, RepositoryError) as error:
            failed = error
            continue
        leading = base_before(line.found, place)
        if leading is not None:
            return place, leading
        first = min(each.begins_at for each in line.found)
        why = f"no base from before it is kept: it was at {_text(place.mark)}"
        failed = RestoreError(
            f"{source} cannot be brought back to {target.words}: {why}",
            hint=f"the nearest instant that can be reached is {first.astimezone().isoformat(sep=' ', timespec='milliseconds')}",
        )
    if failed is not None:
        raise failed
    what = (
        f"no transaction {target.transaction} ended" if target.transaction else "no point of that name lies"
    )
    raise RestoreError(
        f"{source} cannot be brought back to {target.words}: {what} in its log",
        hint=next((each for each in nearest if each), None),
    )


def _wanted(source: str, target: Target, found: Sequence[Line]) -> Sequence[Line]:
    """Those that may hold it. Raises: RestoreError where none is of the series that it names."""
    if not target.series:
        return found
    ways = {run.series for line in found for run in line.runs}
    if not any(log_branches.is_named(each, target.series) for each in ways):
        raise RestoreError(
            f"{source} cannot be brought back to {target.words}: its log has no such series",
            hint=f"it has {', '.join(sorted(ways))}",
        )
    runs = [
        tuple(run for run in line.runs if log_branches.is_named(run.series, target.series)) for line in found
    ]
    return [Line(line.found, line.left, kept) for line, kept in zip(found, runs, strict=True) if kept]


def base_before(found: Sequence[Reach], place: Place) -> Reach | None:
    """The newest base that leads there; None where none does."""
    fitting = [
        each
        for each in found
        if each.begins_at <= place.mark.at
        and any(run.series == place.series and run.first <= place.number <= run.last for run in each.path)
    ]
    return max(fitting, key=lambda each: each.begins_at, default=None)


def cut(reach: Reach, place: Place) -> tuple[LogRun, ...]:
    """What is replayed to get there: up to the segment it lies in, and the next one, since the record may end there."""
    path: list[LogRun] = []
    for run in reach.path:
        is_there = run.series == place.series and run.first <= place.number + 1
        if is_there and place.number + 1 <= run.last:
            return (*path, LogRun(run.identity, run.series, run.first, place.number + 1, run.begins_at, run.ends_at, _share(run, place), run.is_tail))  # fmt: skip
        path.append(run)
        if run.series == place.series and run.first > place.number:
            break
    return tuple(path)


def _share(run: LogRun, place: Place) -> int:
    return run.size_bytes * (place.number + 2 - run.first) // (run.last - run.first + 1)


async def _search(
    context: JobContext, log: KeptLog, target: Target, reading: LogReading, left: str
) -> Place | None:
    context.emit(StepBegan(f"look for {target.words} in the log"))
    total = sum(run.size_bytes for run in log.runs)
    done, after = 0, b""
    async for node, segment in log.segments(is_newest_first=True):
        content = await log.read(node)
        mark = await asyncio.to_thread(reading.mark, content, after, target.number, target.point)
        if mark is not None:
            return Place(dataclasses.replace(mark, left=left), segment.series, segment.number)
        after = reading.continuation(content)
        done += len(content)
        context.emit(Progress("search", done, max(total, done), current=segment.name))
    return None


async def _nearest(log: KeptLog, target: Target, reading: LogReading) -> str:
    """What there is in place of a target that is not in the log."""
    if target.point:
        points = []
        async for node, _ in log.segments():
            content = await log.read(node)
            points += [each.point for each in await asyncio.to_thread(reading.points, content, b"")]
        near = names.nearest(target.point, points)
        if near:
            return f"did you mean {near}?"
        return f"its points are {', '.join(points[-10:])}" if points else "no point was named in it"
    first = await _outermost(log, reading, is_newest_first=False)
    last = await _outermost(log, reading, is_newest_first=True)
    if first is None or last is None:
        return ""
    return (
        f"the log's first is {first.transaction} of {_text(first)}, its last {last.transaction} of {_text(last)}; "
        "what changed nothing, or was part of another transaction, is not in it"
    )


async def _outermost(log: KeptLog, reading: LogReading, *, is_newest_first: bool) -> LogMark | None:
    async for node, segment in log.segments(is_newest_first=is_newest_first):
        if segment.begins_at is not None:
            content = await log.read(node)
            first, last = await asyncio.to_thread(reading.endings, content, b"")
            return last if is_newest_first else first
    return None


def _text(mark: LogMark) -> str:
    return mark.at.astimezone().isoformat(sep=" ", timespec="milliseconds")
