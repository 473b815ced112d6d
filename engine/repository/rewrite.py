"""Erasing a path from snapshots: trees on the way to it are written anew, all others stay as they are, as restic's `rewrite --exclude` does.

Three steps, so that nothing changes before all is known: `plan` finds the path in each snapshot and reckons the new trees; `still_needed`
tells which of its content other files hold, too; `apply` writes trees, index and snapshots, and only then removes the old snapshots. What was
erased stays in the packs until a prune.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.errors import DamagedError, RefusedError
from engine.events import Emit, Progress, ignore
from engine.format import tree
from engine.format.ids import digest
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository import forget, reader, tree_sweep, writer
from engine.repository.id_table import IdTable
from engine.repository.lock import HeldLock
from engine.repository.reader import Named, Trees
from engine.repository.repository import Repository
from engine.repository.tree_sweep import BlobMap


@dataclass(slots=True)
class _Removed:
    """What lies at and below the path in one tree."""

    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Cut:
    """How a tree on the way is made anew out of an old one."""

    old: bytes
    name: bytes
    below: bytes | None
    """The new tree of the folder `name`; None where `name` itself goes."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One snapshot that holds the path, and what it will be without."""

    named: Named
    tree: bytes
    files: int
    size_bytes: int


@dataclass(slots=True)
class RewritePlan:
    """What erasing a path would do. Holds an id for each blob of the path's content, and one for each tree that is made anew."""

    path: bytes
    erasures: list[Erasure] = field(default_factory=list)
    untouched: list[Named] = field(default_factory=list)
    """Snapshots that do not hold the path."""
    content: IdTable = field(default_factory=IdTable)
    """The blobs of all that is erased."""
    cuts: dict[bytes, _Cut] = field(default_factory=dict)
    """By the new tree's id."""


async def plan(repository: Repository, snapshots: Sequence[Named], path: bytes) -> RewritePlan:
    """Looks for the path, from the root without a slash at its ends, in each snapshot. The index is loaded by the caller.

    Raises: DamagedError, naming a tree on the way, or below, that cannot be read: then nobody knows what would be erased.
    """
    parts = path.split(b"/")
    planner = _Planner(repository, RewritePlan(path), parts)
    for named in snapshots:
        await planner.look_in(named)
    return planner.plan


async def still_needed(repository: Repository, planned: RewritePlan, others: Iterable[bytes]) -> int:
    """How many bytes of what is erased other files hold as well: of the rewritten snapshots, and of those whose trees are `others`.

    They stay in the repository after a prune. Reads every tree once. Raises: DamagedError, StorageError.
    """
    trees = Trees(repository)
    needed = BlobMap(repository.index)
    found_bytes = 0

    async def visit(tree_id: bytes, blob: bytes | DamagedError) -> list[bytes]:
        nonlocal found_bytes
        if isinstance(blob, DamagedError):
            if tree_id not in planned.cuts:
                raise blob
            blob = await _made(trees, planned, tree_id)
        named = tree_sweep.references(blob)
        for blob_id in named.content:
            if planned.content.find(blob_id) >= 0 and needed.add("data", blob_id):
                location = repository.index.lookup("data", blob_id)
                assert location is not None
                found_bytes += location.plain_length
        return named.subtrees

    roots = {each.tree for each in planned.erasures}
    await tree_sweep.sweep(repository, [*roots, *(set(others) - roots)], visit)
    return found_bytes


async def apply(
    repository: Repository, lock: HeldLock, planned: RewritePlan, *, emit: Emit = ignore
) -> dict[str, str]:
    """Writes the new snapshots, then removes the old ones; gives old id -> new id. The old id stays in the new one's field `original`.

    Interrupted, every snapshot is there in its old form or its new one, or in both; run again, it goes on.
    Raises: RefusedError where the lock is not exclusive; LockLostError; DamagedError; StorageError.
    """
    if not lock.exclusive:
        raise RefusedError("erasing from snapshots needs an exclusive lock")
    trees = Trees(repository)
    renamed: dict[str, str] = {}
    async with writer.open_session([(repository, lock)], clock=repository.clock, emit=emit) as session:
        for tree_id in planned.cuts:
            await session.save_tree_blob(await _made(trees, planned, tree_id), tree_id)
        for each in planned.erasures:
            (committed,) = await session.commit(_without(each))
            assert committed.snapshot_id is not None
            renamed[each.named.id] = committed.snapshot_id
            emit(Progress("rewrite", done_files=len(renamed), total_files=len(planned.erasures)))
    await forget.forget(repository, list(renamed), lock, emit=emit)
    return renamed


def _without(erasure: Erasure) -> Snapshot:
    old = erasure.named.snapshot
    summary = None
    if old.summary is not None:
        summary = dict(old.summary)
        for name, less in (
            ("total_files_processed", erasure.files),
            ("total_bytes_processed", erasure.size_bytes),
        ):
            count = summary.get(name)
            if isinstance(count, int):
                summary[name] = max(count - less, 0)
    original = old.original or bytes.fromhex(erasure.named.id)
    return dataclasses.replace(old, tree=erasure.tree, original=original, parent=None, summary=summary)


async def _made(trees: Trees, planned: RewritePlan, tree_id: bytes) -> bytes:
    cut = planned.cuts[tree_id]
    return _cut_tree(await trees.load(cut.old), cut.name, cut.below)


def _cut_tree(blob: bytes, name: bytes, below: bytes | None) -> bytes:
    """The tree without the node `name`, or with another tree below it. All else stays byte for byte, also what we do not understand."""
    kept = []
    for text, node in zip(tree.split_nodes(blob), tree.decode_tree(blob, strict=False), strict=True):
        if node.name != name:
            kept.append(text)
        elif below is not None:
            assert node.subtree is not None
            # Quotes in a name or a value are escaped: this stands where it means the folder's tree.
            kept.append(
                text.replace(
                    b'"subtree":"%b"' % node.subtree.hex().encode(), b'"subtree":"%b"' % below.hex().encode()
                )
            )
    return tree.encode_tree(kept)


class _Planner:
    """Looks at each tree on the way once, however many snapshots share it."""

    def __init__(self, repository: Repository, planned: RewritePlan, parts: Sequence[bytes]) -> None:
        self.plan = planned
        self._trees = Trees(repository)
        self._parts = parts
        self._seen: dict[tuple[bytes, int], tuple[bytes, _Removed] | None] = {}
        self._tallied: dict[bytes, _Removed] = {}

    async def look_in(self, named: Named) -> None:
        """Adds the snapshot to the plan. Raises: DamagedError."""
        found = await self._cut(named.snapshot.tree, 0)
        if found is None:
            self.plan.untouched.append(named)
        else:
            new, removed = found
            self.plan.erasures.append(Erasure(named, new, removed.files, removed.size_bytes))

    async def _cut(self, tree_id: bytes, depth: int) -> tuple[bytes, _Removed] | None:
        """The id that the tree will have, and what goes; None where it does not hold the rest of the path."""
        key = (tree_id, depth)
        if key in self._seen:
            return self._seen[key]
        self._seen[key] = None
        name = self._parts[depth]
        node = next((each for each in await self._trees.nodes(tree_id) if each.name == name), None)
        if node is None:
            return None
        below: bytes | None = None
        if depth == len(self._parts) - 1:
            removed = await self._tally(node)
        elif node.subtree is None:
            return None
        else:
            found = await self._cut(node.subtree, depth + 1)
            if found is None:
                return None
            below, removed = found
        made = _cut_tree(await self._trees.load(tree_id), name, below)
        new = digest(made)
        self.plan.cuts[new] = _Cut(tree_id, name, below)
        self._seen[key] = (new, removed)
        return new, removed

    async def _tally(self, node: Node) -> _Removed:
        if node.subtree is not None and node.subtree in self._tallied:
            return self._tallied[node.subtree]
        removed = _Removed()
        self._count(node, removed)
        if node.subtree is not None:
            async for visited in reader.walk(self._trees, node.subtree):
                self._count(visited.node, removed)
            self._tallied[node.subtree] = removed
        return removed

    def _count(self, node: Node, removed: _Removed) -> None:
        removed.files += node.type == "file"
        removed.size_bytes += node.size if node.type == "file" else 0
        for blob_id in node.content or ():
            self.plan.content.add(blob_id)
