"""A pool of worker processes for the many small blobs of a tree, and the parent's side of their talk.

| from | frame | says |
|---|---|---|
| us | setup | keys, index files, options: over the socket pair, never in a command line or environment |
| us | batch | blobs of one type, one after the other |
| worker | result | their ids in order |
| us | files | small files of this machine, as they were listed, for the worker to read |
| worker | nodes | their nodes in order; an empty one where the file is not as it was listed |
| worker | pack | a full pack for a lane, its entries, and the slot of shared memory that it lies in (slots.py) |
| us | flush | no more for now |
| worker | loose, flushed | what filled no pack, and the slot that it lies in; then the end |

Files of one size always go to the same worker unless it lags far behind: equal files have equal sizes, so that within one run they meet
the same worker's memory and are stored once.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import accumulate, pairwise
from typing import Any

from engine.errors import DamagedError, RepositoryError
from engine.format.ids import BlobType
from engine.format.pack import Pack, UniformEntries
from engine.format.pack_buffer import room_bytes
from engine.model.entry import Entry
from engine.repository import pool_worker
from engine.repository.frames import Channel, Frame, start_workers
from engine.repository.index import TYPES
from engine.repository.lanes import Lane
from engine.repository.packing import Loose, PackingOptions
from engine.repository.slots import Slots, slot_bytes
from engine.scope import task_scope

BATCH_BYTES = 512 << 10
"""A batch is sent when it holds this much, or when nothing more comes for now."""
BATCH_BLOBS = 512
BACKLOG_BYTES = 2 << 20
"""What one worker may be behind before the feeding waits."""

Receiver = Callable[[Sequence[Any], bytes], None]
"""Takes the tokens of a batch, and the ids of its blobs one after the other, 32 bytes each."""
NodesReceiver = Callable[[Any, Sequence[Entry], Sequence[bytes]], None]
"""Takes the token of some files, the files, and their nodes; an empty one where the file is not as it was listed."""


class _Batch:
    """Blobs of one type gathered for one worker."""

    __slots__ = ("parts", "receiver", "size_bytes", "tokens", "type")

    def __init__(self, blob_type: BlobType, receiver: Receiver) -> None:
        self.type = blob_type
        self.receiver = receiver
        self.parts: list[bytes] = []
        self.tokens: list[Any] = []
        self.size_bytes = 0

    @property
    def count(self) -> int:
        """How many blobs."""
        return len(self.parts)

    def frame(self) -> tuple[bytes, Any, Sequence[bytes]]:
        """What is sent of it; it is forgotten here."""
        sizes, body = list(map(len, self.parts)), b"".join(self.parts)
        self.parts.clear()
        return pool_worker.BATCH, {"type": self.type, "sizes": sizes}, [body]

    def take(self, frame: Frame) -> None:
        """The worker's answer."""
        self.receiver(self.tokens, bytes(frame.body))


class _FilesBatch:
    """Files gathered for one worker to read."""

    __slots__ = ("count", "shares", "size_bytes")

    def __init__(self) -> None:
        self.shares: list[tuple[NodesReceiver, Any, list[Entry]]] = []
        self.count = 0
        self.size_bytes = 0

    def add(self, entries: list[Entry], token: Any, receiver: NodesReceiver) -> None:
        """Files that are answered for together."""
        self.shares.append((receiver, token, entries))
        self.count += len(entries)
        self.size_bytes += sum([entry.size for entry in entries])

    def frame(self) -> tuple[bytes, Any, Sequence[bytes]]:
        """What is sent of it."""
        return pool_worker.FILES, [entry for _, _, entries in self.shares for entry in entries], ()

    def take(self, frame: Frame) -> None:
        """The worker's answer."""
        body, ends = bytes(frame.body), accumulate(frame.header, initial=0)
        nodes = [body[begin:end] for begin, end in pairwise(ends)]
        at = 0
        for receiver, token, entries in self.shares:
            receiver(token, entries, nodes[at : at + len(entries)])
            at += len(entries)


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self, channel: Channel, lanes: Sequence[Lane], slots: Slots) -> None:
        self.channel = channel
        self._slots = slots
        self.backlog_bytes = 0
        self.loose: list[list[Loose]] = [[] for _ in lanes]
        self.loose_slots: list[int] = []
        """Where they lie."""
        self.is_flushed = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._lanes = lanes
        self._gathering: dict[BlobType, _Batch] = {}
        self._files = _FilesBatch()
        self._full: deque[_Batch | _FilesBatch] = deque()
        self._sent: deque[_Batch | _FilesBatch] = deque()
        self._turn = asyncio.Lock()

    def add(self, blob_type: BlobType, data: bytes, token: Any, receiver: Receiver) -> bool:
        """Gathers a blob; says whether a batch is full by now and `send` is due."""
        batch = self._gathering.get(blob_type)
        if batch is None:
            batch = self._gathering[blob_type] = _Batch(blob_type, receiver)
        batch.parts.append(data)
        batch.tokens.append(token)
        batch.size_bytes += len(data)
        if not _is_full(batch):
            return False
        self._full.append(self._gathering.pop(blob_type))
        return True

    def add_files(self, entries: list[Entry], token: Any, receiver: NodesReceiver) -> None:
        """Gathers files to read; `send` is due afterwards, where that fills a batch."""
        for at in range(0, len(entries), BATCH_BLOBS):
            self._files.add(entries[at : at + BATCH_BLOBS], token, receiver)
            if _is_full(self._files):
                self._full.append(self._files)
                self._files = _FilesBatch()

    @property
    def is_due(self) -> bool:
        """Whether a batch is full."""
        return bool(self._full)

    async def send(self, *, is_all: bool = False) -> None:
        """Sends full batches, or what there is; waits while the worker is far behind."""
        if is_all:
            self._full.extend(self._gathering.values())
            self._gathering.clear()
            if self._files.count:
                self._full.append(self._files)
                self._files = _FilesBatch()
        async with self._turn:
            while self._full:
                batch = self._full.popleft()
                self._sent.append(batch)
                self.backlog_bytes += batch.size_bytes
                await self.channel.send(*batch.frame())
        if self.backlog_bytes > BACKLOG_BYTES:
            self.has_room.clear()
            await self.has_room.wait()

    async def flush(self) -> None:
        self.is_flushed.clear()
        async with self._turn:
            await self.channel.send(pool_worker.FLUSH, None)
        await self.is_flushed.wait()

    async def listen(self) -> None:
        """Takes what the worker says, until the task is cancelled. Waiting for a lane here stops the worker: that is the back-pressure."""
        while True:
            frame = await self.channel.receive()
            match frame.kind:
                case pool_worker.RESULT | pool_worker.NODES:
                    self._take_result(frame)
                case pool_worker.PACK:
                    await self._lanes[frame.header["lane"]].offer(self._pack(frame))
                case pool_worker.LOOSE:
                    self._take_loose(frame)
                case pool_worker.FLUSHED:
                    self.is_flushed.set()
                case _:
                    _raise_error(frame.header)

    def _pack(self, frame: Frame) -> Pack:
        header = frame.header
        entries_end = header["header_bytes"]
        with memoryview(frame.body) as body:
            entries_header, index_json = bytes(body[:entries_end]), bytes(body[entries_end:])
        blobs, trailer = self._slots.view(header["slot"], header["blobs_bytes"]), header["trailer"]
        size_bytes = len(blobs) + len(trailer)
        entries = UniformEntries(
            header["type"], entries_header, header["count"], header["plain_bytes"], size_bytes
        )
        free = functools.partial(self._slots.free, header["slot"])
        return Pack(header["id"], [blobs, trailer], size_bytes, entries, index_json, free)

    def _take_result(self, frame: Frame) -> None:
        batch = self._sent.popleft()
        self.backlog_bytes -= batch.size_bytes
        if self.backlog_bytes <= BACKLOG_BYTES:
            self.has_room.set()
        batch.take(frame)

    def _take_loose(self, frame: Frame) -> None:
        slot, blobs = frame.header["slot"], frame.header["blobs"]
        view = memoryview(frame.body)
        if slot >= 0:
            view = self._slots.view(slot, sum(length for _, length, _ in blobs))
            self.loose_slots.append(slot)
        begin = 0
        blob_type = frame.header["type"]
        for blob_id, length, uncompressed_length in blobs:
            sealed = view[begin : begin + length]
            self.loose[frame.header["lane"]].append(Loose(blob_type, blob_id, sealed, uncompressed_length))
            begin += length


class Pool:
    """The workers, ready. Made by `open_pool`."""

    def __init__(self, workers: Sequence[_Worker], slots: Slots) -> None:
        self._workers = workers
        self._slots = slots
        self._listeners: list[asyncio.Task[None]] = []

    def listen(self, group: asyncio.TaskGroup) -> None:
        """Starts listening to the workers, until `close`."""
        self._listeners = [group.create_task(worker.listen()) for worker in self._workers]

    def close(self) -> None:
        """Stops listening, and lets go of the shared memory. After `drain` the workers have nothing more to say, and their channels can serve another pool."""
        for listener in self._listeners:
            listener.cancel()
        self._slots.close()

    def put(self, blob_type: BlobType, data: bytes, token: Any, receiver: Receiver) -> _Worker | None:
        """Takes one small blob. `receiver` is told its id with its token, on the event loop, once its batch is stored.

        Where a worker is returned, `make_room` is due before the next `put`. All blobs of one type have the same receiver.
        """
        workers = self._workers
        worker = workers[len(data) % len(workers)]
        if worker.backlog_bytes > BACKLOG_BYTES:
            worker = min(workers, key=_backlog)
        return worker if worker.add(blob_type, data, token, receiver) else None

    def read(self, entries: Sequence[Entry], token: Any, receiver: NodesReceiver) -> list[_Worker]:
        """As `put`, of small files of this machine that workers are to read; `receiver` is told their nodes, in several parts.

        `make_room` is due for the workers that are returned.
        """
        workers = self._workers
        for number, worker in enumerate(workers):
            share = [entry for entry in entries if entry.size % len(workers) == number]
            is_behind = worker.backlog_bytes > BACKLOG_BYTES
            (min(workers, key=_backlog) if is_behind else worker).add_files(share, token, receiver)
        return [worker for worker in workers if worker.is_due]

    async def make_room(self, worker: _Worker) -> None:
        """Sends that worker's full batches; waits while it is far behind."""
        await worker.send()

    async def nudge(self) -> None:
        """Sends what was gathered, full batch or not: for when nothing more comes until results are there."""
        for worker in self._workers:
            await worker.send(is_all=True)

    async def drain(self, lanes: int) -> list[list[Loose]]:
        """Waits until all is done; gives, for each lane, the blobs that filled no pack. They are to be read until `release`."""
        await self.nudge()
        async with task_scope() as group:
            for worker in self._workers:
                group.create_task(worker.flush())
        loose: list[list[Loose]] = [[] for _ in range(lanes)]
        for worker in self._workers:
            for lane, blobs in enumerate(worker.loose):
                loose[lane].extend(blobs)
                worker.loose[lane] = []
        return loose

    def release(self) -> None:
        """What `drain` gave is stored, or given up."""
        for worker in self._workers:
            for slot in worker.loose_slots:
                self._slots.free(slot)
            worker.loose_slots.clear()


async def open_pool(
    lanes: Sequence[Lane],
    channels: Sequence[Channel],
    options: PackingOptions,
    group: asyncio.TaskGroup,
    seen: Mapping[BlobType, bytes],
) -> Pool:
    """Sets the workers up for these lanes; they are listened to by tasks of `group` until `close`. The channels stay the caller's.

    `seen` are the ids of the blobs that this session stored before, 32 bytes each: they are not stored again.
    """
    setup = {
        "lanes": [
            {
                "key": lane.repository.master.to_json(),
                "index": [str(path) for path in lane.repository.index.file_paths],
                "added": {type_: lane.repository.index.added_ids(type_) for type_ in TYPES},
            }
            for lane in lanes
        ],
        "seen": seen,
        "compression": options.compression,
        "is_verified": options.is_verified,
        "pack_bytes": options.pack_bytes,
    }
    room = slot_bytes(room_bytes(options.pack_bytes, pool_worker.LONGEST_BYTES))
    # An open pack for each worker, repository and type, and those that are being stored.
    stored = sum(max(lane.uploads, len(channels) // 2) for lane in lanes)
    slots = Slots(room, len(channels) * len(lanes) * len(TYPES) + stored)
    workers = [_Worker(channel, lanes, slots) for channel in channels]
    pool = Pool(workers, slots)
    try:
        for worker in workers:
            await worker.channel.send_first(pool_worker.SETUP, setup, slots.descriptors)
    except BaseException:
        pool.close()
        raise
    pool.listen(group)
    return pool


class Processes:
    """The worker processes of a job, shared by its sessions one after the other, and made anew after one that was left in mid-work."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._channels: list[Channel] | None = None

    @classmethod
    @asynccontextmanager
    async def start(cls, *, is_early: bool) -> AsyncIterator[Processes]:
        """Ends them with the context. With `is_early` they load while locks are waited for and indexes read."""
        async with AsyncExitStack() as stack:
            processes = cls(stack)
            if is_early:
                await processes._spawn()
            yield processes

    async def take(self) -> list[Channel]:
        """One channel for each core, for one session; to be given back unless it was left in mid-work: answers may still be under way."""
        channels = self._channels or await self._spawn()
        self._channels = None
        return channels

    def give_back(self, channels: list[Channel]) -> None:
        """The session is over, and drained."""
        self._channels = channels

    async def _spawn(self) -> list[Channel]:
        self._channels = await self._stack.enter_async_context(
            start_workers("pool_worker", os.cpu_count() or 1)
        )
        return self._channels


def _is_full(batch: _Batch | _FilesBatch) -> bool:
    return batch.size_bytes >= BATCH_BYTES or batch.count >= BATCH_BLOBS


def _backlog(worker: _Worker) -> int:
    return worker.backlog_bytes


def _raise_error(header: Any) -> None:
    error_class = DamagedError if header["is_damage"] else RepositoryError
    raise error_class(header["message"], hint=header["hint"])
