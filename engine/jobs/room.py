"""Whether there is room for a restore of files: refused before anything is changed, and only where it is certain that it cannot fit."""

from __future__ import annotations

import os

from engine.errors import RestoreError
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository.patterns import Selection, split
from engine.repository.reader import Trees, Visited, walk
from engine.repository.repository import Repository


async def require(
    repository: Repository, snapshot: Snapshot, selection: Selection, free: int | None, place: str
) -> None:
    """Raises: RestoreError where less is free than what the backup has and `place` has not yet. `place` is a directory of this machine;
    empty where nothing lies at the target."""
    if free is None:
        return
    total = (snapshot.summary or {}).get("total_bytes_processed")
    if isinstance(total, int) and total <= free:
        return
    needed = await needed_bytes(repository, snapshot, selection, place)
    if needed > free:
        raise RestoreError(
            f"the target has {free} bytes free, and at least {needed} are needed; nothing was changed",
            hint="free some room, restore elsewhere, or choose less by --include",
        )


async def needed_bytes(repository: Repository, snapshot: Snapshot, selection: Selection, place: str) -> int:
    """At least so much: what is there already counts as room, holes and further names of a file as nothing."""
    trees = Trees(repository)
    linked: set[tuple[int, int]] = set()
    total = 0

    def enters(visited: Visited) -> bool:
        parts = split(visited.path)
        return not selection.excludes_path(parts) and (
            selection.selects(parts) or selection.may_include_below(parts)
        )

    async for visited in walk(trees, snapshot.tree, enters=enters):
        node = visited.node
        if node.type != "file" or not selection.selects(split(visited.path)):
            continue
        key = (node.device_id, node.inode)
        if node.links > 1:
            if key in linked:
                continue
            linked.add(key)
        total += max(0, _content_bytes(repository, node) - _there_bytes(place, visited.path))
    return total


def _content_bytes(repository: Repository, node: Node) -> int:
    """Each blob once: the blobs of a hole are all the same."""
    found = (repository.index.lookup("data", blob_id) for blob_id in set(node.content or ()))
    return sum(location.plain_length for location in found if location is not None)


def _there_bytes(place: str, path: bytes) -> int:
    if not place:
        return 0
    try:
        return os.lstat(os.path.join(os.fsencode(place), path)).st_size  # noqa: PTH118 -- bytes
    except OSError:
        return 0
