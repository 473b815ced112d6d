"""Streams, one after the other, cut into chunks for the workers. The next one is read while the last one's chunks are still being stored."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from engine.format.chunker import StreamChunker
from engine.repository.chunk_workers import ChunkWorkers
from engine.repository.tree_parts import StreamResult

Receiver = Callable[[StreamResult], None]
"""Called on the event loop once all of a stream is hashed and packed, which may be before its reader hears that it is read."""
ReadInto = Callable[[memoryview], Awaitable[int]]
"""Reads into the room that it is given: a few bytes or all of it, 0 at the end."""


class Streams:
    """One stream at a time. What a stream raises is raised, and the rest of it is forgotten."""

    def __init__(self, workers: ChunkWorkers, seed: int, before_blob: Callable[[], None]) -> None:
        """`before_blob` is called before each chunk is handed over."""
        self._workers = workers
        self._seed = seed
        self._before_blob = before_blob
        self._chunker = StreamChunker(seed)

    async def put(self, stream: AsyncIterator[bytes], receiver: Receiver) -> None:
        """Reads a stream of pieces to its end."""
        await self._put(self._fed(stream), receiver)

    async def put_read(self, read_into: ReadInto, receiver: Receiver) -> None:
        """Reads a stream straight into the chunker, to its end."""
        await self._put(self._read(read_into), receiver)

    async def put_blocks(self, stream: AsyncIterator[bytes], block_bytes: int, receiver: Receiver) -> None:
        """Reads a stream of pieces to its end, and cuts it every so many bytes."""
        await self._put(_blocks(stream, block_bytes), receiver)

    async def _fed(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Sequence[memoryview]]:
        async for piece in stream:
            yield self._chunker.feed(piece)

    async def _read(self, read_into: ReadInto) -> AsyncIterator[Sequence[memoryview]]:
        while True:
            with self._chunker.buffer_for_read() as room:
                count = await read_into(room)
            if not count:
                return
            yield self._chunker.advance(count)

    async def _put(self, read: AsyncIterator[Sequence[memoryview]], receiver: Receiver) -> None:
        content = _Content(receiver)
        try:
            async for chunks in read:
                for chunk in chunks:
                    await self._submit(chunk, content)
            for chunk in self._chunker.end():
                await self._submit(chunk, content)
        except BaseException:
            self._chunker = StreamChunker(self._seed)  # half a stream is in the other one
            raise
        content.end()

    async def _submit(self, chunk: memoryview, content: _Content) -> None:
        self._before_blob()
        await self._workers.submit(chunk, "data", content.expect(len(chunk)))


async def _blocks(stream: AsyncIterator[bytes], block_bytes: int) -> AsyncIterator[Sequence[memoryview]]:
    waiting = bytearray()
    async for piece in stream:
        waiting += piece
        whole = len(waiting) // block_bytes * block_bytes
        if whole:
            view = memoryview(bytes(waiting[:whole]))
            del waiting[:whole]
            yield [view[begin : begin + block_bytes] for begin in range(0, whole, block_bytes)]
    if waiting:
        yield [memoryview(bytes(waiting))]


class _Content:
    """What a stream consists of, as its chunks are done, in whatever order that is."""

    __slots__ = ("_ids", "_is_whole", "_receiver", "_size_bytes", "_waiting")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._ids: list[bytes] = []
        self._size_bytes = 0
        self._waiting = 0
        self._is_whole = False

    def expect(self, size_bytes: int) -> Callable[[bytes], None]:
        """One more chunk; what is returned wants its id."""
        self._ids.append(b"")
        self._size_bytes += size_bytes
        self._waiting += 1
        return functools.partial(self._arrived, len(self._ids) - 1)

    def end(self) -> None:
        """There are no more."""
        self._is_whole = True
        self._tell()

    def _arrived(self, number: int, blob_id: bytes) -> None:
        self._ids[number] = blob_id
        self._waiting -= 1
        self._tell()

    def _tell(self) -> None:
        if self._is_whole and not self._waiting:
            self._receiver(StreamResult(tuple(self._ids), self._size_bytes))
