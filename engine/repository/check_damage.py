"""From a damage to the snapshots and paths that it touches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from engine.errors import DamagedError
from engine.format import names
from engine.format.ids import BlobType, parse_id
from engine.model.results import Damage
from engine.repository import check_trees
from engine.repository.check_trees import BlobSize, Fault, NodeOutline
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.repository.tree_sweep import BlobMap

PATHS: Final = 1_000
"""Paths that one damage names; more are only counted."""
BLOBS: Final = 1_000
"""Blobs that one damage names."""


@dataclass(slots=True)
class Finding:
    """Something damaged, before it is known what that touches."""

    file: str
    """The pack's, index file's or snapshot's id in hex; empty where it is no file's."""
    message: str
    lost: set[tuple[BlobType, bytes]] = field(default_factory=set)
    """Blobs that cannot be read any more."""
    fault: Fault | None = None
    """Nodes of which this is wrong are touched."""
    backups: list[str] = field(default_factory=list)
    paths: list[bytes] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def touch(self, path: bytes) -> None:
        """Notes a path, once."""
        if hash(path) not in self._seen:
            self._seen.add(hash(path))
            if len(self.paths) < PATHS:
                self.paths.append(path)

    def as_damage(self) -> Damage:
        """The finding as a result."""
        more = len(self._seen) - len(self.paths)
        return Damage(
            pack=self.file,
            message=f"{self.message} ({more} paths more than are named)" if more > 0 else self.message,
            blobs=tuple(sorted(blob_id.hex() for _, blob_id in self.lost))[:BLOBS],
            backups=tuple(self.backups),
            paths=tuple(path.decode(errors="backslashreplace") for path in sorted(self.paths)),
        )


@dataclass(slots=True)
class _Frame:
    """A tree whose subtrees are being looked at."""

    tree_id: bytes
    bits: int
    waiting: Iterator[bytes]


class Tracer:
    """Finds out which snapshots and paths findings touch. Each finding is a bit; a tree's bits are those of all that lies below it."""

    def __init__(
        self, repository: Repository, findings: Sequence[Finding], suspect_links: Set[tuple[int, int]]
    ) -> None:
        self._repository = repository
        self._findings = findings
        self._suspect_links = suspect_links
        self._size_of: BlobSize = repository.index.plain_bytes
        self._blobs: dict[tuple[BlobType, bytes], int] = {}
        self._faults: dict[Fault, int] = {}
        for number, finding in enumerate(findings):
            for blob in finding.lost:
                self._blobs[blob] = self._blobs.get(blob, 0) | 1 << number
            if finding.fault is not None:
                self._faults[finding.fault] = self._faults.get(finding.fault, 0) | 1 << number
        self._clean = BlobMap(repository.index)
        self._touched: dict[bytes, int] = {}

    async def trace(self, named: Named) -> None:
        """Notes the snapshot and its paths in the findings that touch it."""
        root = named.snapshot.tree
        bits = await self._all_bits(root)
        links: dict[tuple[int, int], dict[int, list[bytes]]] = {}
        if bits:
            self._touch(self._lost_tree(root), b"/")
            await self._name_paths(root, links)
        link_bits = self._faults.get(Fault.LINKS, 0)
        bits &= ~link_bits
        for contents in links.values():
            if len(contents) > 1:
                bits |= link_bits
                for path in chain.from_iterable(contents.values()):
                    self._touch(link_bits, path)
        for number, finding in enumerate(self._findings):
            if bits >> number & 1:
                finding.backups.append(named.id)

    async def _all_bits(self, root: bytes) -> int:
        """The bits of a tree and all below it; each tree is looked at once for all snapshots."""
        known = self._known(root)
        if known is not None:
            return known
        frames = [await self._frame(root)]
        while True:
            frame = frames[-1]
            for subtree in frame.waiting:
                known = self._known(subtree)
                if known is None:
                    frames.append(await self._frame(subtree))
                    break
                frame.bits |= known
            else:
                self._remember(frames.pop())
                if not frames:
                    return frame.bits
                frames[-1].bits |= frame.bits

    async def _frame(self, tree_id: bytes) -> _Frame:
        nodes = await self._nodes(tree_id)
        bits = self._lost_tree(tree_id)
        for node in nodes:
            bits |= self._node_bits(node)
        return _Frame(tree_id, bits, iter([parse_id(node.subtree) for node in nodes if node.subtree]))

    def _known(self, tree_id: bytes) -> int | None:
        if tree_id in self._touched:
            return self._touched[tree_id]
        position = self._repository.index.position("tree", tree_id)
        return 0 if position is not None and self._clean.has_position(position) else None

    def _remember(self, frame: _Frame) -> None:
        if frame.bits:
            self._touched[frame.tree_id] = frame.bits
        elif self._clean.add("tree", frame.tree_id) is None:
            self._touched[frame.tree_id] = 0

    async def _name_paths(self, root: bytes, links: dict[tuple[int, int], dict[int, list[bytes]]]) -> None:
        """Goes down to all that is touched below a tree, notes its path, and gathers suspect links by their contents."""
        waiting = [(root, b"")]
        while waiting:
            tree_id, folder = waiting.pop()
            for node in await self._nodes(tree_id):
                bits = self._node_bits(node)
                subtree = parse_id(node.subtree) if node.subtree else None
                below = self._touched.get(subtree, 0) if subtree is not None else 0
                if not bits and not below:
                    continue
                path = folder + b"/" + names.unquote(node.name)
                if (key := node.link_key) in self._suspect_links and key is not None:
                    links.setdefault(key, {}).setdefault(node.link_content, []).append(path)
                self._touch(bits & ~self._faults.get(Fault.LINKS, 0), path)
                if subtree is not None and below:
                    self._touch(self._lost_tree(subtree), path)
                    waiting.append((subtree, path))

    async def _nodes(self, tree_id: bytes) -> list[NodeOutline]:
        """The nodes of a tree; none where it cannot be read, which is a finding of its own."""
        if self._lost_tree(tree_id):
            return []
        try:
            return check_trees.decode(await self._repository.load_blob("tree", tree_id))
        except DamagedError:
            return []

    def _lost_tree(self, tree_id: bytes) -> int:
        return self._blobs.get(("tree", tree_id), 0)

    def _node_bits(self, node: NodeOutline) -> int:
        bits = 0
        for each in node.content or ():
            bits |= self._blobs.get(("data", parse_id(each)), 0)
        if self._faults:
            fault = check_trees.node_fault(node, self._size_of)
            bits |= self._faults.get(fault, 0) if fault is not None else 0
            if node.link_key in self._suspect_links:
                bits |= self._faults.get(Fault.LINKS, 0)
        return bits

    def _touch(self, bits: int, path: bytes) -> None:
        number = 0
        while bits:
            if bits & 1:
                self._findings[number].touch(path)
            bits >>= 1
            number += 1
