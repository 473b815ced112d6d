"""Reading many blobs at once, in bounded memory: in any order for restore and check, in the order of a file for dump.

Ranges of packs are asked for by as many requests as the storage likes, opened in threads, and handed on verified. What is under way,
sealed and plain together, stays within a budget of bytes, however well it was compressed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from engine.errors import DamagedError, ObjectMissingError, ShortReadError
from engine.format.ids import BlobType
from engine.repository.blobs import Read, Wanted, plan_ordered_reads, plan_reads
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

BUDGET_BYTES: Final = 64 << 20
STREAM_REQUEST_BYTES: Final = 4 << 20
"""Of a stream: short, so that the first bytes come soon and two threads share the work."""
_INLINE_BYTES: Final = 32 << 10
"""Shorter ranges are opened on the event loop: handing them to a thread would take longer."""

Deliver = Callable[[Wanted, bytes | DamagedError], Awaitable[None]]
"""Takes a blob, or what is wrong with it. Called from several tasks at once; what it waits for holds up the reading."""


class ByteBudget:
    """So many bytes may be under way; whoever wants more waits. One that is larger than all goes alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._freed = asyncio.Condition()

    async def take(self, size_bytes: int) -> None:
        """Waits until there is room."""
        async with self._freed:
            await self._freed.wait_for(
                lambda: not self._used_bytes or self._used_bytes + size_bytes <= self._limit_bytes
            )
            self._used_bytes += size_bytes

    async def give(self, size_bytes: int) -> None:
        """Gives room back."""
        async with self._freed:
            self._used_bytes -= size_bytes
            self._freed.notify_all()


async def load_blobs(
    repository: Repository, wanted: Iterable[Wanted], deliver: Deliver, *, budget_bytes: int = BUDGET_BYTES
) -> None:
    """Reads all blobs, each once, pack by pack, and hands them to `deliver` as they come.

    A damaged one is read again and at its other places first. The plan is made at once: give some ten thousand blobs a call, not a million.
    """
    reads = iter(plan_reads(wanted))
    budget = ByteBudget(budget_bytes)

    async def work() -> None:
        for read in reads:
            cost = _cost_bytes(read)
            await budget.take(cost)
            try:
                for blob, plain in zip(read.blobs, await fetch(repository, read), strict=True):
                    await deliver(blob, plain)
            finally:
                await budget.give(cost)

    async with task_scope() as group:
        for _ in range(repository.storage.traits.connections):
            group.create_task(work())


@asynccontextmanager
async def stream_blobs(
    repository: Repository,
    type_: BlobType,
    blob_ids: Iterable[bytes],
    *,
    budget_bytes: int = BUDGET_BYTES,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Hands out the plaintexts in the order of `blob_ids`, reading ahead.

    Raises: DamagedError, naming the blob; then the body of the context is cancelled.
    """
    budget = ByteBudget(budget_bytes)
    coming: asyncio.Queue[tuple[asyncio.Task[list[bytes]], int] | None] = asyncio.Queue()
    places = (repository.wanted(type_, blob_id) for blob_id in blob_ids)
    async with task_scope() as group:
        producer = group.create_task(_produce(group, repository, places, (budget, coming)))
        try:
            yield _consume(budget, coming)
        finally:
            producer.cancel()
            while not coming.empty():
                left = coming.get_nowait()
                if left is not None:
                    left[0].cancel()


async def fetch(repository: Repository, read: Read) -> list[bytes | DamagedError]:
    """The blobs of one range, each verified, or what is wrong with it at all its places."""
    try:
        stored = await repository.storage.get(Key(Kind.PACK, read.pack.hex()), read.offset, read.length)
    except (ObjectMissingError, ShortReadError) as error:
        return [await _retried(repository, blob, DamagedError(str(error))) for blob in read.blobs]
    if read.length <= _INLINE_BYTES:
        found = repository.decoder.decode_read(read, stored)
    else:
        found = await asyncio.to_thread(repository.decoder.decode_read, read, stored)
    return [
        await _retried(repository, blob, plain) if isinstance(plain, DamagedError) else plain
        for blob, plain in zip(read.blobs, found, strict=True)
    ]


async def _retried(repository: Repository, blob: Wanted, damage: DamagedError) -> bytes | DamagedError:
    if repository.index.lookup(blob.type, blob.id) is None:
        return damage
    try:
        return await repository.load_anywhere(blob.type, blob.id)
    except DamagedError as error:
        return error


_Coming = tuple[ByteBudget, asyncio.Queue[tuple[asyncio.Task[list[bytes]], int] | None]]


async def _produce(
    group: asyncio.TaskGroup, repository: Repository, places: Iterator[Wanted], out: _Coming
) -> None:
    """Starts the requests in order, as the budget and the storage's connections allow."""
    budget, coming = out
    connections = asyncio.Semaphore(repository.storage.traits.connections)

    async def whole(read: Read) -> list[bytes]:
        async with connections:
            return [_sound(plain) for plain in await fetch(repository, read)]

    for read in plan_ordered_reads(places, request_bytes=STREAM_REQUEST_BYTES):
        cost = _cost_bytes(read)
        await budget.take(cost)
        coming.put_nowait((group.create_task(whole(read)), cost))
    coming.put_nowait(None)


async def _consume(
    budget: ByteBudget, coming: asyncio.Queue[tuple[asyncio.Task[list[bytes]], int] | None]
) -> AsyncIterator[bytes]:
    while (next_one := await coming.get()) is not None:
        task, cost = next_one
        for plain in await task:
            yield plain
        await budget.give(cost)


def _sound(plain: bytes | DamagedError) -> bytes:
    if isinstance(plain, DamagedError):
        raise plain
    return plain


def _cost_bytes(read: Read) -> int:
    return read.length + sum(blob.plain_bytes for blob in read.blobs)
