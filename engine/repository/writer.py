"""Writing: a session feeds one or several repositories from one reading, and commits with the snapshot as its last act.

What is cut by the chunker is cut with the secret of one repository, the first where the options name none: any cutting is valid to read, and
one cutting serves all, also where their secrets differ. Blobs
are hashed and compressed once, sealed for each repository that lacks them, and packed there. A repository whose storage is slow takes its
packs from a buffer on disk, and gets its snapshot later than the others, or none (lanes.py, finishing.py). Until `commit` nothing points at
what was stored; after an interruption the index does, so that the next backup finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.clock import Clock
from engine.errors import BackupTooLargeError, HoldfastError, InterruptedJobError
from engine.events import Emit, ignore
from engine.format.allocator import tune_allocator
from engine.format.chunker import MIN_BYTES
from engine.format.ids import BlobType, digest
from engine.format.snapshot import Snapshot
from engine.model.entry import Entry
from engine.repository import chunk_workers, pool, wholeness
from engine.repository.finishing import Committed, Finish, Tell
from engine.repository.folder_memory import FolderMemory
from engine.repository.frames import Channel
from engine.repository.index import TYPES
from engine.repository.lanes import Lane, LaneStatistics
from engine.repository.lock import HeldLock
from engine.repository.packing import Loose, PackingOptions
from engine.repository.parents import ParentTrees
from engine.repository.read_long import LongFiles
from engine.repository.repository import Repository
from engine.repository.spill import Allowance, Spill, SpillOptions
from engine.repository.streams import ReadInto, Streams
from engine.repository.tree_parts import Feed, FileKey, StreamResult, TreeResult
from engine.repository.tree_writer import TreeWriter
from engine.scope import task_scope

FEW = 64
"""So many small blobs are left to the threads: worker processes take longer to start than they save."""

_RESCUE_S = 20.0
"""How long an interrupted session may take to index what it stored."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a session writes."""

    packing: PackingOptions = field(default_factory=PackingOptions)
    spill: SpillOptions | None = None
    """Where packs of a slow storage may wait; None: it slows all others down, and all are waited for at the end."""
    chunker_seed: int | None = None
    """What the chunker is salted with; None: that of the first repository."""
    most_bytes: int | None = None
    """Of packs that a session may add to a repository, give or take those on their way; None: any number."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The snapshot that a tree is decided against."""

    repository: Repository
    tree: bytes
    is_whole: bool = False
    """Whether all repositories of the session are known to hold everything that it needs (wholeness.py); else each blob is looked up."""
    snapshot_id: str = ""
    """Its id there, to remember its directories by."""


class WriteSession:
    """An open session. Made by `open_session`; used by one task at a time, but for `save_stream` and `save_read`, which several may call at once."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        workers: chunk_workers.ChunkWorkers,
        start_pool: Callable[[], Awaitable[pool.Pool]] | None,
        emit: Emit,
        options: WriteOptions,
    ) -> None:
        self.most_bytes = options.most_bytes
        """See `WriteOptions.most_bytes`."""
        self._lanes = lanes
        seed = options.chunker_seed
        self._seed = lanes[0].repository.chunker_seed if seed is None else seed
        self._allowance = Allowance(math.inf) if options.spill is None else options.spill.allowance
        self._workers = workers
        self._start_pool = start_pool
        self._pool: pool.Pool | None = None
        self._few = 0
        self._memory: FolderMemory | None = None
        self._emit = emit
        self._is_flushed = True
        self._seen_trees: set[bytes] = set()
        self._damaged_trees: set[bytes] = set()
        """Trees of the parent that the index knows and that cannot be read."""
        self._streams = self._new_streams()
        self._beside: list[Streams] = []
        """Those that nobody uses, for streams that are saved at once."""
        self._long = LongFiles(self._new_streams())

    @property
    def statistics(self) -> Sequence[LaneStatistics]:
        """What was added so far, for each repository in order."""
        return [lane.statistics for lane in self._lanes]

    async def save_stream(self, stream: AsyncIterator[bytes]) -> StreamResult:
        """Cuts, stores and counts a stream of any length. On return it is hashed and packed, not yet uploaded. Raises: what the stream raises.

        Of streams that are saved at once each holds two segments of the chunker (some 25 MiB); all share what waits for a thread.
        """
        results: list[StreamResult] = []
        with self._streams_of_its_own() as streams:
            await streams.put(stream, results.append)
        return await self._stored(results)

    async def save_blocks(self, stream: AsyncIterator[bytes], block_bytes: int) -> StreamResult:
        """As `save_stream`, but cut every so many bytes: for what never comes again at another place, and so gains nothing by cutting by content,
        which is a quarter of the work."""
        results: list[StreamResult] = []
        with self._streams_of_its_own() as streams:
            await streams.put_blocks(stream, block_bytes, results.append)
        return await self._stored(results)

    async def save_read(self, read_into: ReadInto) -> StreamResult:
        """As `save_stream`, of what is read straight into the session's memory."""
        results: list[StreamResult] = []
        with self._streams_of_its_own() as streams:
            await streams.put_read(read_into, results.append)
        return await self._stored(results)

    @contextlib.contextmanager
    def _streams_of_its_own(self) -> Iterator[Streams]:
        """A chunker holds one stream at a time; what it leaves is used again, with its memory."""
        streams = self._beside.pop() if self._beside else self._new_streams()
        try:
            yield streams
        finally:
            self._beside.append(streams)

    def _new_streams(self) -> Streams:
        return Streams(self._workers, self._seed, self._begin_blob)

    async def _stored(self, results: Sequence[StreamResult]) -> StreamResult:
        await self._workers.wait_until(lambda: bool(results))
        return results[0]

    async def put_stream(
        self, stream: AsyncIterator[bytes], receiver: Callable[[StreamResult], None]
    ) -> None:
        """Reads a stream to its end, so that the next may follow while this one is still being stored. Raises: what the stream raises.

        `receiver` is called on the event loop once all of it is hashed and packed, which may be before the return.
        """
        await self._streams.put(stream, receiver)

    async def wait_until(self, is_done: Callable[[], bool]) -> None:
        """Waits for what receivers are to be told. Raises: what storing raises."""
        await self._workers.wait_until(is_done)

    def put_small(self, data: bytes, token: Any, receiver: pool.Receiver) -> Awaitable[None] | None:
        """Stores what is one blob: not empty, at most 512 KiB. `receiver` is told tokens and ids on the event loop, in batches, soon.

        What is returned, where anything is, must be awaited before the next call. There is one receiver a session.
        """
        if self._pool is not None:
            worker = self._pool.put("data", data, token, receiver)
            if worker is None:
                return None
            self._begin_blob()
            return self._pool.make_room(worker)
        self._begin_blob()
        self._few += 1
        if self._few > FEW and self._start_pool is not None:
            return self._put_in_new_pool(self._start_pool, data, token, receiver)
        return self._workers.submit(data, "data", lambda blob_id: receiver((token,), blob_id))

    async def _put_in_new_pool(
        self, start_pool: Callable[[], Awaitable[pool.Pool]], data: bytes, token: Any, receiver: pool.Receiver
    ) -> None:
        self._pool = await start_pool()
        if (worker := self._pool.put("data", data, token, receiver)) is not None:
            await self._pool.make_room(worker)

    def can_read_here(self, files: int) -> bool:
        """Whether so many more small files of this machine are worth worker processes that read them; the first few are not."""
        self._few += files
        return self._start_pool is not None and self._few > FEW

    async def read_here(self, entries: Sequence[Entry], token: Any, receiver: pool.NodesReceiver) -> None:
        """Reads and stores files of this machine; `receiver` is told later, in several parts, as `put_small` tells ids.

        Only after `can_read_here`. Waits while those who read are far behind.
        """
        self._begin_blob()
        for entry in entries:
            if entry.size > MIN_BYTES:
                await self._long.put(entry, token, receiver)
        entries = [entry for entry in entries if entry.size <= MIN_BYTES]
        if not entries:
            return
        if self._pool is None:
            assert self._start_pool is not None
            self._pool = await self._start_pool()
        for worker in self._pool.read(entries, token, receiver):
            await self._pool.make_room(worker)

    async def help(self) -> None:
        """What goes on beside the calls, for ever: a task of the session's own. Raises: what the workers raise, at once."""
        async with task_scope() as group:
            group.create_task(self._workers.watch())
            group.create_task(self._long.run())

    async def save_tree_blob(self, data: bytes, tree_id: bytes | None = None) -> bytes:
        """Stores one tree, where a repository lacks it; returns its id."""
        tree_id = tree_id or digest(data)
        is_lacking = any(
            lane.is_alive and not lane.repository.index.has("tree", tree_id) for lane in self._lanes
        )
        if is_lacking and tree_id not in self._seen_trees:
            self._seen_trees.add(tree_id)
            await self._submit(data, "tree")
        elif tree_id in self._damaged_trees:
            self._damaged_trees.discard(tree_id)
            await self.save_anew(data, "tree")
        return tree_id

    async def save_anew(self, data: bytes, blob_type: BlobType) -> None:
        """Stores a blob, once in this session, although the index may know it: what a repository holds of it is damaged."""
        self._begin_blob()
        await self._workers.submit(data, blob_type, _nothing, is_forced=True)

    async def save_tree(
        self,
        feed: Feed,
        parent: Parent | None,
        left_out: Collection[FileKey] = (),
        doubted: Collection[FileKey] = (),
    ) -> TreeResult:
        """Stores a tree of files, as far as it differs from the parent's. See TreeWriter.run for the rest, and for what it raises."""
        parents, memory = None, FolderMemory()
        if parent is not None:
            # What one that is behind lacks it was given before, by this session.
            asking = [lane for lane in self._lanes if lane.is_alive and lane.is_settled]
            asked = [] if parent.is_whole else [lane.repository.index for lane in asking]
            parents = ParentTrees(parent.repository, asked)
            self._damaged_trees = parents.damaged
            if parent.is_whole:
                memory = wholeness.folder_memory(parent.repository, parent.snapshot_id)
        self._memory = memory
        writer = TreeWriter(feed, self, parents, memory, self._emit)
        return await writer.run(parent.tree if parent is not None else None, left_out, doubted)

    async def nudge(self) -> None:
        """Sends on what was gathered into batches, since nothing more comes for now."""
        if self._pool is not None:
            await self._pool.nudge()

    @property
    def whole_repository(self) -> Repository:
        """One that holds all that was given before the last `flush`: to read from."""
        return next(lane.repository for lane in self._lanes if lane.is_alive and lane.is_settled)

    async def flush(self) -> None:
        """Waits until all that was given is stored and indexed, but for what lies in the buffer as long as one repository has everything.

        A repository whose storage fails is dropped; raises when none is left.
        """
        loose = await self._loose()
        async with task_scope() as group:
            for lane, left in zip(self._lanes, loose, strict=True):
                group.create_task(lane.settle(left))
        self._release()
        while not any(lane.is_alive and lane.is_settled for lane in self._lanes):
            self.raise_if_all_dropped()
            alive = [lane for lane in self._lanes if lane.is_alive]
            await min(alive, key=lambda lane: lane.waiting_bytes).finish([])

    async def commit(
        self,
        snapshot: Snapshot,
        parents: Mapping[str, bytes] | None = None,
        *,
        complete: Callable[[Snapshot, LaneStatistics], Snapshot] | None = None,
        tell: Tell | None = None,
    ) -> list[Committed]:
        """Waits until all that was given is stored and indexed, and writes the snapshot, in each repository by itself: none waits for
        another. Those that are late when the first has its snapshot may take what the options allow, and are dropped then.

        `parents` gives the parent snapshot's id by repository id; `complete` adds to a repository's snapshot what was added there; `tell`
        hears how far it is each time that one has its snapshot and others have not. Raises: the first error, when none took the snapshot.
        """

        def snapshot_for(lane: Lane) -> Snapshot:
            parent = (parents or {}).get(lane.repository.id)
            completed = snapshot if complete is None else complete(snapshot, lane.statistics)
            return dataclasses.replace(completed, parent=parent)

        loose = await self._loose()
        ending = Finish(self._lanes, snapshot_for, self._memory, self._emit)
        committed = await ending.run(loose, self._allowance, tell)
        self._release()
        self.raise_if_all_dropped()
        return committed

    async def _loose(self) -> list[list[Loose]]:
        """Waits until all is hashed and packed; gives what filled no pack, by repository. It is to be read until `_release`."""
        loose: list[list[Loose]] = await self._workers.drain()
        if self._pool is not None:
            for number, blobs in enumerate(await self._pool.drain(len(self._lanes))):
                loose[number].extend(blobs)
        return loose

    def _release(self) -> None:
        if self._pool is not None:
            self._pool.release()
        self._is_flushed = True

    def raise_if_all_dropped(self) -> None:
        """Raises the first lane's error when none is alive."""
        if all(not lane.is_alive for lane in self._lanes):
            error = self._lanes[0].error
            assert error is not None
            raise error

    async def finish(self) -> None:
        """Flushes where that was not done. Raises: as `flush`."""
        if not self._is_flushed:
            await self.flush()

    async def rescue(self) -> None:
        """Indexes what the storages took, dropped or not, so that the next backup finds it. Never raises for a storage's fault."""

        async def rescue(lane: Lane) -> None:
            with contextlib.suppress(HoldfastError):
                await lane.rescue()

        async with task_scope() as group:
            for lane in self._lanes:
                group.create_task(rescue(lane))

    def _begin_blob(self) -> None:
        self._is_flushed = False
        self.raise_if_all_dropped()
        if self.most_bytes is not None:
            self._refuse_more(self.most_bytes)

    def _refuse_more(self, most_bytes: int) -> None:
        """Raises: BackupTooLargeError where more than that was added to one of the repositories."""
        if any(lane.statistics.stored_bytes > most_bytes for lane in self._lanes):
            raise BackupTooLargeError(
                f"the backup would add more than {most_bytes / (1 << 20):,.0f} MiB, which it may not",
                hint="look what grew, or raise --max-size; what was stored is found again by the next backup, or pruned",
            )

    async def _submit(self, data: bytes, blob_type: BlobType) -> None:
        self._begin_blob()
        if self._pool is None:
            await self._workers.submit(data, blob_type, _nothing)
        elif (worker := self._pool.put(blob_type, data, None, _nothing)) is not None:
            await self._pool.make_room(worker)


@asynccontextmanager
async def open_session(
    repositories: Sequence[tuple[Repository, HeldLock]],
    *,
    clock: Clock,
    processes: pool.Processes | None = None,
    options: WriteOptions | None = None,
    emit: Emit = ignore,
) -> AsyncIterator[WriteSession]:
    """Opens a session over locked repositories. With `processes` many small blobs go to worker processes.

    Leaving it without `commit` leaves the repositories as they were but for blobs that the index knows: all that was given, or what was
    stored by then where it is left by an error or a cancel. A second cancel cuts the time short that this may take.
    """
    tune_allocator()
    options = options or WriteOptions()
    packing, spilling = options.packing, options.spill
    spill = Spill(spilling) if spilling is not None and len(repositories) > 1 else None
    lanes = [Lane(repository, lock, clock, packing.pack_bytes) for repository, lock in repositories]
    async with AsyncExitStack() as outer, task_scope() as group, AsyncExitStack() as stack:
        if spill is not None:
            outer.callback(spill.close)
        for lane in lanes:
            lane.join(lanes, spill, emit)
            lane.start(group)
        workers = await stack.enter_async_context(chunk_workers.start(lanes, packing))
        starter = _PoolStarter(lanes, processes, packing, group, workers) if processes is not None else None
        session = WriteSession(
            lanes,
            workers,
            starter.start if starter is not None else None,
            emit,
            options,
        )
        helping = group.create_task(session.help())
        try:
            yield session
            await session.finish()
            await _rescue(session)
        except BaseException:
            try:
                await _rescue(session)
            finally:
                for lane in lanes:
                    lane.drop(InterruptedJobError())
            raise
        else:
            if starter is not None:
                starter.give_back()
        finally:
            helping.cancel()
            for lane in lanes:
                lane.end()
            if starter is not None:
                starter.close()


class _PoolStarter:
    """Starts the pool of a session when it is first needed."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        processes: pool.Processes,
        packing: PackingOptions,
        group: asyncio.TaskGroup,
        workers: chunk_workers.ChunkWorkers,
    ) -> None:
        self._workers = workers
        self._lanes = lanes
        self._processes = processes
        self._packing = packing
        self._group = group
        self._channels: list[Channel] = []
        self._pool: pool.Pool | None = None

    async def start(self) -> pool.Pool:
        self._channels = await self._processes.take()
        seen = {type_: await self._workers.seen_ids(type_) for type_ in TYPES}
        self._pool = await pool.open_pool(self._lanes, self._channels, self._packing, self._group, seen)
        return self._pool

    def give_back(self) -> None:
        if self._pool is not None:
            self._processes.give_back(self._channels)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


async def _rescue(session: WriteSession) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RESCUE_S):
            await session.rescue()


def _nothing(*_told: object) -> None:
    """For trees: their id is known before they are stored."""
