"""The log as it streams in, cut into segments: one is held, and at most one message of the next."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from engine.errors import ConnectionLostError, HoldfastError, SourceError
from engine.hosts.base import READ_BYTES
from engine.sources.postgres import wal
from engine.sources.postgres.protocol import Piece
from engine.sources.postgres.replication import Replication, Turned

END_TIMEOUT_S: Final = 5.0


class LogStream:
    """A stream that is at one segment of one timeline. Not for several tasks at once."""

    def __init__(self, connection: Replication, timeline: int, number: int, size: int) -> None:
        self._connection = connection
        self._timeline = timeline
        self._number = number
        self._size = size
        self._content = bytearray()
        """Of the segment, as far as it came."""
        self._ahead = b""
        """Of the next one."""
        self.is_open = False

    async def start(self, slot: str) -> None:
        """Called once: has it come from the segment's beginning. Raises: SourceError, HostError."""
        await self._connection.start(slot, self._number * self._size, self._timeline)
        self.is_open = True

    def go_on(self, timeline: int, number: int) -> bool:
        """Whether it is at that segment, or can be: it goes on to the next one where the one before is whole."""
        if not self.is_open or timeline != self._timeline:
            return False
        if number == self._number + 1 and len(self._content) == self._size:
            self._number, self._content, self._ahead = number, bytearray(self._ahead), b""
        return number == self._number

    async def read(self, size_bytes: int) -> bytes:
        """So much of the segment from its beginning; again gives the same. Raises: SourceError where the timeline ends before; HostError."""
        await self._fill(size_bytes)
        return bytes(self._content[:size_bytes])

    async def piece(self, begin: int, size_bytes: int) -> bytes:
        """What has come behind `begin`, of the first so many bytes of the segment: a MiB where so much is to come, so that it is worked on meanwhile.

        Empty once all was given. Raises: as `read`.
        """
        await self._fill(min(begin + READ_BYTES, size_bytes))
        return bytes(self._content[begin : min(begin + READ_BYTES, size_bytes)])

    async def wait_whole(self, least: int) -> None:
        """Until a segment of that number or a later one is whole, or the timeline ends. Raises: SourceError, HostError."""
        while self.is_open and not (len(self._content) == self._size and self._number >= least):
            if not self.go_on(self._timeline, self._number + 1):
                await self._more()

    async def confirm(self, position: int) -> None:
        """Lets the server forget all before. Raises: HostError."""
        await self._connection.tell(position)
        await self._connection.tell()

    async def end(self) -> None:
        """Ends it in peace where that can be; what was confirmed is then known to the server."""
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(TimeoutError, HoldfastError):
                async with asyncio.timeout(END_TIMEOUT_S):
                    await self._connection.end()

    async def _fill(self, size_bytes: int) -> None:
        while len(self._content) < size_bytes:
            if not await self._more():
                raise ConnectionLostError(
                    f"timeline {self._timeline} ended while its log came: the next look goes on with the one that follows"
                )

    async def _more(self) -> bool:
        """Takes what comes next; false once the timeline has ended. Raises: SourceError, HostError."""
        # Who was cancelled behind the end must not wait for more.
        if not self.is_open or self._connection.has_ended:
            self.is_open = False
            return False
        try:
            event = await self._connection.receive()
        except HoldfastError:
            self.is_open = False
            raise
        if isinstance(event, Turned):
            self.is_open = False
            return False
        if isinstance(event, Piece):
            self._take(event)
        return True

    def _take(self, piece: Piece) -> None:
        """Raises: SourceError for a piece that does not follow the one before."""
        at = self._number * self._size + len(self._content)
        if piece.position != at or self._ahead:
            self.is_open = False
            raise SourceError(
                f"the log goes on at {wal.format_position(piece.position)}, and not at {wal.format_position(at)}"
            )
        room = self._size - len(self._content)
        self._content += piece.content[:room]
        self._ahead = piece.content[room:]
