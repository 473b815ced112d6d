"""The files of a server as its backup before holds them, for a backup of which the server sends only what changed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from engine.errors import HoldfastError, PathMissingError
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs.opening import Opened
from engine.model.definitions import Source
from engine.repository import dump
from engine.repository.reader import Trees, find_node
from engine.repository.repository import Repository
from engine.repository.tree_parts import StreamResult
from engine.scope import task_scope
from engine.sources.incremental import KeptPieces, Piece

_FOLDERS: Final = 64
"""So many folders' files are held by their names: a cluster's come one folder after the other."""


@asynccontextmanager
async def of(
    source: Source, folder: str, opened: Sequence[Opened], parents: Mapping[str, tuple[str, Snapshot]]
) -> AsyncIterator[StoredFiles]:
    """The files of that folder in the backup before, which `parents` has of each repository."""
    # The nearest first: pieces that changed in part are read from there.
    repositories = sorted(
        (each.repository for each in opened), key=lambda each: each.storage.traits.local_path is None
    )
    snapshot = parents[repositories[0].id][1]
    async with task_scope() as tasks:
        before = StoredFiles(repositories, snapshot, f"{source.kind}/{source.name}/{folder}", tasks)
        try:
            yield before
        finally:
            before.forget()


class StoredFiles:
    """A folder in a snapshot. See `incremental.FilesBefore`."""

    def __init__(
        self, repositories: Sequence[Repository], snapshot: Snapshot, folder: str, tasks: asyncio.TaskGroup
    ) -> None:
        """All is read from the first of these; their indexes are loaded. `folder` is its path in the snapshot. `tasks` fetch."""
        self._tasks = tasks
        self._fetched: dict[bytes, asyncio.Task[bytes | HoldfastError]] = {}
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

    async def read(self, path: str, number: int, ahead: Sequence[int] = ()) -> bytes:
        """See `incremental.FilesBefore.read`."""
        node = await self._node(path)
        assert node is not None
        content = node.content
        assert content is not None
        wanted = [content[each] for each in (number, *ahead)]
        for gone in self._fetched.keys() - set(wanted):
            self._fetched.pop(gone).cancel()
        for blob_id in wanted:
            if blob_id not in self._fetched:
                self._fetched[blob_id] = self._tasks.create_task(self._fetch(blob_id))
        found = await self._fetched[wanted[0]]
        if isinstance(found, HoldfastError):
            raise found
        return found

    async def _fetch(self, blob_id: bytes) -> bytes | HoldfastError:
        """An error waits until its piece is wanted."""
        try:
            return await self._repositories[0].load_blob("data", blob_id)
        except HoldfastError as error:
            return error

    async def kept(self, kept: KeptPieces) -> StreamResult:
        """See `item_tree.Kept`."""
        node = await self._node(kept.member.path)
        assert node is not None
        assert node.content is not None
        content = tuple(node.content[kept.first : kept.first + kept.pieces])
        return StreamResult(content, sum(self._piece(each).size_bytes for each in content))

    def forget(self) -> None:
        """Ends what is still being fetched."""
        for task in self._fetched.values():
            task.cancel()
        self._fetched.clear()

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
