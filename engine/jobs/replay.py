"""From a base and the log behind it to a server at an instant: what is chosen, what is refused, and how it gets there.

Logs come while the server replays those before them. Where the instant cannot be reached nothing begins, and the nearest that can is named.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from engine.errors import RestoreError, UnknownNameError, UsageError
from engine.events import Noted, Progress, StepBegan
from engine.format.tree import Node, go_mode
from engine.jobs import log_search, log_store
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_database_source
from engine.jobs.log_search import Place
from engine.model import instants, log_branches, log_keeping, logs
from engine.model.drills import estimate
from engine.model.instants import InstantPlan, LogMark, Target
from engine.model.logs import LogHoldings, LogRun, Reach
from engine.model.requests import DrillRequest, RestoreRequest
from engine.repository import dump
from engine.repository.reader import Visited
from engine.repository.repository import Repository
from engine.sources import registry as sources
from engine.sources.logs import LogPassing, Replay, Replayed, Replaying, ReplayingSource

BEGIN, END = b".begin", b".end"
"""Empty members that tell the host where it is: behind what belongs to series, and behind the last segment."""
_MODE = go_mode("f", 0o600)
_DRILLS = 20
"""That an estimate looks at."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed onto what."""

    source: str
    target: Target
    reach: Reach
    segments: int
    """That are fetched at most."""
    size_bytes: int
    until: datetime.datetime | None
    """The target of the replay; None where all of the log is replayed, since nothing was committed after."""
    mark: LogMark | None = None
    """Of a transaction or a point: where it lies."""
    is_before: bool = False
    """Whether it ends just before the target of the replay."""
    note: str = ""
    """What is taken where that is not to the instant."""


Gone = Mapping[str, AbstractSet[str]]
"""By backup: the storages in which it cannot be read."""


async def reached(
    context: JobContext, source: str, storage: str = "", gone: Gone = MappingProxyType({})
) -> list[Reach]:
    """What each base leads to, but for those that are gone; at least one. Raises: UnknownNameError where there is none, or no such storage; UsageError where its kind has no log."""
    catalog = context.catalog
    if storage:
        await catalog.storages.get(storage)
    bases = await catalog.logs.bases(source)
    if not bases:
        sources.require_log(await catalog.sources.get(source))
        raise UnknownNameError(
            f"{source} has no base that a log could be replayed onto",
            hint=f"back its files up first: holdfast backup {source}, of a source with --physical and --log-spool, --log-slot or --log-binlog",
        )
    bases = log_keeping.without(bases, gone)
    holdings = await _holdings(context, source, storage)
    found = logs.reaches(bases, holdings, await catalog.logs.state(source))
    if not found:
        raise UnknownNameError(
            f"{f'storage {storage} does not hold' if storage else 'no storage holds'} both a base of {source} and its log",
            hint=f"holdfast logs ship {source}",
        )
    return found


async def branches(context: JobContext, source: str, found: Sequence[Reach]) -> list[Reach]:
    """What leads on along series that were left, from the bases of those that were found, in their storages."""
    return log_branches.left(found, await _holdings(context, source, ""))


async def _holdings(context: JobContext, source: str, storage: str) -> list[LogHoldings]:
    return [each for each in await context.catalog.logs.holdings(source) if storage in ("", each.storage)]


async def plan(
    context: JobContext, source: str, target: Target, storage: str = "", gone: Gone = MappingProxyType({})
) -> ReplayPlan:
    """Chooses the base. Raises: UnknownNameError where there is none; RestoreError where the target cannot be reached, naming the nearest that can."""
    found = await reached(context, source, storage, gone)
    reading = sources.log_reading((await context.catalog.sources.get(source)).kind)
    if reading is not None and (target.transaction or target.point):
        both = (found, await branches(context, source, found))
        place, leading = await log_search.find(context, source, target, both, reading)
        return plan_to(source, target, place, leading)
    if target.at is None:
        newest = max(found, key=lambda each: (each.ends_at, each.begins_at))
        return _plan(source, target, newest, None)
    catalog = context.catalog.logs
    reach, left = log_branches.at_that_time(
        found,
        log_keeping.without(await catalog.bases(source), gone),
        await _holdings(context, source, storage),
        await catalog.state(source),
        target.at,
    )
    if reach is None:
        raise RestoreError(_unreachable(source, target, found), hint=_nearest(found, target.at))
    last = max((run.ends_at for run in reach.path if run.ends_at is not None), default=None)
    if left:
        said = f"{source} was in series {left} of its log then, and left it for another: what was done in that one is not brought back"
        context.emit(Noted(said))
    # At the end of what is covered all of the log is older, to whatever fraction.
    is_end = target.at == reach.ends_at and not target.is_before
    is_exact = is_end or reading is None or reading.has_fractions
    meant, note = (target, "") if is_exact else instants.by_seconds(target)
    assert meant.at is not None
    # Behind the last transaction there is none that the server could stop at: all is replayed.
    is_within = last is not None and (meant.at < last or (meant.is_before and meant.at <= last))
    planned = _plan(source, target, reach, meant.at if is_within else None)
    return dataclasses.replace(planned, is_before=meant.is_before, note=note)


def plan_to(source: str, target: Target, place: Place, leading: Reach) -> ReplayPlan:
    """To a place of the log that this base leads to; no further is fetched."""
    cut = dataclasses.replace(leading, path=log_search.cut(leading, place))
    return dataclasses.replace(_plan(source, target, cut, None), mark=place.mark)


async def described(context: JobContext, planned: ReplayPlan) -> InstantPlan:
    """The plan for people, with what the catalog knows of sizes and times. Raises: UnknownNameError."""
    base = planned.reach.base
    backup = await context.catalog.backups.get(base.backup_id)
    source = await context.catalog.sources.get(planned.source)
    drills = await context.catalog.standing.past_drills(planned.source, _DRILLS)
    # A drill is known by the size of its base.
    estimated_s, counted = estimate(drills, backup.size_bytes, instants.STARTING)
    return InstantPlan(
        planned.source,
        planned.target,
        base.backup_id,
        base.consistent_at,
        backup.size_bytes,
        planned.reach.storage,
        planned.segments,
        planned.size_bytes,
        planned.reach.ends_at,
        source.host,
        estimated_s,
        counted,
        planned.mark.at if planned.mark is not None else None,
        planned.mark.left if planned.mark is not None else "",
        planned.note,
    )


def _plan(source: str, target: Target, reach: Reach, until: datetime.datetime | None) -> ReplayPlan:
    path = reach.path
    size_bytes = sum(run.size_bytes for run in path)
    segments = logs.segments_in(path)
    return ReplayPlan(source, target, reach, segments, size_bytes, until, is_before=target.is_before)


def _unreachable(source: str, target: Target, found: Sequence[Reach]) -> str:
    begins_at = min(each.begins_at for each in found)
    ends_at = max(each.ends_at for each in found)
    assert target.at is not None
    if target.at < begins_at:
        why = f"its oldest base is of {_text(begins_at)}"
    elif target.at > ends_at:
        why = f"its log ends at {_text(ends_at)}"
    else:
        why = "its log has a gap there"
    return f"{source} cannot be brought back to {target.words}: {why}"


def _nearest(found: Sequence[Reach], at: datetime.datetime) -> str | None:
    nearest = logs.nearest_instant(found, at)
    return f"the nearest instant that can be reached is {_text(nearest)}" if nearest is not None else None


def _text(at: datetime.datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="milliseconds")


async def feed(context: JobContext, base: DatabaseBackup, planned: ReplayPlan, replaying: Replaying) -> int:
    """The base, then the log: what came, in bytes. Raises: DamagedError, StorageError; SourceError, HostError as soon as the host refused."""
    done_bytes = 0

    async def write(data: bytes) -> None:
        nonlocal done_bytes
        await replaying.write(data)
        done_bytes += len(data)
        context.emit(Progress("replay", done_bytes, current=planned.source))

    await base.read(base.files, write)
    await replaying.begin()
    await dump.dump_files(base.repository, members(base, planned), write)
    return done_bytes


@asynccontextmanager
async def server(context: JobContext, base: DatabaseBackup, planned: ReplayPlan) -> AsyncIterator[Replayed]:
    """A throwaway server that was brought there; leaving removes it. Raises: RestoreError where it did not get there; UsageError, SourceError,
    HostError, StorageError."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_database_source(context, base.source))
        if not isinstance(source, ReplayingSource):
            raise UsageError(f"the log of {planned.source} cannot be replayed")
        context.emit(StepBegan(f"replay {planned.source} to {planned.target.words}"))
        length = await segment_bytes(context, base, planned)
        replaying = await stack.enter_async_context(
            source.replaying(base.manifest, base.depth, replay_of(planned, length))
        )
        await feed(context, base, planned, replaying)
        found = await replaying.finish()
        if not found.is_over or (
            planned.until is not None
            and found.last_transaction_at is not None
            and found.last_transaction_at > planned.until
        ):
            raise RestoreError(
                f"{planned.source} did not come to {planned.target.words}: its last transaction is of {found.last_transaction_at}",
                hint="nothing that is live was touched; run a drill to that instant",
            )
        yield found


def replay_of(planned: ReplayPlan, segment_bytes: int) -> Replay:
    """For the source."""
    target, base = planned.target, planned.reach.base.position
    path = planned.reach.path
    return Replay(
        base,
        segment_bytes,
        path[-1].series if path else base.series,
        planned.until,
        planned.mark.transaction if planned.mark is not None else target.number,
        target.point,
        planned.is_before,
        last_needed(planned),
        planned.size_bytes,
    )


def last_needed(planned: ReplayPlan) -> datetime.datetime | None:
    """When the last transaction ended that is replayed where nothing says where to stop; None where something does, or it is not known.

    A server takes damage in its log for the log's end, and says no word of it.
    """
    if planned.until is not None or planned.target.transaction or planned.target.point:
        return None
    return logs.last_ending(planned.reach.path)


async def segment_bytes(context: JobContext, base: DatabaseBackup, planned: ReplayPlan) -> int:
    """How long each segment of that log is. Raises: DamagedError, StorageError; RestoreError where nothing of it is kept."""
    tree = await _tree(base, planned)
    async for _, segment in log_store.segments(base.repository, tree, planned.reach.base.position.identity):
        if segment is not None and not segment.is_tail:
            return segment.size_bytes
    del context
    return 16 << 20


async def members(base: DatabaseBackup, planned: ReplayPlan) -> AsyncIterator[Visited]:
    """What is replayed, in its order, with what tells the host where it is. Raises: RestoreError where the log is not as it was planned."""
    tree = await _tree(base, planned)
    identity = planned.reach.base.position.identity
    for name, node in sorted(tree.identities.get(identity, {}).items()):
        if node.subtree is None:
            yield _file(name.encode(), node)
    yield _file(BEGIN)
    async for visited in _kept(base.repository, tree, planned):
        yield visited
    yield _file(END)


async def pass_on(
    base: DatabaseBackup, planned: ReplayPlan, passing: LogPassing, write: Callable[[bytes], Awaitable[None]]
) -> int:
    """The archive of what is replayed, through what it must go through; how much came out. Raises: SourceError where that refuses it; DamagedError,
    StorageError."""
    size_bytes = 0

    async def go_on(data: bytes) -> None:
        nonlocal size_bytes
        if data:
            await write(data)
        size_bytes += len(data)

    async def passed(data: bytes) -> None:
        await go_on(await asyncio.to_thread(passing.feed, data))

    await dump.dump_files(base.repository, members(base, planned), passed)
    await go_on(passing.end())
    return size_bytes


async def _kept(
    repository: Repository, tree: log_store.LogTree, planned: ReplayPlan
) -> AsyncIterator[Visited]:
    """The segments of the path, each of them, as far as the target wants them."""
    identity = planned.reach.base.position.identity
    by_series: dict[str, list[LogRun]] = {}
    for run in planned.reach.path:
        by_series.setdefault(run.series, []).append(run)
    for series, wanted in by_series.items():
        places = _places(wanted)
        async for node, segment in log_store.segments(repository, tree, identity, series):
            if segment is None or not any(
                run.first <= segment.number <= run.last and run.is_tail == segment.is_tail for run in wanted
            ):
                continue
            if next(places, None) != (segment.number, segment.size_bytes if segment.is_tail else 0):
                raise _changed(planned)
            yield _file(node.name, node)
            if (
                planned.until is not None
                and segment.begins_at is not None
                and segment.begins_at > planned.until
            ):
                return
        if next(places, None) is not None:
            raise _changed(planned)


def _places(runs: Sequence[LogRun]) -> Iterator[tuple[int, int]]:
    """The numbers of their segments, in order, and of a tail how much there is."""
    for run in runs:
        for number in range(run.first, run.last + 1):
            yield number, run.size_bytes if run.is_tail else 0


def _changed(planned: ReplayPlan) -> RestoreError:
    """What is not there must not pass for the end of the log."""
    return RestoreError(
        f"{planned.source} was not brought back to {planned.target.words}: {planned.reach.storage} does not hold its log as it did when that was planned",
        hint="try again; where it is refused again, `holdfast verify` names what the storage lacks",
    )


async def _tree(base: DatabaseBackup, planned: ReplayPlan) -> log_store.LogTree:
    """The log as the base's storage had it when that was planned: it grows meanwhile, and what was the beginning of a segment becomes whole."""
    _, tree = await log_store.open_head(base.repository, base.source, planned.reach.snapshot_id)
    return tree


def _file(name: bytes, node: Node | None = None) -> Visited:
    """A member of the archive by its bare name."""
    content = node.content if node is not None else ()
    size = node.size if node is not None else 0
    return Visited(name, Node(name, "file", _MODE, mtime="1970-01-01T00:00:00Z", size=size, content=content))


def target_of(request: RestoreRequest | DrillRequest) -> Target:
    """Where to. Raises: UsageError where several targets are named, or none to end just before."""
    if sum(bool(each) for each in (request.at, request.at_transaction, request.at_point)) > 1:
        raise UsageError("name one of --at, --at-transaction and --at-point")
    if request.is_before and not (request.at or request.at_transaction or request.at_point):
        raise UsageError("--just-before goes with --at, --at-transaction or --at-point")
    return Target(request.at, request.at_transaction, request.at_point, request.is_before)
