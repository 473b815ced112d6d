"""A tree of files, from a host's listing into tree blobs, as one stream that never holds more than the directories it is in.

The listing comes depth first. For each entry the parent snapshot decides (parents.py) whether its content is wanted; what is wanted comes
back in the same order while the listing goes on. A directory is written when the listing has left it and its last content is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.errors import HostileListingError
from engine.events import Emit, Progress
from engine.format.ids import digest
from engine.format.tree import encode_tree, node_prefix, node_suffix
from engine.model.entry import Entry, Failure, Fetched
from engine.repository.parents import ParentTree, ParentTrees
from engine.scope import task_scope

_Xattrs = tuple[tuple[bytes, bytes], ...]


class Feed(Protocol):
    """What a tree is read from: sources.base.TreeFeed, as far as it is used here."""

    def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The listing."""
        ...

    async def want(self, paths: Sequence[bytes]) -> None:
        """Asks for content."""
        ...

    async def end_of_wants(self) -> None:
        """Nothing more will be asked for."""
        ...

    def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """What was asked for, in that order."""
        ...

    def failures(self) -> Sequence[Failure]:
        """What went wrong with single entries."""
        ...


class BlobSink(Protocol):
    """Where blobs go: the session."""

    def put_small(
        self, data: bytes, token: Any, receiver: Callable[[Sequence[Any], bytes], None]
    ) -> Awaitable[None] | None:
        """One data blob; `receiver` gets tokens and ids later. What is returned is to be awaited before the next."""
        ...

    async def save_stream(self, stream: AsyncIterator[bytes]) -> StreamResult:
        """A long stream, cut into chunks."""
        ...

    async def save_tree_blob(self, data: bytes, tree_id: bytes) -> bytes:
        """One tree."""
        ...

    async def nudge(self) -> None:
        """Nothing more comes until results are there."""
        ...


@dataclass(frozen=True, slots=True)
class StreamResult:
    """A stream as it was stored."""

    content: tuple[bytes, ...]
    size_bytes: int


@dataclass(slots=True)
class TreeCounts:
    """What restic's summary counts."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    total_bytes: int = 0

    @property
    def files(self) -> int:
        """All files."""
        return self.files_new + self.files_changed + self.files_unmodified


@dataclass(frozen=True, slots=True)
class TreeResult:
    """A tree that is stored, but for the flush."""

    tree_id: bytes
    counts: TreeCounts
    failures: Sequence[Failure] = field(default=())


class _Directory:
    """A directory that the listing is in, or whose content is still coming."""

    __slots__ = ("above", "is_left", "nodes", "old", "path", "prefix", "waiting", "xattrs")

    def __init__(self, path: bytes, above: _Directory | None, prefix: bytes, old: ParentTree | None) -> None:
        self.path = path
        self.above = above
        self.prefix = prefix
        self.old = old
        self.nodes: list[tuple[bytes, bytes]] = []
        self.waiting = 0
        """Nodes that are not there yet, subdirectories included."""
        self.is_left = False
        self.xattrs: bytes = b""
        """The node's text between prefix and content."""


class _Wanted:
    """An entry whose content or attributes are on their way."""

    __slots__ = ("directory", "entry", "followers", "is_known", "prefix")

    def __init__(self, directory: _Directory, entry: Entry, prefix: bytes, *, is_known: bool = False) -> None:
        self.directory = directory
        self.entry = entry
        self.prefix = prefix
        self.is_known = is_known
        """Whether the parent snapshot holds an entry of this name."""
        self.followers: list[tuple[_Directory, Entry, bytes]] = []
        """Further names of the same inode: directory, entry, prefix."""


class TreeWriter:
    """One tree being written. Used once."""

    def __init__(self, feed: Feed, sink: BlobSink, parents: ParentTrees | None, emit: Emit) -> None:
        self._feed = feed
        self._sink = sink
        self._parents = parents
        self._emit = emit
        self._counts = TreeCounts()
        self._wanted: deque[_Wanted] = deque()
        self._links: dict[tuple[int, int], _Wanted | tuple[int, bytes]] = {}
        """By inode: the first name while it is on its way, then its size and the rest of its node."""
        self._complete: deque[_Directory] = deque()
        self._is_complete = asyncio.Event()
        self._root_id: bytes | None = None
        self._done_bytes = 0
        self._failures: list[Failure] = []
        self._left_out: frozenset[bytes] = frozenset()

    async def run(self, parent_tree: bytes | None, left_out: frozenset[bytes] = frozenset()) -> TreeResult:
        """Reads the feed to its end and stores everything but the files of the paths `left_out`.

        Raises: HostileListingError, SourceError, HostError, RepositoryError.
        """
        self._left_out = left_out
        old = await self._old_tree(parent_tree)
        root = _Directory(b"", None, b"", old)
        async with task_scope() as group:
            group.create_task(self._list(root))
            group.create_task(self._receive())
            group.create_task(self._finish_directories())
        assert self._root_id is not None
        return TreeResult(self._root_id, self._counts, (*self._feed.failures(), *self._failures))

    async def _old_tree(self, tree_id: bytes | None) -> ParentTree | None:
        return (
            await self._parents.load(tree_id) if self._parents is not None and tree_id is not None else None
        )

    # --- the listing ------------------------------------------------------------------------------------------------------------------

    async def _list(self, root: _Directory) -> None:
        current = root
        async for batch in self._feed.entries():
            wants: list[bytes] = []
            for entry in batch:
                path = entry.path
                cut = path.rfind(b"/")
                above = path[:cut] if cut >= 0 else b""
                while current.path != above:
                    current = self._leave(current, entry)
                prefix = node_prefix(entry)
                if entry.type == "d":
                    current = await self._enter(current, entry, prefix, wants)
                elif path not in self._left_out:
                    self._file(current, entry, path[cut + 1 :], prefix, wants)
            if wants:
                await self._feed.want(wants)
            self._progress(batch[-1].path if batch else b"")
        await self._feed.end_of_wants()
        above_root: _Directory | None = current
        while above_root is not None:
            above_root = self._leave_quietly(above_root)

    def _leave(self, directory: _Directory, entry: Entry) -> _Directory:
        above = self._leave_quietly(directory)
        if above is None:
            raise HostileListingError(
                f"the host listed {entry.path!r} outside of the order that a listing has"
            )
        return above

    def _leave_quietly(self, directory: _Directory) -> _Directory | None:
        directory.is_left = True
        if not directory.waiting:
            self._completed(directory)
        return directory.above

    async def _enter(self, above: _Directory, entry: Entry, prefix: bytes, wants: list[bytes]) -> _Directory:
        old_tree = above.old.subtree(prefix) if above.old is not None else None
        old = await self._old_tree(old_tree)
        directory = _Directory(entry.path, above, prefix, old)
        above.waiting += 1
        rest = above.old.rest_by_prefix.get(prefix) if above.old is not None else None
        if rest is not None:
            directory.xattrs = rest[: rest.find(b',"content":')]
        else:
            directory.waiting += 1
            self._wanted.append(_Wanted(directory, entry, prefix))
            wants.append(entry.path)
        return directory

    def _file(
        self, directory: _Directory, entry: Entry, name: bytes, prefix: bytes, wants: list[bytes]
    ) -> None:
        old = directory.old
        rest = old.rest_by_prefix.get(prefix) if old is not None else None
        is_file = entry.type == "f"
        if rest is not None:
            directory.nodes.append((name, prefix + rest))
            if is_file:
                self._counts.files_unmodified += 1
                self._counts.total_bytes += entry.size
                self._done_bytes += entry.size
            return
        directory.waiting += 1
        is_known = old is not None and old.has_name(prefix)
        if is_file:
            self._count(entry.size, is_known=is_known, sign=1)
        wanted = _Wanted(directory, entry, prefix, is_known=is_known)
        if entry.links > 1:
            inode = (entry.device, entry.inode)
            first = self._links.get(inode)
            if isinstance(first, tuple):
                self._arrived(directory, name, _with_size(entry, prefix, first[0]) + first[1])
                return
            if first is not None:
                first.followers.append((directory, entry, prefix))
                return
            self._links[inode] = wanted
        self._wanted.append(wanted)
        wants.append(entry.path)

    # --- the contents -----------------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for batch in self._feed.contents():
            for fetched in batch:
                wanted = self._next_wanted(fetched.path)
                if wanted.entry.type == "d":
                    self._directory_arrived(wanted.directory, node_suffix(fetched.xattrs, 0, None, None))
                elif fetched.data is None and fetched.stream is None:
                    # Another name of an inode that had one name when it was listed: tar sends nothing of it.
                    self._failures.append(
                        Failure(fetched.path, "vanished", "became a hard link while it was read")
                    )
                    self._lost(wanted)
                elif wanted.entry.type == "f" and fetched.stream is not None:
                    result = await self._sink.save_stream(fetched.stream)
                    self._content_arrived(wanted, fetched.xattrs, result.content, result.size_bytes)
                elif wanted.entry.type == "f":
                    if (room := self._small(wanted, fetched)) is not None:
                        await room
                else:
                    self._node_arrived(wanted, node_suffix(fetched.xattrs, fetched.rdev, None, None))
        while self._wanted:
            self._lost(self._wanted.popleft())
        await self._sink.nudge()

    def _next_wanted(self, path: bytes) -> _Wanted:
        while self._wanted:
            wanted = self._wanted.popleft()
            if wanted.entry.path == path:
                return wanted
            self._lost(wanted)
        raise HostileListingError(f"the host sent {path!r}, which was not asked for")

    def _small(self, wanted: _Wanted, fetched: Fetched) -> Awaitable[None] | None:
        data = fetched.data
        if data:
            return self._sink.put_small(data, (wanted, fetched.xattrs, len(data)), self._stored)
        self._content_arrived(wanted, fetched.xattrs, (), 0)
        return None

    def _stored(self, tokens: Sequence[tuple[_Wanted, _Xattrs, int]], ids: bytes) -> None:
        for number, (wanted, xattrs, size_bytes) in enumerate(tokens):
            self._content_arrived(wanted, xattrs, (ids[32 * number : 32 * number + 32],), size_bytes)

    def _content_arrived(
        self, wanted: _Wanted, xattrs: _Xattrs, content: tuple[bytes, ...], size_bytes: int
    ) -> None:
        self._done_bytes += size_bytes
        if size_bytes != wanted.entry.size:
            # It grew or shrank since it was listed: the node tells the size of what is stored, and its old times make the next backup look again.
            self._counts.total_bytes += size_bytes - wanted.entry.size
            wanted.entry = wanted.entry._replace(size=size_bytes)
            wanted.prefix = node_prefix(wanted.entry)
        self._node_arrived(wanted, node_suffix(xattrs, 0, content, None))

    def _node_arrived(self, wanted: _Wanted, suffix: bytes) -> None:
        entry = wanted.entry
        if entry.links > 1:
            self._links[entry.device, entry.inode] = (entry.size, suffix)
        self._arrived(wanted.directory, _name(entry), wanted.prefix + suffix)
        for directory, follower, prefix in wanted.followers:
            self._arrived(directory, _name(follower), _with_size(follower, prefix, entry.size) + suffix)

    def _directory_arrived(self, directory: _Directory, suffix: bytes) -> None:
        directory.xattrs = suffix[: suffix.find(b',"content":')]
        self._one_less(directory)

    def _arrived(self, directory: _Directory, name: bytes, node: bytes) -> None:
        directory.nodes.append((name, node))
        self._one_less(directory)

    def _lost(self, wanted: _Wanted) -> None:
        """What was asked for and did not come: the feed's failures name it, but not the further names, for which nobody asked."""
        entry = wanted.entry
        self._links.pop((entry.device, entry.inode), None)
        if entry.type == "f":
            for _ in range(1 + len(wanted.followers)):
                self._count(entry.size, is_known=wanted.is_known, sign=-1)
        self._one_less(wanted.directory)
        for directory, follower, _ in wanted.followers:
            first = entry.path.decode(errors="backslashreplace")
            self._failures.append(
                Failure(follower.path, "unreadable", f"it was to be read by its other name {first}")
            )
            self._one_less(directory)

    def _one_less(self, directory: _Directory) -> None:
        directory.waiting -= 1
        if directory.is_left and not directory.waiting:
            self._completed(directory)

    # --- the directories --------------------------------------------------------------------------------------------------------------

    def _count(self, size_bytes: int, *, is_known: bool, sign: int) -> None:
        self._counts.total_bytes += sign * size_bytes
        if is_known:
            self._counts.files_changed += sign
        else:
            self._counts.files_new += sign

    def _completed(self, directory: _Directory) -> None:
        self._complete.append(directory)
        self._is_complete.set()

    async def _finish_directories(self) -> None:
        while self._root_id is None:
            await self._is_complete.wait()
            self._is_complete.clear()
            while self._complete:
                await self._write(self._complete.popleft())

    async def _write(self, directory: _Directory) -> None:
        nodes = directory.nodes
        nodes.sort()
        blob = encode_tree(_without_doubles(nodes))
        old, counts = directory.old, self._counts
        if old is not None and old.blob == blob:
            tree_id = old.id
        else:
            tree_id = digest(blob)
        await self._sink.save_tree_blob(blob, tree_id)
        above = directory.above
        if above is None:
            self._root_id = tree_id
            return
        if old is None:
            counts.dirs_new += 1
        elif tree_id == old.id:
            counts.dirs_unmodified += 1
        else:
            counts.dirs_changed += 1
        node = b'%b%b,"content":null,"subtree":"%b"}' % (
            directory.prefix,
            directory.xattrs,
            tree_id.hex().encode(),
        )
        self._arrived(above, directory.path[directory.path.rfind(b"/") + 1 :], node)

    def _progress(self, path: bytes) -> None:
        current = path.decode("utf-8", "replace")
        files = self._counts.files
        self._emit(Progress("read", self._done_bytes, None, files, None, 0, current))


def _name(entry: Entry) -> bytes:
    return entry.path[entry.path.rfind(b"/") + 1 :]


def _with_size(entry: Entry, prefix: bytes, size_bytes: int) -> bytes:
    """The node's beginning, with the size of what was read where that is not the one that was listed."""
    return prefix if entry.size == size_bytes else node_prefix(entry._replace(size=size_bytes))


def _without_doubles(nodes: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The nodes' texts. A name that a listing gave twice (it was renamed meanwhile) is kept once: trees hold strictly ascending names."""
    texts = []
    last = None
    for name, text in nodes:
        if name == last:
            texts[-1] = text
        else:
            texts.append(text)
        last = name
    return texts
