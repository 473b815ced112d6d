"""A listing of live files against a snapshot's trees, in step. What is held is the folders that lead to where the listing is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError
from engine.format import timestamps
from engine.format.node_text import time_text, unix_mode
from engine.format.tree import Node
from engine.model.entry import Entry
from engine.repository.reader import Trees, walk

_TYPES: Final[Mapping[str, str]] = {
    "f": "file",
    "d": "dir",
    "l": "symlink",
    "p": "fifo",
    "s": "socket",
    "c": "chardev",
    "b": "dev",
}


Removed = Callable[[bytes, Node], None]
"""Told of each path that the snapshot has and the listing had not, a directory ahead of what is in it."""


@dataclass(slots=True)
class _Folder:
    """A directory that the listing is in."""

    path: bytes
    nodes: dict[bytes, Node]
    """What the snapshot has there and the listing did not name yet."""
    is_listed: bool = False
    """Whether the listing named anything in it: what lists nothing may be a folder that could not be read."""


@dataclass(slots=True)
class Found:
    """What a part of the listing brought."""

    added: list[Entry] = field(default_factory=list)
    both: list[tuple[Node, Entry]] = field(default_factory=list)


class TreeDiff:
    """Feeds on the entries of a `TreeFeed`."""

    def __init__(
        self, trees: Trees, root: bytes | None, removed: Removed, is_taken: Callable[[bytes], bool]
    ) -> None:
        """`root` is the snapshot's tree. `is_taken` says whether a path would be listed: below what would not nobody looks."""
        self._trees = trees
        self._root = root
        self._removed = removed
        self._is_taken = is_taken
        self._open: list[_Folder] = []
        self._unlisted: list[_Folder] = []

    async def feed(self, entries: Sequence[Entry]) -> Found:
        """The next entries. Raises: DamagedError."""
        found = Found()
        if not self._open:
            self._open.append(_Folder(b"", await self._nodes(self._root)))
        for entry in entries:
            await self._leave(entry.path)
            folder = self._open[-1]
            folder.is_listed = True
            node = folder.nodes.pop(entry.path[entry.path.rfind(b"/") + 1 :], None)
            if node is None:
                found.added.append(entry)
            else:
                found.both.append((node, entry))
            is_folder = node is not None and node.type == "dir"
            if entry.type == "d":
                subtree = node.subtree if node is not None and is_folder else None
                self._open.append(_Folder(entry.path, await self._nodes(subtree)))
            elif node is not None and is_folder:
                await self._remove_below(entry.path, node)
        return found

    async def end(self, unreadable: Collection[bytes]) -> None:
        """No more entries come; what lies below what could not be read is not taken for removed. Raises: DamagedError."""
        if not self._open:
            await self.feed(())
        while self._open:
            await self._close()
        for folder in self._unlisted:
            if folder.path not in unreadable:
                await self._remove(folder)

    async def _leave(self, path: bytes) -> None:
        while self._open[-1].path and not path.startswith(self._open[-1].path + b"/"):
            await self._close()

    async def _close(self) -> None:
        folder = self._open.pop()
        if folder.is_listed or not folder.nodes:
            await self._remove(folder)
        else:
            self._unlisted.append(folder)

    async def _remove(self, folder: _Folder) -> None:
        for name, node in folder.nodes.items():
            path = folder.path + b"/" + name if folder.path else name
            self._removed(path, node)
            await self._remove_below(path, node)

    async def _remove_below(self, path: bytes, node: Node) -> None:
        if node.subtree is None or not self._is_taken(path):
            return
        below = walk(
            self._trees, node.subtree, path=path, enters=lambda visited: self._is_taken(visited.path)
        )
        async for visited in below:
            self._removed(visited.path, visited.node)

    async def _nodes(self, tree_id: bytes | None) -> dict[bytes, Node]:
        if tree_id is None:
            return {}
        return {node.name: node for node in await self._trees.nodes(tree_id)}


def differing(node: Node, entry: Entry, *, is_coarse: bool = False) -> list[str]:
    """In what a live entry is another than the backup's: type, size, target, time, mode, owner. With `is_coarse` times are whole seconds."""
    if _TYPES.get(entry.type) != node.type:
        return ["type"]
    found = []
    if node.type == "file" and node.size != entry.size:
        found.append("size")
    if node.type == "symlink" and node.linktarget != entry.target:
        found.append("target")
    if node.type != "dir" and not _is_same_time(node.mtime, entry.mtime, is_coarse=is_coarse):
        found.append("time")
    if unix_mode(node.mode) & 0o7777 != entry.mode:
        found.append("mode")
    if (node.uid, node.gid) != (entry.uid, entry.gid):
        found.append("owner")
    return found


def _is_same_time(backup: str, live: bytes, *, is_coarse: bool) -> bool:
    if backup.endswith("Z") and not is_coarse:
        return backup.encode() == time_text(live)
    try:
        instants = [timestamps.from_text(each) for each in (backup, time_text(live).decode())]
    except DamagedError:
        return False
    if is_coarse:
        instants = [each.replace(microsecond=0) for each in instants]
    return instants[0] == instants[1]


def is_above(path: bytes, roots: Sequence[bytes]) -> bool:
    """Whether it leads to one of the roots, and is none; all without a leading slash."""
    return any(root.startswith(path + b"/") for root in roots)


def is_within(path: bytes, roots: Sequence[bytes]) -> bool:
    """Whether it is one of the roots, or lies below one."""
    return any(path == root or not root or path.startswith(root + b"/") for root in roots)
