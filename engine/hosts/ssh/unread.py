"""Bytes that came and that nobody read yet."""

from __future__ import annotations

from collections import deque

from engine.hosts.base import READ_BYTES

FIRST_BYTES = 64 << 10
"""Of the first block: most commands say little."""
SPARE_BLOCKS = 4
"""So many are kept to be used again; after a rush the others are given back."""


class Unread:
    """A queue of bytes in blocks that are used again: many small pieces among the large ones of a backup would leave a heap full of holes."""

    __slots__ = ("_begin", "_blocks", "_end", "_spare", "held_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        self._blocks: deque[bytearray] = deque()
        self._spare: list[bytearray] = [bytearray(FIRST_BYTES)]
        self._begin = 0
        """Of what is left of the first block."""
        self._end = 0
        """Of what the last block holds."""

    def put(self, data: bytes | memoryview) -> None:
        """Copies the data to the end of the queue."""
        count = len(data)
        self.held_bytes += count
        if self._blocks and self._end + count <= len(self._blocks[-1]):
            self._blocks[-1][self._end : self._end + count] = data
            self._end += count
            return
        with memoryview(data) as rest:
            position = 0
            while position < count:
                if not self._blocks or self._end == len(self._blocks[-1]):
                    self._blocks.append(self._spare.pop() if self._spare else bytearray(READ_BYTES))
                    self._end = 0
                block = self._blocks[-1]
                fitting = min(len(block) - self._end, count - position)
                block[self._end : self._end + fitting] = rest[position : position + fitting]
                self._end += fitting
                position += fitting

    def take(self) -> bytes:
        """The next bytes, at most 1 MiB; empty where there are none."""
        if not self._blocks:
            return b""
        with memoryview(self._blocks[0]) as block:
            piece = bytes(block[self._begin : len(block) if len(self._blocks) > 1 else self._end])
        self._let_go(len(piece))
        return piece

    def take_into(self, room: memoryview) -> int:
        """Moves the next bytes to the beginning of `room`, as many as are there and fit; returns how many."""
        filled = 0
        while self._blocks and filled < len(room):
            with memoryview(self._blocks[0]) as block:
                end = len(block) if len(self._blocks) > 1 else self._end
                end = min(end, self._begin + len(room) - filled)
                count = end - self._begin
                room[filled : filled + count] = block[self._begin : end]
            self._let_go(count)
            filled += count
        return filled

    def _let_go(self, count: int) -> None:
        """The next bytes were taken: all of the first block that is left, or less."""
        self.held_bytes -= count
        self._begin += count
        if not self.held_bytes or self._begin == len(self._blocks[0]):
            block = self._blocks.popleft()
            if len(self._spare) < SPARE_BLOCKS:
                self._spare.append(block)
            self._begin = 0
