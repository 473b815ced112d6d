"""logs find: which transaction dropped a table, emptied it, or deleted many of its rows, from the kept log alone.

The log knows tables by the numbers of their files. Their names are asked of a throwaway server that is brought to just before the oldest of
what was found: it has every table that was there already. For such as were made later it is brought to just before the newest, a few times.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError
from engine.events import Progress, StepBegan
from engine.jobs import log_search, replay
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_backup
from engine.jobs.log_search import KeptLog, Place
from engine.model.instants import ALL_TABLES, ChangeQuery, FoundChanges, LogChange, LogMark, Target
from engine.model.logs import LogSegment, Reach
from engine.model.requests import Limits
from engine.sources import registry as sources
from engine.sources.logs import LogReading, NamedFiles, NamingDatabase, WantedChanges

_MOST_FOUND: Final = 10_000
_MOST_KEPT: Final = 5_000
"""Of those that changed most rows."""
_MOST_REPLAYS: Final = 4


@dataclass(frozen=True, slots=True)
class _Found:
    change: LogChange
    place: Place

    @property
    def is_named(self) -> bool:
        return bool(self.change.tables)


async def run(context: JobContext, query: ChangeQuery) -> FoundChanges:
    """Raises: UnknownNameError where there is no log; UsageError where it does not tell such a thing; StorageError, DamagedError, HostError."""
    definition = await context.catalog.sources.get(query.source)
    sources.require_log(definition)
    reading = sources.log_reading(definition.kind)
    if reading is None:
        raise UsageError(
            f"the log of {query.source}, of kind {definition.kind}, cannot be searched",
            hint=f"`holdfast logs show {query.source}` tells to which instants it can be brought back",
        )
    if query.statement and not reading.has_statements:
        raise UsageError(
            f"the log of {query.source}, of kind {definition.kind}, holds no statements, but what they did",
            hint=f"holdfast logs find {query.source} --dropped TABLE, or --between WHEN WHEN",
        )
    reached = await replay.reached(context, query.source, query.storage)
    best = max(reached, key=lambda each: (each.ends_at, each.storage))
    of_one = [
        each
        for each in reached
        if (each.storage, each.base.position.identity) == (best.storage, best.base.position.identity)
    ]
    left = await replay.branches(context, query.source, of_one)
    found: list[_Found] = []
    read: list[LogSegment] = []
    for line in log_search.lines(of_one, left):
        async with log_search.opened(context, query.source, line) as log:
            more, looked_at = await _walk(context, log, query, reading, line.left)
        # The segment of a fork is there twice: what it holds from before is no more than once.
        known = {(each.change.transaction, each.change.position) for each in found}
        found += [each for each in more if (each.change.transaction, each.change.position) not in known]
        read += looked_at
    found.sort(key=lambda each: each.change.at)
    found = await _named(context, query, [*of_one, *left], found)
    wanted = [each.change for each in found if _concerns(each.change, query.table)]
    if query.is_largest_first:
        wanted.sort(key=lambda each: each.rows, reverse=True)
    times = [at for each in read for at in (each.begins_at, each.ends_at) if at is not None]
    return FoundChanges(
        query.source,
        best.storage,
        tuple(wanted),
        len(read),
        min(times, default=None),
        max(times, default=None),
        sum(not each.is_named for each in found),
    )


async def _walk(
    context: JobContext, log: KeptLog, query: ChangeQuery, reading: LogReading, left: str
) -> tuple[list[_Found], list[LogSegment]]:
    """All that was done in that time, and what was read. A segment is looked into once the next one is there, which may hold the end of its last
    record."""
    context.emit(StepBegan(f"search the log of {query.source}"))
    total = sum(run.size_bytes for run in log.runs)
    changes = reading.changes(WantedChanges(query.least_rows, query.statement))
    found: list[_Found] = []
    read: list[LogSegment] = []
    held: tuple[LogSegment, bytearray] | None = None
    done = 0

    async def look(after: bytes) -> None:
        if held is None:
            return
        segment, content = held
        for change in await asyncio.to_thread(changes.feed, segment.name, content, after):
            if _is_within(change, query) and (not change.tables or _concerns(change, query.table)):
                mark = LogMark(change.position, change.at, change.transaction, left=left)
                place = Place(mark, segment.series, segment.number)
                found.append(_Found(dataclasses.replace(change, left=left), place))
        if len(found) > _MOST_FOUND and query.is_largest_first:
            found[:] = sorted(found, key=lambda each: each.change.rows)[-_MOST_KEPT:]
        if len(found) > _MOST_FOUND:
            raise UsageError(
                f"the log of {query.source} holds more than {_MOST_FOUND} such changes",
                hint="choose a shorter time with --between",
            )

    async for node, segment in log.segments():
        is_late = (
            query.until is not None and segment.begins_at is not None and segment.begins_at > query.until
        )
        # The first segment of a series may begin with what the one before it wrote.
        if is_late and held is not None and held[0].series == segment.series:
            break
        done += segment.size_bytes
        if query.since is not None and held is None and (segment.ends_at or query.since) <= query.since:
            continue
        content = await log.read(node)
        is_next = held is not None and held[0].number + 1 == segment.number
        await look(reading.continuation(content) if is_next else b"")
        held = (segment, content)
        read.append(segment)
        context.emit(Progress("search", done, max(total, done), current=segment.name))
    await look(b"")
    return found, read


def _is_within(change: LogChange, query: ChangeQuery) -> bool:
    return (query.since is None or change.at >= query.since) and (
        query.until is None or change.at <= query.until
    )


def _concerns(change: LogChange, table: str) -> bool:
    """Whether it is about the table of that name, with its schema or database or without."""
    owner = change.database
    return not table or any(
        table in (name, name.partition(".")[2], f"{owner}.{name}")
        or (name == ALL_TABLES and table.partition(".")[0 if "." in table else 2] in (owner, ""))
        for name in change.tables
    )


async def _named(
    context: JobContext, query: ChangeQuery, reached: Sequence[Reach], found: list[_Found]
) -> list[_Found]:
    """The same with the names of their tables, as far as throwaway servers tell them. What no base leads to stays without one."""
    if not found:
        return found
    asked: set[tuple[str, str]] = set()
    for turn in range(_MOST_REPLAYS):
        open_ones = [
            each
            for each in found
            if not each.is_named and (each.place.mark.position, each.change.database) not in asked
        ]
        reachable = [each for each in open_ones if log_search.base_before(reached, each.place) is not None]
        is_enough = query.table and any(_concerns(each.change, query.table) for each in found)
        if not reachable or is_enough:
            break
        chosen = reachable[0] if turn == 0 else reachable[-1]
        asked.add((chosen.place.mark.position, chosen.change.database))
        found = await _named_by(context, query.source, reached, found, chosen)
    return found


async def _named_by(
    context: JobContext, source: str, reached: Sequence[Reach], found: list[_Found], chosen: _Found
) -> list[_Found]:
    """By a server that is brought to just before that change."""
    leading = log_search.base_before(reached, chosen.place)
    assert leading is not None
    target = Target(transaction=chosen.change.named, is_before=True)
    planned = replay.plan_to(source, target, chosen.place, leading)
    backup = await context.catalog.backups.get(leading.base.backup_id)
    names: dict[str, NamedFiles] = {}
    async with (
        open_backup(context, backup, leading.storage, Limits()) as base,
        replay.server(context, base, planned) as server,
    ):
        database = server.database
        if not isinstance(database, NamingDatabase):
            return found
        for number in dict.fromkeys(each.change.database for each in found if not each.is_named):
            files = {
                file
                for each in found
                if each.change.database == number and not each.is_named
                for file in each.change.relations
            }
            names[number] = await database.named_files(number, sorted(files))
    return [_with_names(each, names) for each in found if not _is_of_no_table(each.change, names)]


def _is_of_no_table(change: LogChange, names: Mapping[str, NamedFiles]) -> bool:
    """An index that was dropped or made anew, say: nobody misses rows."""
    said = names.get(change.database)
    return said is not None and not change.tables and said.others >= set(change.relations)


def _with_names(found: _Found, names: Mapping[str, NamedFiles]) -> _Found:
    change = found.change
    said = names.get(change.database)
    tables = (
        tuple(said.tables[file] for file in change.relations if file in said.tables)
        if said is not None
        else ()
    )
    if said is None or found.is_named or not tables:
        return found
    return _Found(dataclasses.replace(change, database=said.database, tables=tables), found.place)
