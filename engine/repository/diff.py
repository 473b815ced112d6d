"""What differs between two snapshots of a repository.

Both trees are walked in step; what has the same tree on both sides is not looked into. Files whose lists of blobs differ although they are
equally long were perhaps only cut by another program: what lies between their common beginning and end is then compared byte by byte, in
bounded memory, so that equal files are not called modified.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import DamagedError
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository.reader import OnDamaged, Trees, find_node
from engine.repository.repository import Repository

ChangeKind = Literal["added", "removed", "modified", "metadata"]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs."""

    path: bytes
    """From the snapshots' root, without a slash at its beginning."""
    kind: ChangeKind
    before: Node | None
    after: Node | None

    @property
    def size_bytes_before(self) -> int | None:
        """Size of the file before; None where there was none."""
        return _size(self.before)

    @property
    def size_bytes_after(self) -> int | None:
        """Size of the file after; None where there is none."""
        return _size(self.after)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A directory as both sides have it; None on the side that has none there."""

    path: bytes
    before: bytes | None
    after: bytes | None


async def diff(
    repository: Repository,
    before: Snapshot,
    after: Snapshot,
    path: bytes = b"",
    *,
    on_damaged: OnDamaged | None = None,
) -> AsyncIterator[Change]:
    """Every path that differs, directories before what is in them, names in the order of their bytes.

    With `path` only what lies below that directory of both. What changed in a directory is told of its contents; its own times do not
    count. With `on_damaged` a tree that cannot be read is handed to it and counts as empty, else it raises DamagedError.

    Raises: PathMissingError; DamagedError, also where contents that must be compared are damaged.
    """
    trees = Trees(repository)
    roots = [(await find_node(trees, snapshot, path)).subtree for snapshot in (before, after)]
    levels = [iter([_Pair(path.strip(b"/"), roots[0], roots[1])])]
    while levels:
        pair = next(levels[-1], None)
        if pair is None:
            levels.pop()
            continue
        if pair.before == pair.after:
            continue
        below: list[_Pair] = []
        changes = [each async for each in _level(repository, trees, pair, below, on_damaged)]
        for change in changes:
            yield change
        levels.append(iter(below))


async def _level(
    repository: Repository, trees: Trees, pair: _Pair, below: list[_Pair], on_damaged: OnDamaged | None
) -> AsyncIterator[Change]:
    """What differs directly in one directory; `below` gets the directories to look into."""
    old = await _nodes(trees, pair.before, pair.path, on_damaged)
    new = await _nodes(trees, pair.after, pair.path, on_damaged)
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        whole = pair.path + b"/" + name if pair.path else name
        subtrees = [
            node.subtree if node is not None and node.type == "dir" else None for node in (first, second)
        ]
        if subtrees[0] != subtrees[1]:
            below.append(_Pair(whole, subtrees[0], subtrees[1]))
        kind = await _compare(repository, first, second)
        if kind is not None:
            yield Change(whole, kind, first, second)


async def _nodes(
    trees: Trees, tree_id: bytes | None, path: bytes, on_damaged: OnDamaged | None
) -> dict[bytes, Node]:
    if tree_id is None:
        return {}
    try:
        return {node.name: node for node in await trees.nodes(tree_id)}
    except DamagedError as error:
        if on_damaged is None:
            raise
        on_damaged(path, error)
        return {}


async def _compare(repository: Repository, before: Node | None, after: Node | None) -> ChangeKind | None:
    if before is None or after is None:
        return "added" if before is None else "removed"
    if before.type != after.type:
        return "modified"
    if before.type == "file" and not await _has_same_content(repository, before, after):
        return "modified"
    if before.type == "symlink" and before.linktarget != after.linktarget:
        return "modified"
    return "metadata" if _metadata(before) != _metadata(after) else None


def _metadata(node: Node) -> tuple[object, ...]:
    """What counts as metadata: not access and change times and inodes, which change by themselves, nor a directory's own times."""
    modified = "" if node.type == "dir" else node.mtime
    return node.mode, node.uid, node.gid, modified, sorted(node.extended_attributes), node.device


async def _has_same_content(repository: Repository, before: Node, after: Node) -> bool:
    old, new = before.content or (), after.content or ()
    if old == new:
        return True
    begin = 0
    while begin < min(len(old), len(new)) and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < min(len(old), len(new)) - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    first, second = old[begin : len(old) - end], new[begin : len(new) - end]
    if _length(repository, first) != _length(repository, second):
        return False
    return await _is_equal(repository, first, second)


def _length(repository: Repository, content: Sequence[bytes]) -> int:
    places = [repository.wanted("data", blob_id).location for blob_id in content]
    return sum(place.plain_length for place in places)


async def _is_equal(repository: Repository, first: Sequence[bytes], second: Sequence[bytes]) -> bool:
    """Whether two sequences of blobs of one length hold the same bytes. Holds one blob of each."""
    waiting = [iter(first), iter(second)]
    held = [memoryview(b""), memoryview(b"")]
    while True:
        for side in (0, 1):
            while not held[side] and (blob_id := next(waiting[side], None)) is not None:
                held[side] = memoryview(await repository.load_blob("data", blob_id))
        count = min(len(held[0]), len(held[1]))
        if not count:
            return len(held[0]) == len(held[1])
        if bytes(held[0][:count]) != bytes(held[1][:count]):
            return False
        held = [view[count:] for view in held]


def _size(node: Node | None) -> int | None:
    return node.size if node is not None and node.type == "file" else None
