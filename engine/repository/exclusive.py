"""What only some snapshots of a repository hold."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import DamagedError
from engine.events import Emit, ignore
from engine.format.ids import BlobType
from engine.repository.prune import collect_used
from engine.repository.repository import Repository
from engine.repository.tree_sweep import references, sweep


async def exclusive_bytes(
    repository: Repository, roots: Iterable[bytes], others: Iterable[bytes], *, emit: Emit = ignore
) -> int:
    """The bytes, as stored, that the trees `roots` reach and none of the trees `others` does: without the first, a prune frees them.

    The index must be loaded. Reads every tree once, and changes nothing. Raises: DamagedError, StorageError.
    """
    used = await collect_used(repository, list(set(others)), emit=emit)
    found_bytes = 0

    def add(type_: BlobType, blob_id: bytes) -> None:
        nonlocal found_bytes
        location = repository.index.lookup(type_, blob_id)
        found_bytes += location.length if location is not None else 0

    async def visit(tree_id: bytes, tree: bytes | DamagedError) -> list[bytes]:
        if isinstance(tree, DamagedError):
            raise tree
        add("tree", tree_id)
        named = references(tree)
        for blob_id in named.content:
            if used.add("data", blob_id):
                add("data", blob_id)
        return named.subtrees

    await sweep(repository, set(roots), visit, seen=used)
    return found_bytes
