"""The parent's side of a restore's worker processes.

| from | frame | says |
|---|---|---|
| us | setup | key, index files, target, options: over the socket pair, never in a command line or environment |
| us | files | the nodes of some folders, directories left out |
| us | decide, compare, create, segment, finish, abandon | the steps of one long file |
| worker | want | ranges of packs, where the storage is not on this machine |
| worker | rescue | a blob that is not whole where it was looked for |
| us | data | a range, or a blob's plaintext |
| worker | result | what came of a task |

A worker does its tasks in the order given, one after the other; two wait for it at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from engine.errors import DamagedError, ObjectMissingError, ShortReadError
from engine.repository import restore_content, restore_talk
from engine.repository.frames import Channel, start_workers
from engine.repository.repository import Repository
from engine.repository.restore_content import Piece
from engine.scope import task_scope
from engine.storages.base import Key, Kind

TASKS_AHEAD: Final = 2
"""Tasks that one worker may have: one that it does and one that waits, so that it never does."""
_ENDING_S: Final = 10.0
"""How long an interrupted worker may take to finish what it is writing."""


class Report(msgspec.Struct):
    """What came of one task; the worker's counts."""

    restored: int
    unchanged: int
    kept: int
    done_bytes: int
    fetched_bytes: int
    failures: list[tuple[bytes, str]]
    unlinkable: list[bytes]
    answer: Any
    error: str


Done = Callable[[Report], None]
_Range = tuple[bytes, int, int]
"""A pack, an offset in it, a length."""


class _Worker:
    """One worker process and what it was given."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.waiting: deque[Done] = deque()
        self.turn = asyncio.Lock()


class RestorePool:
    """The workers, ready. Made by `open_pool`. For the event loop's thread."""

    def __init__(self, workers: Sequence[_Worker], repository: Repository, group: asyncio.TaskGroup) -> None:
        self._workers = workers
        self._repository = repository
        self._group = group
        self._is_local = repository.storage.traits.local_path is not None
        self._ahead: dict[_Range, asyncio.Task[bytes]] = {}
        """Ranges that a worker will ask for: it neither fetches while it writes, nor writes while it waits."""
        self._slots = asyncio.Semaphore(TASKS_AHEAD * len(workers))
        self._open_tasks = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def submit(self, kind: bytes, header: Any, body: Sequence[bytes], done: Done) -> None:
        """Gives a task to the worker that has the least to do; waits while all have enough. `done` is called on the event loop."""
        await self._slots.acquire()
        await self._give(kind, header, body, done)

    async def _give(self, kind: bytes, header: Any, body: Sequence[bytes], done: Done) -> None:
        self._open_tasks += 1
        self._is_idle.clear()
        worker = min(self._workers, key=lambda each: len(each.waiting))
        worker.waiting.append(done)
        async with worker.turn:
            await worker.channel.send(kind, header, body)

    async def ask(self, kind: bytes, header: Any, body: Sequence[bytes] = ()) -> asyncio.Future[Report]:
        """The same, with a future for the report."""
        answered, done = _awaited()
        await self.submit(kind, header, body, done)
        return answered

    async def ask_for_content(
        self, header: Any, pieces: Sequence[Piece], differs: set[int] | None
    ) -> asyncio.Future[Report]:
        """`ask`, for a segment of a long file. What it needs is fetched from afar as soon as a worker has nothing but this to do next."""
        await self._slots.acquire()
        ahead: dict[_Range, asyncio.Task[bytes]] = {}
        if not self._is_local:
            for read in restore_content.reads_of(self._repository.index, pieces, differs):
                place = (read.pack, read.offset, read.length)
                if place not in self._ahead:
                    ahead[place] = self._group.create_task(self._fetch(*place))
        self._ahead |= ahead
        answered, done = _awaited()
        answered.add_done_callback(lambda _: self._forget(ahead))
        await self._give(restore_talk.SEGMENT, header, (), done)
        return answered

    def _forget(self, fetched: dict[_Range, asyncio.Task[bytes]]) -> None:
        """What nobody asked for, where the worker looked elsewhere."""
        for place, task in fetched.items():
            if self._ahead.get(place) is task:
                del self._ahead[place]
                task.cancel()

    async def wait_idle(self) -> None:
        """Waits until every task was done."""
        await self._is_idle.wait()

    async def listen(self, worker: _Worker) -> None:
        """Takes what a worker says, until the task is cancelled."""
        while True:
            frame = await worker.channel.receive()
            if frame.kind == restore_talk.RESULT:
                self._slots.release()
                self._open_tasks -= 1
                if not self._open_tasks:
                    self._is_idle.set()
                worker.waiting.popleft()(msgspec.convert(frame.header, Report))
            elif frame.kind == restore_talk.WANT:
                self._group.create_task(self._serve(worker, frame.header))
            else:
                self._group.create_task(self._rescue(worker, frame.header))

    async def _serve(self, worker: _Worker, reads: Sequence[tuple[bytes, int, int]]) -> None:
        places = [(pack, offset, length) for pack, offset, length in reads]
        fetches = [
            self._ahead.pop(place) if place in self._ahead else self._group.create_task(self._fetch(*place))
            for place in places
        ]
        for fetch in fetches:
            stored = await fetch
            async with worker.turn:
                await worker.channel.send(restore_talk.DATA, "", [stored])

    async def _fetch(self, pack: bytes, offset: int, length: int) -> bytes:
        try:
            return await self._repository.storage.get(Key(Kind.PACK, pack.hex()), offset, length)
        except (ObjectMissingError, ShortReadError):
            return b""

    async def _rescue(self, worker: _Worker, blob_id: bytes) -> None:
        message, plain = "", b""
        try:
            plain = await self._repository.load_blob("data", blob_id)
        except (DamagedError, ObjectMissingError, ShortReadError) as error:
            message = error.message
        async with worker.turn:
            await worker.channel.send(restore_talk.DATA, message, [plain])


def _awaited() -> tuple[asyncio.Future[Report], Done]:
    """A future for a report, and what fulfils it."""
    answered: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

    def done(report: Report) -> None:
        if not answered.done():
            answered.set_result(report)

    return answered, done


@asynccontextmanager
async def start_processes() -> AsyncIterator[list[Channel]]:
    """Starts a worker process for each core. Early: they load while keys are derived."""
    async with start_workers("restore_worker", os.cpu_count() or 1) as channels:
        yield channels


@asynccontextmanager
async def open_pool(
    channels: Sequence[Channel], repository: Repository, setup: dict[str, Any]
) -> AsyncIterator[RestorePool]:
    """Sets the workers up for one restore. On the way out they are gone: nothing is written any more. The channels stay the caller's."""
    everything = {
        **setup,
        "key": repository.master.to_json(),
        "indexes": [os.fsencode(path) for path in repository.index.file_paths],
        "local_path": os.fsencode(repository.storage.traits.local_path or ""),
    }
    workers = [_Worker(channel) for channel in channels]
    try:
        async with task_scope() as group:
            pool = RestorePool(workers, repository, group)
            listeners = []
            for worker in workers:
                await worker.channel.send(restore_talk.SETUP, everything)
                listeners.append(group.create_task(pool.listen(worker)))
            yield pool
            for listener in listeners:
                listener.cancel()
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_S):
                for channel in channels:
                    await channel.wait_ended()
