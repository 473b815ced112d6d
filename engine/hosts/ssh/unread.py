"""Bytes that came and that nobody read yet."""

from __future__ import annotations

from collections import deque

from engine.hosts.base import READ_BYTES

FIRST_BYTES = 64 << 10
"""Of the first block: most commands say little."""


class Unread:
    """A queue of bytes in blocks that are used again: many small pieces among the large ones of a backup would leave a heap full of holes."""

    __slots__ = ("_blocks", "_end", "_spare", "held_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        self._blocks: deque[bytearray] = deque()
        self._spare: list[bytearray] = [bytearray(FIRST_BYTES)]
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
        block = self._blocks.popleft()
        with memoryview(block) as view:
            piece = bytes(view if self._blocks else view[: self._end])
        self._spare.append(block)
        self.held_bytes -= len(piece)
        return piece
