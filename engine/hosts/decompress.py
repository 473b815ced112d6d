"""Standard output that came through zstd on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import zstandard

from engine.errors import CommandFailedError, HostError
from engine.hosts.base import READ_BYTES, Exit, Process

SLICE_BYTES = 4 << 10
"""Fed at once, so that a few bytes which stand for very many (128 KiB for each 4) cannot fill the memory: 128 MiB at the worst."""
WINDOW_LIMIT_BYTES = 8 << 20
"""`zstd -1` uses 512 KiB; a frame that asks for more is none of ours."""


class DecompressedProcess:
    """A Process whose `read` gives the plain bytes; all else is the inner one's."""

    def __init__(self, host: str, program: str, inner: Process) -> None:
        self._host = host
        self._program = program
        self._inner = inner
        self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT_BYTES).decompressobj()
        self._compressed = memoryview(b"")
        self._ready: deque[bytes] = deque()

    async def read(self) -> bytes:
        """See `base.Process.read`. Raises also: CommandFailedError where a stream ended early though the command says all is well; HostError for damage."""
        while not self._ready:
            if not self._compressed:
                self._compressed = memoryview(await self._inner.read())
                if not self._compressed:
                    await self._require_whole()
                    return b""
            piece = self._compressed[:SLICE_BYTES]
            self._compressed = self._compressed[SLICE_BYTES:]
            self._decompress(bytes(piece))
        return self._ready.popleft()

    async def write(self, data: bytes) -> None:
        """See `base.Process.write`."""
        await self._inner.write(data)

    async def close_input(self) -> None:
        """See `base.Process.close_input`."""
        await self._inner.close_input()

    def stderr_lines(self) -> AsyncIterator[bytes]:
        """See `base.Process.stderr_lines`."""
        return self._inner.stderr_lines()

    async def wait(self) -> Exit:
        """See `base.Process.wait`."""
        return await self._inner.wait()

    def _decompress(self, piece: bytes) -> None:
        try:
            plain = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise HostError(f"what {self._program} on {self._host} sent is damaged: {error}") from error
        if self._frame.unused_data:
            raise HostError(f"what {self._program} on {self._host} sent goes on after its end")
        for begin in range(0, len(plain), READ_BYTES):
            self._ready.append(plain[begin : begin + READ_BYTES])

    async def _require_whole(self) -> None:
        if not self._frame.eof and (await self._inner.wait()).is_success:
            raise CommandFailedError(
                f"the output of {self._program} on {self._host} ended before it was whole"
            )
