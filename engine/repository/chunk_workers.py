"""Threads that turn chunks into packed blobs: hash, look up, compress, verify, seal, pack.

For large chunks: all that costs is done in C with the interpreter's lock released, so that threads use every core and no chunk is copied.
Small files are another matter (their cost is the interpreter itself): see pool.py.
"""

from __future__ import annotations

import asyncio
import functools
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from engine.format import pack
from engine.format.blob import BlobCoder, Prepared
from engine.format.crypto import Sealer
from engine.format.ids import BlobType, digest
from engine.repository.index import TYPES
from engine.repository.lanes import Lane
from engine.repository.packing import Loose, PackingOptions
from engine.repository.shared_packs import SharedPacks
from engine.storages.base import Buffer

WAITING_BYTES = 8 << 20
"""Chunks that wait for a thread or are in one's hands, at most: six of the usual size, or one of the longest."""


class _Task(NamedTuple):
    data: Buffer
    type: BlobType
    done: Callable[[bytes], None]
    """Called on the event loop with the blob's id."""
    is_forced: bool
    """Whether it is stored although the index knows it: what the repository holds of it is damaged."""


class ChunkWorkers:
    """A few threads with a bounded queue before them. Made by `start`; methods are for the event loop's thread."""

    def __init__(self, lanes: Sequence[Lane], options: PackingOptions, count: int) -> None:
        self._lanes = lanes
        self._seen: set[tuple[BlobType, bytes]] = set()
        self._seen_turn = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._under_way = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._is_stopping = False
        self._packs = {
            (number, type_): SharedPacks(
                lane.repository.master, type_, options.pack_bytes, functools.partial(self._offer, number)
            )
            for number, lane in enumerate(lanes)
            for type_ in TYPES
        }
        workers = [_Worker(self, lanes, options) for _ in range(count)]
        self._threads = [
            threading.Thread(target=each.run, name="holdfast-chunks", daemon=True) for each in workers
        ]
        for thread in self._threads:
            thread.start()

    async def submit(
        self, data: Buffer, blob_type: BlobType, done: Callable[[bytes], None], *, is_forced: bool = False
    ) -> None:
        """Hands over one chunk, which must not change any more; waits while too much is waiting. Raises: what a thread raised."""
        await self.wait_until(
            lambda: not self._waiting_bytes or self._waiting_bytes + len(data) <= WAITING_BYTES
        )
        self._waiting_bytes += len(data)
        self._under_way += 1
        self._tasks.put(_Task(data, blob_type, done, is_forced))

    async def drain(self) -> list[list[Loose]]:
        """Waits until all is done; gives, for each lane, the blobs that filled no pack. Raises: what a thread raised."""
        await self.wait_until(lambda: not self._under_way)
        return [
            [blob for type_ in TYPES for blob in self._packs[lane, type_].take_loose()]
            for lane in range(len(self._lanes))
        ]

    async def seen_ids(self, blob_type: BlobType) -> bytes:
        """Waits until all is done; gives the ids of the blobs of that type that this session met, 32 bytes each. Raises: what a thread raised."""
        await self.wait_until(lambda: not self._under_way)
        with self._seen_turn:
            return b"".join([blob_id for type_, blob_id in self._seen if type_ == blob_type])

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Waits until that is so; looked at after each chunk that a thread has done. Raises: what a thread raised."""
        while self._error is None and not is_so():
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error

    async def watch(self) -> None:
        """Never returns. Raises: what a thread raised, at once, for the sake of those who wait for something else."""
        await self.wait_until(lambda: False)

    def stop(self) -> None:
        """Lets the threads end after the chunk that each has in hand. Does not wait: a thread may need the loop to see its end."""
        self._is_stopping = True
        for _ in self._threads:
            self._tasks.put(None)

    async def join(self) -> None:
        """Waits for the threads' end."""
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)

    @property
    def is_stopping(self) -> bool:
        """Whether what is still queued is to be left."""
        return self._is_stopping

    def next_task(self) -> _Task | None:
        """For the threads: the next chunk, or None at the end."""
        return self._tasks.get()

    def claims(self, blob_type: BlobType, blob_id: bytes) -> bool:
        """For the threads: whether the caller is the first in this session to meet this blob."""
        key = (blob_type, blob_id)
        with self._seen_turn:
            if key in self._seen:
                return False
            self._seen.add(key)
            return True

    def packs(self, lane: int, blob_type: BlobType) -> SharedPacks:
        """For the threads: where blobs are sealed to."""
        return self._packs[lane, blob_type]

    def _offer(self, lane: int, finished: pack.Pack) -> None:
        """Hands a pack to its lane, blocking the thread while too many are on their way."""
        asyncio.run_coroutine_threadsafe(self._lanes[lane].offer(finished), self._loop).result()

    def report(self, task: _Task, blob_id: bytes | None, error: BaseException | None) -> None:
        """For the threads: a chunk is done, or failed."""
        self._loop.call_soon_threadsafe(self._done, task, blob_id, error)

    def _done(self, task: _Task, blob_id: bytes | None, error: BaseException | None) -> None:
        self._waiting_bytes -= len(task.data)
        self._under_way -= 1
        if error is not None:
            self._error = self._error or error
        elif blob_id is not None:
            task.done(blob_id)
        self._changed.set()


class _Worker:
    """What one thread owns."""

    def __init__(self, owner: ChunkWorkers, lanes: Sequence[Lane], options: PackingOptions) -> None:
        self._owner = owner
        self._lanes = lanes
        self._sealers = [Sealer(lane.repository.master) for lane in lanes]
        self._coder = BlobCoder(options.compression)
        self._is_verified = options.is_verified

    def run(self) -> None:
        """The thread's main function."""
        while (task := self._owner.next_task()) is not None:
            if self._owner.is_stopping:
                continue
            try:
                blob_id = digest(task.data)
                self._store(task, blob_id)
            except BaseException as error:  # noqa: BLE001 -- it is raised again where the session waits
                self._owner.report(task, None, error)
            else:
                self._owner.report(task, blob_id, None)

    def _store(self, task: _Task, blob_id: bytes) -> None:
        wanting = [
            number
            for number, lane in enumerate(self._lanes)
            if lane.is_alive and (task.is_forced or not lane.repository.index.has(task.type, blob_id))
        ]
        if not wanting or not self._owner.claims(task.type, blob_id):
            return
        payload, uncompressed_length = self._coder.compress(
            task.data, task.type, is_verified=self._is_verified
        )
        blob = Prepared(blob_id, payload, uncompressed_length)
        for number in wanting:
            packs = self._owner.packs(number, task.type)
            packs.add(blob, self._sealers[number], is_verified=self._is_verified)


@asynccontextmanager
async def start(lanes: Sequence[Lane], options: PackingOptions) -> AsyncIterator[ChunkWorkers]:
    """Starts a thread for each core; they end with the context."""
    workers = ChunkWorkers(lanes, options, os.cpu_count() or 1)
    try:
        yield workers
    finally:
        workers.stop()
        await workers.join()
