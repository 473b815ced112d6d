"""Segments that are files of the host, read one after the other by few commands."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, NoReturn, Protocol

from engine.errors import ConnectionLostError, IncompleteDumpError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.sources.logs import ReadSegment, WaitingSegment

AT_ONCE: Final = 1000
"""Names for one command."""


class Judge(Protocol):
    """What looks at one segment as it comes."""

    def feed(self, piece: bytes) -> None:
        """More of it. What is wrong with it may be told now or later."""
        ...

    def judge(self) -> ReadSegment:
        """See `logs.SegmentStream.judge`."""
        ...


@asynccontextmanager
async def reading(
    host: OpenHost,
    wanted: Sequence[WaitingSegment],
    command: Callable[[Sequence[str]], Command],
    judge: Callable[[WaitingSegment], Judge],
) -> AsyncIterator[FileSegments]:
    """See `logs.LogSource.segments`. `command` writes the files of these names, one after the other; where it takes input, it gets them there."""
    async with AsyncExitStack() as stack:
        yield FileSegments(host, wanted, command, judge, stack)


def listed(names: Sequence[str]) -> bytes:
    """Names as a command takes them on its standard input, so that its words are always the same ones, and a rule can hold them."""
    return "".join(f"{name}\0" for name in names).encode()


class FileSegments:
    """Segments as they come from the host. See `logs.SegmentStream`."""

    def __init__(
        self,
        host: OpenHost,
        wanted: Sequence[WaitingSegment],
        command: Callable[[Sequence[str]], Command],
        judge: Callable[[WaitingSegment], Judge],
        stack: AsyncExitStack,
    ) -> None:
        self._host = host
        self._waiting = deque(wanted)
        self._command_of = command
        self._judge_of = judge
        self._stack = stack
        self._coming = 0
        """Segments that the command will bring still."""
        self._command: Command | None = None
        self._process: Process | None = None
        self._pending = b""
        self._current: WaitingSegment | None = None
        self._judge: Judge | None = None
        self._left_bytes = 0
        """Of the segment."""

    async def next(self) -> WaitingSegment | None:
        """See `logs.SegmentStream.next`."""
        if not self._coming:
            await self._stack.aclose()
            self._pending = b""
            if not self._waiting:
                return None
            names = [each.name for each in self._waiting][:AT_ONCE]
            self._command = self._command_of(names)
            self._process = await self._stack.enter_async_context(self._host.start(self._command))
            if self._command.input == "stream":
                with suppress(BrokenPipeError):  # why it ended is told by how it did
                    await self._process.write(listed(names))
                await self._process.close_input()
            self._coming = len(names)
        self._coming -= 1
        self._current = self._waiting.popleft()
        self._left_bytes = self._current.size_bytes
        self._judge = self._judge_of(self._current)
        return self._current

    async def read(self) -> bytes:
        """See `logs.SegmentStream.read`."""
        assert self._process is not None
        assert self._judge is not None
        if self._left_bytes and not self._pending:
            self._pending = await self._process.read() or await self._fail(self._process)
        piece, self._pending = self._pending[: self._left_bytes], self._pending[self._left_bytes :]
        self._left_bytes -= len(piece)
        self._judge.feed(piece)
        return piece

    def judge(self) -> ReadSegment:
        """See `logs.SegmentStream.judge`."""
        assert self._judge is not None
        return self._judge.judge()

    async def _fail(self, process: Process) -> NoReturn:
        """Raises: why nothing more comes."""
        host = self._host.name
        ended = await process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{host} never said how reading its log ended")
        if self._command is not None:
            require_started(host, self._command, ended)
        name = self._current.name if self._current is not None else ""
        raise IncompleteDumpError(f"segment {name} on {host} is shorter than it was")
