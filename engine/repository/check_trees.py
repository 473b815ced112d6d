"""Checking trees: that each node is one that can be restored, that its blobs are in the index, and that it says the truth about them.

Three things that restic's own check passes restore wrong data, and are looked for here: Unix mode bits where Go's FileMode has its own,
hard links whose (inode, device) other files have too, and sizes that are not those of the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from operator import lt
from typing import Final

import msgspec

from engine.errors import DamagedError
from engine.format import names, strict_json, tree
from engine.format.ids import BlobType, parse_id
from engine.repository.index import Index

NAMED_BLOBS: Final = 10_000
"""Blobs missing from the index that are kept by id; more are only counted."""

_UNIX_BITS: Final = 0o177000
"""st_mode's type and set-user, set-group, sticky bits. Go's FileMode has the permissions below them and all else above (1 << 19 and up)."""
_TIME: Final = re.compile(rb'"[mac]time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"')


class Fault(StrEnum):
    """What is wrong with a node."""

    UNIX_MODE = (
        "modes hold Unix bits where Go's FileMode belongs: they restore without setuid, setgid and sticky"
    )
    SIZE = "sizes are not those of the content"
    INVALID = "nodes are not valid: they cannot be restored"
    LINKS = "files with other contents have the same inode and device: they restore as one file"


class NodeOutline(msgspec.Struct, gc=False):
    """A node, as far as a check looks at it."""

    name: str
    type: str = ""
    mode: int = 0
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    content: list[str] | None = None
    subtree: str | None = None

    @property
    def link_key(self) -> tuple[int, int] | None:
        """What restic links files by; None for all that it does not link."""
        return (self.device_id, self.inode) if self.links > 1 and self.type == "file" else None

    @property
    def link_content(self) -> int:
        """A number for the content: two that differ are of different contents."""
        return hash((self.size, *(self.content or ())))


class _TreeJson(msgspec.Struct, gc=False):
    nodes: list[NodeOutline] | None = None


_DECODER: Final = msgspec.json.Decoder(_TreeJson)
BlobSize = Callable[[BlobType, bytes], int | None]


def decode(blob: bytes) -> list[NodeOutline]:
    """The nodes of a tree. Raises: DamagedError where it is none, or holds a name that no directory can hold."""
    nodes = strict_json.decode(_DECODER, blob, "tree").nodes or []
    joined = "\0".join([node.name for node in nodes])
    if "/" in joined or "\\" in joined or not all(node.name.strip(".") for node in nodes):
        tree.decode_tree(blob, strict=False)
    if len(_TIME.findall(blob)) != 3 * len(nodes):
        tree.decode_tree(blob, strict=True)
    return nodes


def is_ordered(nodes: Sequence[NodeOutline]) -> bool:
    """Whether the names ascend as restic writes them, none twice."""
    quoted = [node.name for node in nodes]
    if "\\" not in "".join(quoted):
        return all(map(lt, quoted, quoted[1:]))
    return all(before < after for before, after in pairwise(map(names.unquote, quoted)))


def node_fault(node: NodeOutline, size_of: BlobSize) -> Fault | None:
    """What is wrong with one node, whatever else there is in the repository. A blob that is missing makes no fault of its own.

    Raises: DamagedError where one of its ids is none.
    """
    if node.type == "file":
        if node.content is None or min(node.size, node.links, node.inode) < 0:
            return Fault.INVALID
        sizes = [size_of("data", parse_id(each)) for each in node.content]
        if None not in sizes and sum(filter(None, sizes)) != node.size:
            return Fault.SIZE
    elif node.type == "dir":
        if not node.subtree:
            return Fault.INVALID
    elif node.type not in tree.TYPES:
        return Fault.INVALID
    return Fault.UNIX_MODE if node.mode & _UNIX_BITS else None


@dataclass(slots=True)
class TreeFindings:
    """What checking all trees showed."""

    trees: int = 0
    faulty: dict[Fault, set[bytes]] = field(default_factory=dict)
    """Trees with nodes of which that is wrong."""
    unreadable: dict[bytes, str] = field(default_factory=dict)
    """Trees whose JSON is not a tree's, though their hash is right."""
    lost: dict[bytes, str] = field(default_factory=dict)
    """Trees that cannot be read: missing, or damaged in their pack."""
    missing: set[tuple[BlobType, bytes]] = field(default_factory=set)
    """Blobs that trees name and no index file does; the first NAMED_BLOBS of them."""
    missing_count: int = 0
    unordered: int = 0
    suspect_links: set[tuple[int, int]] = field(default_factory=set)
    """(device, inode) that stand for different contents somewhere: damage only where that is in one snapshot."""


class TreeChecker:
    """Checks trees as they come, each once. For one thread."""

    def __init__(self, index: Index, packs: set[bytes] | None = None) -> None:
        """Where `packs` is given, the packs of all blobs that are met are put there."""
        self.findings = TreeFindings()
        self._index = index
        self._packs = packs
        self._links: dict[tuple[int, int], int] = {}

    def check(self, tree_id: bytes, blob: bytes | DamagedError) -> Iterable[bytes]:
        """Notes what is wrong with a tree; gives the trees below it."""
        findings = self.findings
        findings.trees += 1
        if isinstance(blob, DamagedError):
            if self._index.has("tree", tree_id):
                findings.lost[tree_id] = blob.message
            else:
                self._note_missing("tree", tree_id)
            return ()
        self._sized("tree", tree_id)
        try:
            nodes = decode(blob)
            return self._check_nodes(tree_id, nodes)
        except DamagedError as error:
            findings.unreadable[tree_id] = error.message
            return ()

    def _check_nodes(self, tree_id: bytes, nodes: list[NodeOutline]) -> list[bytes]:
        self.findings.unordered += not is_ordered(nodes)
        subtrees: list[bytes] = []
        for node in nodes:
            fault = node_fault(node, self._sized)
            if fault is not None:
                self.findings.faulty.setdefault(fault, set()).add(tree_id)
            if node.subtree:
                subtrees.append(parse_id(node.subtree))
            if node.links > 1 and (key := node.link_key) is not None:
                first = self._links.setdefault(key, node.link_content)
                if first != node.link_content:
                    self.findings.suspect_links.add(key)
        return subtrees

    def _sized(self, type_: BlobType, blob_id: bytes) -> int | None:
        size_bytes = self._index.plain_bytes(type_, blob_id)
        if size_bytes is None:
            self._note_missing(type_, blob_id)
        elif self._packs is not None:
            self._packs.update(place.pack for place in self._index.lookup_all(type_, blob_id))
        return size_bytes

    def _note_missing(self, type_: BlobType, blob_id: bytes) -> None:
        missing = self.findings.missing
        if (type_, blob_id) not in missing:
            self.findings.missing_count += 1
            if len(missing) < NAMED_BLOBS:
                missing.add((type_, blob_id))
