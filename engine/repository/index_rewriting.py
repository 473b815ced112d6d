"""Writing index files anew, for prune and repair: first all new ones, and only then the old ones go.

In between, packs stand in two index files, which readers allow. No moment leaves a pack that is needed in none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence, Set
from typing import Final

from engine.format import index as index_format
from engine.format.pack import BlobEntry
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository
from engine.storages.base import Kind

_LOOK_EVERY: Final = 50
"""Removals between two looks at the own lock file."""

PackEntries = tuple[bytes, Sequence[BlobEntry]]


async def replace(
    repository: Repository, lock: HeldLock, packs: AsyncIterator[PackEntries], replaced: Sequence[str]
) -> list[str]:
    """Writes index files for `packs`, then removes the index files `replaced`; returns the new ones' names.

    Raises: LockLostError, StorageError: what was written until then does no harm.
    """
    written: list[str] = []
    async for group in _full_groups(packs):
        await lock.assert_held()
        written.append(await repository.save_unpacked(Kind.INDEX, index_format.encode(group)))
    await remove(repository, lock, Kind.INDEX, [name for name in replaced if name not in written])
    return written


async def leave_out(repository: Repository, lock: HeldLock, leaving: Set[bytes], old: Set[bytes]) -> None:
    """Replaces those of the index files `old` that name packs which are `leaving`, and merges those that are not full. Raises: as `replace`."""
    blobs = dict.fromkeys(old, 0)
    replaced: set[bytes] = set()
    for info in repository.index.packs():
        if info.index_id in blobs:
            blobs[info.index_id] += info.data_blobs + info.tree_blobs
            if info.id in leaving:
                replaced.add(info.index_id)
    small = {index_id for index_id, count in blobs.items() if count < index_format.FULL_BLOBS}
    if len(small | replaced) > 1:
        replaced |= small
    if not replaced:
        return

    async def staying() -> AsyncIterator[PackEntries]:
        for info, entries in repository.index.packs_with_blobs():
            if info.index_id in replaced and info.id not in leaving:
                yield info.id, entries

    await replace(repository, lock, staying(), sorted(each.hex() for each in replaced))


async def remove(repository: Repository, lock: HeldLock, kind: Kind, names: Iterable[str]) -> None:
    """Removes objects, looking at the lock now and then. Raises: LockLostError, StorageError."""
    for number, name in enumerate(names):
        if number % _LOOK_EVERY == 0:
            await lock.assert_held()
        await repository.delete(kind, name)


async def _full_groups(packs: AsyncIterator[PackEntries]) -> AsyncIterator[list[PackEntries]]:
    """Packs by as many as fill an index file. A pack that comes twice goes in once."""
    seen: set[bytes] = set()
    group: list[PackEntries] = []
    blobs = 0
    async for pack_id, entries in packs:
        if pack_id in seen:
            continue
        seen.add(pack_id)
        group.append((pack_id, entries))
        blobs += len(entries)
        if blobs >= index_format.FULL_BLOBS:
            yield group
            group, blobs = [], 0
    if group:
        yield group
