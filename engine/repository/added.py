"""Two snapshots side by side, though they may lie in two repositories: what a restore of the one adds to the other, and what it need not touch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository.patterns import Selection, split
from engine.repository.reader import Trees, Visited, walk
from engine.repository.repository import Repository


class Held(NamedTuple):
    """A snapshot, and the repository that holds it, its index loaded."""

    repository: Repository
    snapshot: Snapshot


class Beside:
    """Looks paths up in a snapshot, best in the order of a walk: the directories that lead to the last one are kept."""

    def __init__(self, held: Held) -> None:
        self._trees = Trees(held.repository)
        self._root = held.snapshot.tree
        self._levels: list[tuple[bytes, dict[bytes, Node]]] = []

    async def find(self, path: bytes) -> Node | None:
        """The node at that path; None where there is none. Raises: DamagedError."""
        *folders, name = split(path)
        if not self._levels:
            self._levels.append((b"", await self._nodes(self._root)))
        shared = 0
        while shared < len(folders) and shared + 1 < len(self._levels) and self._levels[shared + 1][0] == folders[shared]:  # fmt: skip
            shared += 1
        del self._levels[shared + 1 :]
        for folder in folders[shared:]:
            node = self._levels[-1][1].get(folder)
            subtree = node.subtree if node is not None and node.type == "dir" else None
            self._levels.append((folder, await self._nodes(subtree)))
        return self._levels[-1][1].get(name)

    async def _nodes(self, tree_id: bytes | None) -> dict[bytes, Node]:
        return {} if tree_id is None else {node.name: node for node in await self._trees.nodes(tree_id)}


async def added(held: Held, other: Held | None, selection: Selection) -> AsyncIterator[bytes]:
    """Paths of the one snapshot that the other lacks (all, where there is no other), as far as they are selected; what is in a directory
    comes before it. Raises: DamagedError."""
    beside = Beside(other) if other else None
    above: list[bytes] = []

    def enters(visited: Visited) -> bool:
        return not selection.excludes_path(split(visited.path))

    async for path, node in walk(Trees(held.repository), held.snapshot.tree, enters=enters):
        while above and not path.startswith(above[-1] + b"/"):
            yield above.pop()
        if not selection.selects(split(path)) or (beside is not None and await beside.find(path) is not None):
            continue
        if node.type == "dir":
            above.append(path)
        else:
            yield path
    while above:
        yield above.pop()


def is_same(node: Node, other: Node) -> bool:
    """Whether a restore of the one where the other lies would change nothing that it brings back."""
    return _brought(node) == _brought(other)


def _brought(node: Node) -> Sequence[object]:
    return (
        node.type, node.mode, node.mtime, node.uid, node.gid, node.size, node.linktarget, node.extended_attributes, node.device, node.content,
    )  # fmt: skip
