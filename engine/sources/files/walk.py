"""Reading a tree by plain file access, where the host has no GNU find or no GNU tar: slower, and without extended attributes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from engine.errors import HostError, PathMissingError
from engine.hosts.base import FileAccess
from engine.model.entry import Entry, Failure, Fetched
from engine.sources.files.excludes import Excludes
from engine.sources.files.journal import Journal
from engine.sources.files.listing import require_safe_name
from engine.sources.files.roots import Request, ancestors
from engine.sources.files.tar_stream import SMALL_BYTES

WINDOW = 16_384
"""So many paths may be under way."""
_BATCH = 256


async def existing_roots(files: FileAccess, request: Request, journal: Journal) -> tuple[bytes, ...]:
    """As `find.existing_roots`. Raises: PathMissingError, HostError."""
    found: list[bytes] = []
    for root in request.roots:
        try:
            if root != b"/":
                await files.entry(root)
            found.append(root)
        except PathMissingError as error:
            journal.fail(Failure(root.strip(b"/"), "vanished", error.message))
    if not found:
        shown = ", ".join(root.decode(errors="backslashreplace") for root in request.roots)
        raise PathMissingError(f"{shown} is not there")
    return tuple(found)


async def list_ancestors(files: FileAccess, roots: Sequence[bytes]) -> dict[bytes, list[Entry]]:
    """As `find.list_ancestors`, but that a link to a directory stands as a directory with the link's own metadata. Raises: HostError."""
    found: dict[bytes, list[Entry]] = {}
    for root, paths in ancestors(roots).items():
        if paths:
            entries = [await files.entry(path) for path in paths]
            found[root[1:]] = [entry._replace(type="d", target=b"") for entry in entries]
    return found


class WalkLister:
    """Asks for one directory after the other, depth first."""

    def __init__(self, files: FileAccess, request: Request, roots: Sequence[bytes], journal: Journal) -> None:
        self._files = files
        self._journal = journal
        self._roots = roots
        self._is_one_file_system = request.is_one_file_system
        self._excludes = Excludes(request.excludes)

    async def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """Batches of what is not left out, one directory's children never in one batch with their own. Raises: HostileListingError, HostError."""
        for root in self._roots:
            pending: list[Entry] = []
            if root == b"/":
                pending = list(reversed(await self._children(b"")))
                device = None
            else:
                first = await self._files.entry(root)
                pending = [first] if self._excludes.keep([first]) else []
                device = first.device if self._is_one_file_system and first.device else None
                if self._is_one_file_system and device is None:
                    self._journal.warn(
                        "plain file access does not tell file systems apart, so what is mounted below was read too"
                    )
            while pending:
                batch: list[Entry] = []
                entry = pending.pop()
                batch.append(entry)
                while entry.type != "d" and pending:
                    entry = pending.pop()
                    batch.append(entry)
                yield batch
                if entry.type == "d" and (device is None or entry.device == device):
                    pending += reversed(await self._children(entry.path))

    def cancel(self) -> None:
        """Nothing runs on the host between two calls."""

    async def _children(self, path: bytes) -> Sequence[Entry]:
        try:
            entries = await self._files.entries(b"/" + path)
        except PathMissingError as error:
            self._journal.fail(Failure(path, "vanished", error.message))
            return ()
        except HostError as error:
            if type(error) is not HostError:  # the connection, not the directory
                raise
            self._journal.fail(Failure(path, "unreadable", error.message))
            return ()
        prefix = path + b"/" if path else b""
        for entry in entries:
            require_safe_name(entry.path, prefix)
        return self._excludes.keep([entry for entry in entries if entry.type != "s"])


class WalkFetcher:
    """Reads one file after the other, in the order in which they were asked for."""

    def __init__(self, files: FileAccess, journal: Journal) -> None:
        self._files = files
        self._journal = journal
        self._under_way: deque[bytes] = deque()
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_ended = False
        self._is_over = False

    async def want(self, paths: Sequence[bytes]) -> None:
        """See `base.TreeFeed.want`."""
        while len(self._under_way) > WINDOW and not self._is_over:
            self._has_room.clear()
            await self._has_room.wait()
        self._under_way.extend(paths)
        self._has_news.set()

    async def end_of_wants(self) -> None:
        """See `base.TreeFeed.end_of_wants`."""
        self._is_ended = True
        self._has_news.set()

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """See `base.TreeFeed.contents`. Raises: HostError."""
        try:
            while self._under_way or not self._is_ended:
                if not self._under_way:
                    self._has_news.clear()
                    await self._has_news.wait()
                    continue
                batch, stack, large = await self._next_batch()
                async with stack:
                    if batch:
                        yield batch
                    if large:
                        yield [large]
                self._has_room.set()
        finally:
            self._is_over = True
            self._has_room.set()

    def cancel(self) -> None:
        """Nothing runs on the host between two calls."""

    async def _next_batch(self) -> tuple[list[Fetched], AsyncExitStack, Fetched | None]:
        """Small files until there are enough, and the large one that ended the row; the stack holds that one open."""
        batch: list[Fetched] = []
        size = 0
        stack = AsyncExitStack()
        while self._under_way and len(batch) < _BATCH and size < 2 * SMALL_BYTES:
            path = self._under_way.popleft()
            try:
                fetched = await self._fetch(path, stack)
            except PathMissingError as error:
                self._journal.fail(Failure(path, "vanished", error.message))
                continue
            except HostError as error:
                if type(error) is not HostError:  # the connection, not the file
                    raise
                self._journal.fail(Failure(path, "unreadable", error.message))
                continue
            if fetched.stream:
                return batch, stack, fetched
            batch.append(fetched)
            size += len(fetched.data or b"")
        return batch, stack, None

    async def _fetch(self, path: bytes, stack: AsyncExitStack) -> Fetched:
        entry = await self._files.entry(b"/" + path)
        if entry.type != "f":
            return Fetched(path, (), 0, b"", None, entry.type)
        if entry.size > SMALL_BYTES:
            pieces = await stack.enter_async_context(self._files.read(b"/" + path))
            return Fetched(path, (), 0, None, self._guarded(path, pieces), "f")
        async with self._files.read(b"/" + path) as pieces:
            data = b"".join([piece async for piece in pieces])
        if len(data) != entry.size:
            self._journal.fail(Failure(path, "changed", f"{len(data)} bytes came of {entry.size}"))
        return Fetched(path, (), 0, data, None, "f")

    async def _guarded(self, path: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A file that becomes unreadable in the middle is cut there, and named."""
        try:
            async for piece in pieces:
                yield piece
        except HostError as error:
            if type(error) is not HostError:
                raise
            self._journal.fail(Failure(path, "unreadable", error.message, is_spoiled=True))
