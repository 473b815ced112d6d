"""What a command says on standard error: always taken, kept within bounds, readable line by line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

TAIL_BYTES = 64 << 10
KEPT_LINES = 10_000
KEPT_BYTES = 4 << 20
LONGEST_LINE_BYTES = 16 << 10


class StandardError:
    """Takes all, keeps the last 64 KiB, and the lines that nobody read yet: at most 10,000 of them and 4 MiB, the oldest go first."""

    def __init__(self) -> None:
        self.fed_bytes = 0
        self._tail = bytearray()
        self._lines: deque[bytes] = deque()
        self._kept_bytes = 0
        self._partial = bytearray()
        self._is_over = False
        self._news = asyncio.Event()

    @property
    def tail(self) -> bytes:
        """The last 64 KiB."""
        return bytes(self._tail[-TAIL_BYTES:])

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self.fed_bytes += len(data)
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._keep(bytes(self._partial) + piece)
            self._partial.clear()
        self._partial += (
            rest[: LONGEST_LINE_BYTES - len(self._partial)]
            if len(self._partial) < LONGEST_LINE_BYTES
            else b""
        )
        self._news.set()

    def finish(self) -> None:
        """Says that nothing more comes. Idempotent."""
        if self._partial:
            self._keep(bytes(self._partial))
            self._partial.clear()
        self._is_over = True
        self._news.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines as they come, to the end. For one reader."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                self._kept_bytes -= len(line)
                yield line
            if self._is_over:
                return
            self._news.clear()
            await self._news.wait()

    def _keep(self, line: bytes) -> None:
        self._lines.append(line[:LONGEST_LINE_BYTES])
        self._kept_bytes += len(self._lines[-1])
        while len(self._lines) > KEPT_LINES or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._lines.popleft())
