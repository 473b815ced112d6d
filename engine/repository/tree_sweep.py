"""Every tree of a repository once, in whatever order reads best: for prune, check and copy, which do not care for paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from engine.errors import DamagedError
from engine.events import Emit, Progress, ignore
from engine.format import strict_json
from engine.format.ids import BlobType, Buffer, parse_id
from engine.repository import fetching
from engine.repository.blobs import Wanted
from engine.repository.index import Index
from engine.repository.repository import Repository

_BATCH: Final = 1024
"""Trees that are asked for together, so that those of one pack come in one request."""
_BUDGET_BYTES: Final = 32 << 20

Visit = Callable[[bytes, bytes | DamagedError], Awaitable[Iterable[bytes]]]
"""Takes a tree's id, and its JSON or why there is none; gives the trees below it."""


class BlobMap:
    """One bit for each blob of an index, by its position: half a megabyte for four million blobs."""

    __slots__ = ("_bits", "index")

    def __init__(self, index: Index) -> None:
        self.index = index
        self._bits = bytearray((index.blob_count + 7) // 8)

    def add(self, type_: BlobType, blob_id: bytes) -> bool | None:
        """Marks a blob; whether it was not marked before, or None where the index does not have it."""
        position = self.index.position(type_, blob_id)
        return None if position is None else self.add_position(position)

    def add_position(self, position: int) -> bool:
        """Marks the blob whose first place has that number; whether it was not marked before."""
        byte, bit = position >> 3, 1 << (position & 7)
        if self._bits[byte] & bit:
            return False
        self._bits[byte] |= bit
        return True

    def remove_position(self, position: int) -> None:
        """Takes the mark away."""
        self._bits[position >> 3] &= ~(1 << (position & 7))

    def has_position(self, position: int) -> bool:
        """Whether the blob whose first place has that number is marked."""
        return bool(self._bits[position >> 3] & 1 << (position & 7))

    def count(self) -> int:
        """How many are marked."""
        return int.from_bytes(self._bits).bit_count()


async def sweep(
    repository: Repository,
    roots: Iterable[bytes],
    visit: Visit,
    *,
    seen: BlobMap | None = None,
    step: str = "",
    emit: Emit = ignore,
) -> int:
    """Gives each tree that can be reached from `roots` to `visit`, once; returns how many there were.

    One that no index file names is given as often as it is met. Trees in `seen` are passed over, and those given are marked there. Memory
    is a bit a blob, and the ids of the trees that wait. `visit` is called from several tasks at once.
    """
    seen = BlobMap(repository.index) if seen is None else seen
    waiting = list(roots)
    done = 0
    while waiting:
        batch: list[Wanted] = []
        while waiting and len(batch) < _BATCH:
            tree_id = waiting.pop()
            is_new = seen.add("tree", tree_id)
            if is_new:
                batch.append(repository.wanted("tree", tree_id))
            elif is_new is None:
                waiting.extend(await visit(tree_id, _missing(repository, tree_id)))

        async def take(blob: Wanted, plain: bytes | DamagedError) -> None:
            waiting.extend(await visit(blob.id, plain))

        await fetching.load_blobs(repository, batch, take, budget_bytes=_BUDGET_BYTES)
        done += len(batch)
        if step:
            emit(Progress(step, done_files=done, total_files=done + len(waiting)))
    return done


def _missing(repository: Repository, tree_id: bytes) -> DamagedError:
    return DamagedError(f"the tree blob {tree_id.hex()} is missing from the index of {repository.location}")


class References(NamedTuple):
    """The blobs that a tree names."""

    content: list[bytes]
    subtrees: list[bytes]


class _NodeJson(msgspec.Struct, gc=False):
    type: str = ""
    content: list[str] | None = None
    subtree: str | None = None


class _TreeJson(msgspec.Struct, gc=False):
    nodes: list[_NodeJson] | None = None


_DECODER: Final = msgspec.json.Decoder(_TreeJson)


def references(blob: Buffer) -> References:
    """What a tree names, without looking at anything else in it. Raises: DamagedError."""
    found = References([], [])
    for node in strict_json.decode(_DECODER, blob, "tree").nodes or ():
        if node.content:
            found.content.extend(map(parse_id, node.content))
        if node.subtree:
            found.subtrees.append(parse_id(node.subtree))
    return found
