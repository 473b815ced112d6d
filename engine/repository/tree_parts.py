"""What a tree is read from, where its blobs go, and the nouns of tree_writer.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.format.tree import node_prefix
from engine.model.entry import Entry, Failure, Fetched
from engine.repository.parents import ParentTree

Xattrs = tuple[tuple[bytes, bytes], ...]
FileKey = bytes | tuple[int, int]
"""A file by its path; one of several names by its device and inode as well."""


class Feed(Protocol):
    """What a tree is read from: sources.base.TreeFeed, as far as it is used here."""

    @property
    def is_here(self) -> bool:
        """Whether the listed paths are this machine's, for this process to open."""
        ...

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


@dataclass(frozen=True, slots=True)
class StreamResult:
    """A stream as it was stored."""

    content: tuple[bytes, ...]
    size_bytes: int


class BlobSink(Protocol):
    """Where blobs go: the session."""

    def put_small(
        self, data: bytes, token: Any, receiver: Callable[[Sequence[Any], bytes], None]
    ) -> Awaitable[None] | None:
        """One data blob; `receiver` gets tokens and ids later. What is returned is to be awaited before the next."""
        ...

    def can_read_here(self, files: int) -> bool:
        """Whether so many more small files of this machine are worth `read_here`."""
        ...

    async def read_here(
        self,
        entries: Sequence[Entry],
        token: Any,
        receiver: Callable[[Any, Sequence[Entry], Sequence[bytes]], None],
    ) -> None:
        """Small files of this machine; `receiver` gets the token, some of them and their nodes later, an empty node where the feed is to be asked."""
        ...

    async def put_stream(
        self, stream: AsyncIterator[bytes], receiver: Callable[[StreamResult], None]
    ) -> None:
        """A long stream, cut into chunks. Returns when it is read; `receiver` gets the result when it is stored."""
        ...

    async def save_tree_blob(self, data: bytes, tree_id: bytes) -> bytes:
        """One tree."""
        ...

    async def nudge(self) -> None:
        """Nothing more comes until results are there."""
        ...


def is_among(entry: Entry, keys: Collection[FileKey]) -> bool:
    """Whether a file is one of these, by this name or another."""
    return entry.path in keys or (entry.links > 1 and (entry.device, entry.inode) in keys)


def find_spoiled(
    failures: Iterable[Failure], links: Mapping[tuple[int, int], object]
) -> dict[FileKey, Failure]:
    """The files whose content is not theirs, by all their names: what was read by one stands for all.

    `links` gives, by inode, what ends with the path that was read.
    """
    paths = {failure.path: failure for failure in failures if failure.is_spoiled}
    spoiled: dict[FileKey, Failure] = dict(paths.items())
    for inode, known in links.items() if paths else ():
        if isinstance(known, tuple) and known[-1] in paths:
            spoiled[inode] = paths[known[-1]]
    return spoiled


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

    def add_file(self, size_bytes: int, *, is_known: bool, sign: int = 1) -> None:
        """A new or changed file; with `sign` -1 one that did not come after all."""
        self.total_bytes += sign * size_bytes
        if is_known:
            self.files_changed += sign
        else:
            self.files_new += sign

    def add_files(self, files: int, size_bytes: int, *, is_known: bool) -> None:
        """As `add_file`, of several."""
        self.total_bytes += size_bytes
        if is_known:
            self.files_changed += files
        else:
            self.files_new += files

    def add_unmodified(self, files: int, size_bytes: int) -> None:
        """Files that are as they were."""
        self.files_unmodified += files
        self.total_bytes += size_bytes


@dataclass(frozen=True, slots=True)
class TreeResult:
    """A tree that is stored, but for the flush."""

    tree_id: bytes
    counts: TreeCounts
    failures: Sequence[Failure] = field(default=())
    spoiled: Mapping[FileKey, Failure] = field(default_factory=dict)
    """Files that are in the tree with a content that is not theirs."""


class Directory:
    """A directory that the listing is in, or whose content is still coming."""

    __slots__ = (
        "above",
        "entries",
        "entry",
        "folders",
        "is_awaited",
        "is_old_known",
        "is_partial",
        "is_same",
        "is_settled",
        "nodes",
        "old",
        "path",
        "prefix",
        "signature",
        "totals",
        "tree_id",
        "waiting",
        "xattrs",
    )

    def __init__(self, path: bytes, above: Directory | None, entry: Entry | None) -> None:
        self.path = path
        self.above = above
        self.entry = entry
        """Its own; None for the root."""
        self.entries: list[Entry] = []
        """Listed and not yet looked at."""
        self.folders: dict[bytes, Directory] = {}
        """Subdirectories by name, until their entries are looked at."""
        self.old: ParentTree | None = None
        self.is_old_known = False
        self.prefix = b""
        self.nodes: list[tuple[bytes, bytes]] = []
        self.waiting = 0
        """Nodes that are not there yet, subdirectories included."""
        self.is_settled = False
        """Whether the listing has left it, and all its entries were looked at."""
        self.is_same = False
        """Whether it was found as it was, and its tree taken over."""
        self.is_partial = False
        """Whether something in it is missing or must be looked at again next time."""
        self.is_awaited = False
        """Whether the directory above waits for its node."""
        self.xattrs: bytes | None = None
        """The node's text between prefix and content, once it is known."""
        self.tree_id: bytes | None = None
        self.signature: bytes | None = None
        self.totals = (0, 0)
        """Files directly in it, and their bytes."""


class Wanted:
    """An entry whose content or attributes are on their way."""

    __slots__ = ("directory", "entry", "followers", "is_known", "prefix")

    def __init__(self, directory: Directory, entry: Entry, prefix: bytes, *, is_known: bool = False) -> None:
        self.directory = directory
        """That it lies in; for a directory itself."""
        self.entry = entry
        self.prefix = prefix
        self.is_known = is_known
        """Whether the parent snapshot holds an entry of this name."""
        self.followers: list[tuple[Directory, Entry, bytes]] = []
        """Further names of the same inode: directory, entry, prefix."""


def with_size(entry: Entry, prefix: bytes, size_bytes: int) -> bytes:
    """The node's beginning, with the size of what was read where that is not the one that was listed."""
    return prefix if entry.size == size_bytes else node_prefix(entry._replace(size=size_bytes))


def without_doubles(nodes: list[tuple[bytes, bytes]]) -> list[bytes]:
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
