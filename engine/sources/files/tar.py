"""Fetching what is wanted by GNU tar: one command, which reads the list of names while it runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from engine.errors import SourceError
from engine.hosts.base import Command, OpenHost, Process
from engine.model.entry import Failure, Fetched
from engine.sources.files import messages
from engine.sources.files.journal import Journal
from engine.sources.files.running import RunningTool
from engine.sources.files.tar_stream import Begin, End, Event, Hole, TarParser

WORDS = (
    "tar", "--create", "--file=-", "--directory=/", "--no-recursion", "--numeric-owner", "--sparse",
    "--xattrs", "--xattrs-include=*", "--format=pax", "--pax-option=delete=atime,delete=ctime,delete=mtime",
    "--blocking-factor=32", "--quoting-style=escape", "--null", "--files-from=-",
)  # fmt: skip
"""--no-recursion has an effect only ahead of --files-from; --xattrs stores POSIX ACLs too, as system.posix_acl_*."""

COMMAND = Command(WORDS, input="stream", window_bytes=4 << 20)
"""The list of paths comes on standard input. The window is twice that of OpenSSH's own client: small files come no faster with more."""

WINDOW = 4_096
"""So many paths may be under way: asked for, and not come yet."""
_MARKER_EVERY = 1_024
_MARKER = b""
_MARKERS = 32
"""A record of tar's is 32 blocks (--blocking-factor), and a member has at least one."""
_ZEROS = bytes(1 << 20)


class TarFetcher:
    """Names go in, contents come out; both ends must be served at the same time, since tar does not read while nobody takes what it writes.

    Why it cannot lock up: `want` waits while more than WINDOW paths are under way. tar writes whole records only, so the last 32
    members may lie in its buffer, and names that fail give no member at all; neither would ever open the window again. Hence after
    every 1,024 names come 32 times the root directory `./`, which is always there: they push out all that is ahead of them, and they
    show which of the names ahead failed. As WINDOW is several times that distance, a full window always holds such markers with all
    of their names already sent, and when those have come fewer than WINDOW paths are left. A caller with a limit of its own on what is
    under way must make it larger than 1,024, or end its wants.
    """

    def __init__(self, host: OpenHost, journal: Journal, group: asyncio.TaskGroup) -> None:
        self._host = host
        self._journal = journal
        self._group = group
        self._tool: RunningTool | None = None
        self._parser = TarParser()
        self._has_begun = asyncio.Event()
        self._has_room = asyncio.Event()
        self._under_way: deque[bytes] = deque()
        self._until_marker = _MARKER_EVERY
        self._missing: list[bytes] = []
        self._is_over = False

    async def want(self, paths: Sequence[bytes]) -> None:
        """See `base.TreeFeed.want`. Raises: SourceError, HostError where tar cannot be started or ended early."""
        process = await self._started()
        for begin in range(0, len(paths), 1024):
            await self._send(process, paths[begin : begin + 1024])

    async def end_of_wants(self) -> None:
        """See `base.TreeFeed.end_of_wants`."""
        if self._tool:
            await (await self._tool.process()).close_input()
        self._has_begun.set()

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """See `base.TreeFeed.contents`. Raises: SourceError, IncompleteDumpError, HostError."""
        await self._has_begun.wait()
        if self._tool is None:
            return
        try:
            process = await self._tool.process()
            events: deque[Event] = deque()
            while await self._receive(process, events):
                while events:
                    batch = self._take_small(events)
                    if batch:
                        yield batch
                    if events:
                        begin = events.popleft()
                        if not isinstance(
                            begin, Begin
                        ):  # pragma: no cover - the parser sends no piece outside of a file
                            raise SourceError("the tar stream is damaged")
                        self._arrived(begin.path)
                        stream = self._stream(process, events)
                        yield [Fetched(begin.path, begin.xattrs, 0, None, stream, "f")]
                        async for _ in stream:
                            pass
            await self._finish()
        finally:
            self._is_over = True
            self._has_room.set()

    def cancel(self) -> None:
        """Ends tar if it still runs."""
        if self._tool:
            self._tool.cancel()

    async def _started(self) -> Process:
        if self._tool is None:
            self._tool = RunningTool(self._host, COMMAND, messages.parse_tar, self._journal)
            self._tool.start(self._group)
            self._has_begun.set()
        return await self._tool.process()

    async def _send(self, process: Process, paths: Sequence[bytes]) -> None:
        while len(self._under_way) > WINDOW and not self._is_over:
            self._has_room.clear()
            await self._has_room.wait()
        self._under_way.extend(paths)
        names = b"".join([b"./%b\0" % path for path in paths])
        self._until_marker -= len(paths)
        if self._until_marker <= 0:
            self._until_marker = _MARKER_EVERY
            self._under_way.extend([_MARKER] * _MARKERS)
            names += b"./\0" * _MARKERS
        try:
            await process.write(names)
        except BrokenPipeError:
            return  # tar is gone; `contents` knows why, and raises it

    async def _receive(self, process: Process, events: deque[Event]) -> bool:
        """Adds what the next bytes complete; False at the end of the stream."""
        data = await process.read()
        events.extend(self._parser.feed(data))
        return bool(data)

    def _take_small(self, events: deque[Event]) -> list[Fetched]:
        batch: list[Fetched] = []
        while events:
            event = events[0]
            if not isinstance(event, Fetched):
                break
            events.popleft()
            if self._arrived(event.path):
                batch.append(event)
        return batch

    def _arrived(self, path: bytes) -> bool:
        """Crosses it off, and all that should have come before it; False for a marker. Raises: SourceError."""
        under_way = self._under_way
        while under_way:
            wanted = under_way.popleft()
            if wanted == path:
                if len(under_way) <= WINDOW:
                    self._has_room.set()
                return path != _MARKER
            if wanted != _MARKER:
                self._missing.append(wanted)
        raise SourceError(f"tar on {self._host.name} sent what was not asked for: {ascii(path[:120])[1:]}")

    async def _stream(self, process: Process, events: deque[Event]) -> AsyncIterator[bytes]:
        while True:
            while events:
                event = events.popleft()
                if isinstance(event, End):
                    return
                if isinstance(event, bytes):
                    yield event
                elif isinstance(event, Hole):
                    for begin in range(0, event.size, len(_ZEROS)):
                        yield _ZEROS if event.size - begin >= len(_ZEROS) else _ZEROS[: event.size - begin]
            if not await self._receive(process, events):
                await self._finish()
                self._parser.end()

    async def _finish(self) -> None:
        if self._tool:
            await self._tool.finish()
        self._parser.end()
        self._missing.extend(path for path in self._under_way if path != _MARKER)
        explained = self._journal.failed_paths()
        for path in self._missing:
            if path not in explained:
                self._journal.fail(
                    Failure(path, "unreadable", "tar sent nothing for it, and did not say why")
                )
