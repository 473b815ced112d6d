"""Reading what snapshots hold: choosing a snapshot, finding a path in it, listing and walking its trees."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.errors import (
    DamagedError,
    ObjectMissingError,
    PathMissingError,
    ShortReadError,
    StorageError,
    UnknownSnapshotError,
)
from engine.format import tree
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository import blobs
from engine.repository.blobs import BlobCache, Read, Wanted
from engine.repository.patterns import split
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

_AHEAD_BYTES: Final = 16 << 20
"""Trees that are kept because they will soon be asked for."""
_AHEAD_AT_ONCE_BYTES: Final = 4 << 20
_AHEAD_GAP_BYTES: Final = 256 << 10
"""Bytes that are read for nothing rather than asked around; trees of one folder lie close together."""

OnDamaged = Callable[[bytes, DamagedError], None]
"""Told the path of a directory whose tree cannot be read, and why."""


class Visited(NamedTuple):
    """One node where a walk met it."""

    path: bytes
    """From the snapshot's root, without a slash at its beginning."""
    node: Node


class Named(NamedTuple):
    """A snapshot and its id."""

    id: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Which snapshots are meant; what is empty asks for nothing."""

    hostnames: Sequence[str] = ()
    """One of these."""
    tags: Sequence[str] = ()
    """All of these."""
    paths: Sequence[str] = ()
    """All of these, as the snapshot has them."""
    until: datetime.datetime | None = None
    """Taken at this instant or before."""

    def matches(self, snapshot: Snapshot) -> bool:
        """Whether it is one of those meant."""
        return (
            (not self.hostnames or snapshot.hostname in self.hostnames)
            and set(self.tags) <= set(snapshot.tags)
            and set(self.paths) <= set(snapshot.paths)
            and (self.until is None or snapshot.time <= self.until)
        )


ANY_SNAPSHOT: Final = SnapshotFilter()


async def find_snapshot(repository: Repository, prefix: str, among: SnapshotFilter = ANY_SNAPSHOT) -> Named:
    """The one snapshot whose id begins with `prefix`, or the newest of those that `among` lets pass for `latest`.

    Raises: UnknownSnapshotError where there is none, or several.
    """
    if prefix != "latest":
        return Named(*await repository.find_snapshot(prefix))
    matching = [Named(*each) for each in await repository.snapshots() if among.matches(each[1])]
    if not matching:
        raise UnknownSnapshotError(f"the repository at {repository.location} holds no such snapshot")
    return matching[-1]


class Trees:
    """The trees of a repository, many read at once: one by one each costs a request, or two changes of threads. For the loop's thread."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._ahead = BlobCache(_AHEAD_BYTES)

    async def load(self, tree_id: bytes) -> bytes:
        """The JSON of a tree. Raises: DamagedError, naming it."""
        return self._ahead.get(tree_id) or await self.repository.load_blob("tree", tree_id)

    async def nodes(self, tree_id: bytes) -> list[Node]:
        """The nodes of a tree, names checked. Raises: DamagedError, naming it, also where its pack is gone or cut short."""
        try:
            return tree.decode_tree(await self.load(tree_id), strict=False)
        except (DamagedError, ObjectMissingError, ShortReadError) as error:
            raise DamagedError(
                f"the tree {tree_id.hex()} at {self.repository.location} is damaged: {error}"
            ) from error

    async def read_ahead(self, tree_ids: Sequence[bytes]) -> None:
        """Fetches trees that will soon be asked for, in as few requests as serve. What goes wrong is left for `load` to find."""
        if len(tree_ids) < 2:
            return
        wanted: list[Wanted] = []
        size_bytes = 0
        for tree_id in tree_ids:
            location = self.repository.index.lookup("tree", tree_id)
            if location is None or self._ahead.get(tree_id) is not None:
                continue
            size_bytes += location.uncompressed_length or location.length
            if size_bytes > _AHEAD_AT_ONCE_BYTES:
                break
            wanted.append(Wanted("tree", tree_id, location))
        reads = iter(blobs.plan_reads(wanted, _AHEAD_GAP_BYTES, _AHEAD_AT_ONCE_BYTES))

        async def fetch_some() -> None:
            for read in reads:
                await self._fetch(read)

        async with task_scope() as group:
            for _ in range(min(self.repository.storage.traits.connections, len(wanted))):
                group.create_task(fetch_some())

    async def _fetch(self, read: Read) -> None:
        try:
            stored = await self.repository.storage.get(
                Key(Kind.PACK, read.pack.hex()), read.offset, read.length
            )
        except StorageError:
            return
        found = await asyncio.to_thread(self.repository.decoder.decode_read, read, stored)
        for blob, plain in zip(read.blobs, found, strict=True):
            if isinstance(plain, bytes):
                self._ahead.put(blob.id, plain)


async def walk(
    trees: Trees,
    tree_id: bytes,
    *,
    path: bytes = b"",
    enters: Callable[[Visited], bool] = lambda _visited: True,
    on_damaged: OnDamaged | None = None,
) -> AsyncIterator[Visited]:
    """Every node below a tree, each directory before what is in it, in the trees' own order. Holds one list of nodes a level.

    A directory that `enters` says no to is given, but not what is in it. With `on_damaged` a tree that cannot be read is handed to it
    and passed over, else it raises.
    """
    nodes = await _nodes_or_none(trees, tree_id, path, enters, on_damaged)
    levels = [(path, iter(nodes))]
    while levels:
        folder, waiting = levels[-1]
        for node in waiting:
            visited = _visited(folder, node)
            yield visited
            if node.type == "dir" and node.subtree is not None and enters(visited):
                below = await _nodes_or_none(trees, node.subtree, visited.path, enters, on_damaged)
                levels.append((visited.path, iter(below)))
                break
        else:
            levels.pop()


def _visited(folder: bytes, node: Node) -> Visited:
    return Visited(folder + b"/" + node.name if folder else node.name, node)


async def _nodes_or_none(
    trees: Trees, tree_id: bytes, path: bytes, enters: Callable[[Visited], bool], on_damaged: OnDamaged | None
) -> list[Node]:
    try:
        nodes = await trees.nodes(tree_id)
    except DamagedError as error:
        if on_damaged is None:
            raise
        on_damaged(path, error)
        return []
    await trees.read_ahead(
        [
            node.subtree
            for node in nodes
            if node.type == "dir" and node.subtree is not None and enters(_visited(path, node))
        ]
    )
    return nodes


def root_node(snapshot: Snapshot) -> Node:
    """A directory's node for the snapshot's root, which has none of its own."""
    return Node(b"/", "dir", tree.go_mode("d", 0o755), subtree=snapshot.tree)


async def find_node(trees: Trees, snapshot: Snapshot, path: bytes) -> Node:
    """The node at that path; the root's for an empty one.

    Raises:
        PathMissingError: there is none.
        DamagedError: a tree on the way cannot be read.
    """
    node = root_node(snapshot)
    for part in split(path):
        nodes = await trees.nodes(node.subtree) if node.type == "dir" and node.subtree is not None else []
        found = next((each for each in nodes if each.name == part), None)
        if found is None:
            raise PathMissingError(
                f"the snapshot holds no {path.decode(errors='backslashreplace')}",
                hint="ls shows what it holds",
            )
        node = found
    return node


async def ls(
    repository: Repository, snapshot: Snapshot, path: bytes = b"", *, is_recursive: bool = False
) -> AsyncIterator[Visited]:
    """What lies at that path: what is in it for a directory, with `is_recursive` at every depth; else the node itself.

    Raises: PathMissingError, DamagedError.
    """
    trees = Trees(repository)
    node = await find_node(trees, snapshot, path)
    whole = b"/".join(split(path))
    if node.type != "dir" or node.subtree is None:
        yield Visited(whole, node)
        return
    async for visited in walk(trees, node.subtree, path=whole, enters=lambda _visited: is_recursive):
        yield visited
