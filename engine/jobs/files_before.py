"""The files of a server as its backup before holds them, for a backup of which the server sends only what changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from engine.errors import PathMissingError
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs.opening import Opened
from engine.model.definitions import Source
from engine.repository import dump
from engine.repository.reader import Trees, find_node
from engine.repository.repository import Repository
from engine.repository.tree_parts import StreamResult
from engine.sources.incremental import KeptPieces, NoIncrementError, Piece

_FOLDERS: Final = 64
"""So many folders' files are held by their names: a cluster's come one folder after the other."""


def of(
    source: Source, folder: str, opened: Sequence[Opened], parents: Mapping[str, tuple[str, Snapshot]]
) -> StoredFiles:
    """The files of that folder in the backup before, which `parents` has by repository. Raises: NoIncrementError where a storage has none."""
    if not parents:
        raise NoIncrementError("there is no backup before to go on from")
    for each in opened:
        if each.repository.id not in parents:
            raise NoIncrementError(f"storage {each.definition.name} does not hold the backup before")
    repositories = [each.repository for each in opened]
    snapshot = parents[repositories[0].id][1]
    return StoredFiles(repositories, snapshot, f"{source.kind}/{source.name}/{folder}")


class StoredFiles:
    """A folder in a snapshot. See `incremental.FilesBefore`."""

    def __init__(self, repositories: Sequence[Repository], snapshot: Snapshot, folder: str) -> None:
        """All is read from the first of these; their indexes are loaded. `folder` is its path in the snapshot."""
        self._repositories = repositories
        self._snapshot = snapshot
        self._folder = folder
        self._trees = Trees(repositories[0])
        self._known: OrderedDict[str, dict[bytes, Node]] = OrderedDict()

    async def content(self, path: str, limit_bytes: int) -> bytes | None:
        """See `incremental.FilesBefore.content`."""
        node = await self._node(path)
        if node is None or node.size > limit_bytes:
            return None
        pieces: list[bytes] = []

        async def write(data: bytes) -> None:
            pieces.append(data)

        await dump.dump_node(self._repositories[0], node, write)
        return b"".join(pieces)

    async def pieces(self, path: str) -> Sequence[Piece] | None:
        """See `incremental.FilesBefore.pieces`."""
        node = await self._node(path)
        return None if node is None else [self._piece(each) for each in node.content or ()]

    async def read(self, path: str, number: int) -> bytes:
        """See `incremental.FilesBefore.read`."""
        node = await self._node(path)
        assert node is not None
        assert node.content is not None
        return await self._repositories[0].load_blob("data", node.content[number])

    async def kept(self, kept: KeptPieces) -> StreamResult:
        """See `item_tree.Kept`."""
        node = await self._node(kept.member.path)
        assert node is not None
        assert node.content is not None
        content = tuple(node.content[kept.first : kept.first + kept.pieces])
        return StreamResult(content, sum(self._piece(each).size_bytes for each in content))

    def _piece(self, blob_id: bytes) -> Piece:
        """Raises: DamagedError where it is not there."""
        size_bytes = dump.plain_bytes(self._repositories[0].wanted("data", blob_id))
        return Piece(size_bytes, all(each.index.has("data", blob_id) for each in self._repositories))

    async def _node(self, path: str) -> Node | None:
        folder, _, name = path.rpartition("/")
        nodes = self._known.get(folder)
        if nodes is None:
            nodes = self._known[folder] = await self._nodes(folder)
            if len(self._known) > _FOLDERS:
                self._known.popitem(last=False)
        node = nodes.get(name.encode("utf-8", "surrogateescape"))
        return node if node is not None and node.type == "file" else None

    async def _nodes(self, folder: str) -> dict[bytes, Node]:
        path = f"{self._folder}/{folder}".encode("utf-8", "surrogateescape")
        try:
            node = await find_node(self._trees, self._snapshot, path)
        except PathMissingError:
            return {}
        if node.subtree is None:
            return {}
        return {each.name: each for each in await self._trees.nodes(node.subtree)}
