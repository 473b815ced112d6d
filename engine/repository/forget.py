"""Forgetting: snapshots are removed, and nothing else. What they alone needed stays until a prune."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import RefusedError
from engine.events import Emit, Progress, ignore
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository
from engine.storages.base import Kind


async def forget(
    repository: Repository, snapshot_ids: Sequence[str], lock: HeldLock, *, emit: Emit = ignore
) -> list[str]:
    """Removes the snapshots of these full ids, one after the other; returns those removed. One that is gone already is no error.

    Interrupted, it has removed some of them: the repository is whole after each.
    Raises: RefusedError where the lock is not exclusive; LockLostError; StorageError.
    """
    if not lock.exclusive:
        raise RefusedError("forgetting snapshots needs an exclusive lock")
    removed: list[str] = []
    for snapshot_id in snapshot_ids:
        await lock.assert_held()
        await repository.delete(Kind.SNAPSHOT, snapshot_id)
        removed.append(snapshot_id)
        emit(Progress("forget", done_files=len(removed), total_files=len(snapshot_ids), current=snapshot_id))
    return removed
