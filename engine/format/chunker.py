"""Cutting streams by content: FastCDC through pyfastcdc, between 512 KiB and 8 MiB, 1.3 MiB on average.

Any cutting is valid to read. This one is not restic's Rabin chunker, which runs at an eighth of the speed; only files of more than
512 KiB lose by it, and only what they would share with blobs that restic itself cut. The gear table is salted from the config's polynomial,
which is sealed, so that chunk sizes tell a stranger less of the content. pyfastcdc is a young project: nothing else imports it.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Final

from engine.format.ids import Buffer

with warnings.catch_warnings():
    warnings.simplefilter("error")
    from pyfastcdc.cy import FastCDC

MIN_BYTES: Final = 512 << 10
MAX_BYTES: Final = 8 << 20
AVG_BYTES: Final = 1 << 20
"""What FastCDC takes for the average; chunks come out at about 1.33 MiB."""

SEGMENT_BYTES: Final = 12 << 20
"""Of one buffer of the stream chunker: room for the longest chunk and one step more."""

FIRST_SEGMENT_BYTES: Final = 2 << 20
"""Of the first buffer: there may be no more than a file of a megabyte, and 12 MiB take milliseconds to make."""

STEP_BYTES: Final = 4 << 20
"""So many new bytes are waited for before cutting goes on. Half a chunk or so is looked at twice each time: 2 % of the pipeline's work."""


def seed_from_polynomial(polynomial: int) -> int:
    """The gear table's salt, below 2^63 as pyfastcdc wants it, never 0, which is the public table."""
    hashed = hashlib.sha256(b"holdfast gear table " + polynomial.to_bytes(8, "big")).digest()
    return int.from_bytes(hashed[:8], "big") >> 1 or 1


class Chunker:
    """Cuts what is in memory as a whole. For one thread; cutting releases the interpreter's lock."""

    __slots__ = ("_cdc",)

    def __init__(self, seed: int) -> None:
        self._cdc = FastCDC(
            AVG_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, normalized_chunking=1, seed=seed
        )

    def cuts(self, buffer: Buffer) -> list[int]:
        """Where each chunk ends; the last one is the end of the buffer. Empty for an empty buffer."""
        return [chunk.offset + chunk.length for chunk in self._cdc.cut_buf(buffer)]


class StreamChunker:
    """Cuts a stream in pieces of any size into the same chunks that `Chunker.cuts` finds in the whole.

    Bytes are copied once, into a segment of 12 MiB (the first is 2 MiB), or not at all by those who read into `buffer_for_read`; chunks
    are views of the segment, and only the unfinished chunk at its end moves on to the next one. A segment is used again when no view of
    it is left, so a chunk stays valid for as long as someone holds it, in any thread, and holding it long costs a segment. This spares
    the copy of each chunk (50 us/MiB) and the page faults of fresh memory (up to 250). For one thread; after `end` for the next stream,
    which goes on in the same segment.
    """

    __slots__ = ("_begin", "_chunker", "_end", "_looked", "_segment", "_spare")

    def __init__(self, seed: int) -> None:
        self._chunker = Chunker(seed)
        self._segment = bytearray()
        self._spare: list[bytearray] = []
        self._begin = 0
        self._end = 0
        self._looked = 0

    def feed(self, data: Buffer) -> list[memoryview]:
        """Take `data` in and hand out the chunks that are complete by now; often none, sometimes several."""
        chunks: list[memoryview] = []
        with memoryview(data) as source:
            position = 0
            while position < len(source):
                with self.buffer_for_read() as room:
                    count = min(len(room), len(source) - position)
                    room[:count] = source[position : position + count]
                position += count
                chunks += self.advance(count)
        return chunks

    def buffer_for_read(self) -> memoryview:
        """Room to read into, never empty; then tell `advance` how much came. Let go of it before the next call."""
        if not self._segment:
            self._segment = self._take(FIRST_SEGMENT_BYTES)
        return memoryview(self._segment)[self._end :]

    def advance(self, count: int) -> list[memoryview]:
        """`count` bytes were read into `buffer_for_read`: hand out the chunks that are complete by now."""
        self._end += count
        is_full = self._end == len(self._segment)
        if self._end - self._looked < STEP_BYTES and not is_full:
            return []
        chunks = self._cut(is_end=False)
        if is_full:
            self._change_segment()
        return chunks

    def end(self) -> list[memoryview]:
        """The rest of the stream."""
        chunks = self._cut(is_end=True)
        self._begin = self._end
        return chunks

    def _cut(self, *, is_end: bool) -> list[memoryview]:
        """Chunks from `_begin` on. One that ends where the data ends is only known to end there if it is as long as can be."""
        self._looked = self._end
        whole = memoryview(self._segment)
        pending = whole[self._begin : self._end]
        chunks = []
        begin = 0
        for end in self._chunker.cuts(pending):
            if end == len(pending) and end - begin < MAX_BYTES and not is_end:
                break
            chunks.append(pending[begin:end])
            begin = end
        self._begin += begin
        return chunks

    def _change_segment(self) -> None:
        """Go on in another segment, with the unfinished chunk moved to its start."""
        full = self._segment
        begin, end = self._begin, self._end
        self._segment = self._take(SEGMENT_BYTES)
        self._segment[: end - begin] = memoryview(full)[begin:end]
        self._spare.append(full)
        self._begin = 0
        self._end = self._looked = end - begin

    def _take(self, least_bytes: int) -> bytearray:
        """A segment of at least that size that nobody holds a view of any more, or a new one."""
        for position, segment in enumerate(self._spare):
            if len(segment) >= least_bytes and _is_free(segment):
                return self._spare.pop(position)
        return bytearray(least_bytes)


def _is_free(segment: bytearray) -> bool:
    """Whether nobody holds a view of it: bytearrays refuse to change their length while somebody does. Spoils a free one's last byte."""
    try:
        segment.pop()
    except BufferError:
        return False
    segment.append(0)
    return True
