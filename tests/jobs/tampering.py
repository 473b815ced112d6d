"""Backups that are whole, readable, vouched for by every checksum, and not what was backed up: what only a drill can see."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from engine.jobs import item_tree
from engine.jobs.item_tree import StoredItem
from engine.jobs.opening import open_repositories
from engine.model.backup import Copy
from engine.model.requests import Limits
from engine.repository import writer
from tests.fakes.small_repositories import tree_contents
from tests.jobs.world import World

Change = Callable[[bytes], bytes | None]
"""None: the item is left out."""
Undo = Callable[[], Awaitable[None]]


async def tamper(world: World, source: str, changes: Mapping[str, Change], storage: str = "first") -> Undo:
    """Puts another snapshot in the place of the newest backup's: the items whose path ends as a key says are changed, all else is as it was.

    Gives what puts the old one back.
    """
    engine = world.engine
    backup = await engine.show_backup(f"latest:{source}")
    (old,) = [each for each in backup.copies if each.storage == storage]
    context = engine._parts.context()
    definition = await context.catalog.storages.get(storage)
    async with open_repositories(context, [definition], is_exclusive=False, limits=Limits()) as found:
        (opened,) = found.opened
        snapshot = await opened.repository.load_snapshot(old.snapshot_id)
        contents = await tree_contents(opened.repository, snapshot.tree)
        places = [(opened.repository, opened.lock)]
        async with writer.open_session(places, clock=context.clock) as session:
            stored = []
            for path, (kind, data) in contents.items():
                if kind != "file":
                    continue
                text = path.decode()
                change = next((change for end, change in changes.items() if text.endswith(end)), bytes)
                changed = change(data)
                if changed is None:
                    continue
                result = await session.save_stream(_once(changed))
                stored.append(StoredItem(text, result.content, result.size_bytes))
            tree_id = await item_tree.save(session, stored, snapshot.time)
            (committed,) = await session.commit(dataclasses.replace(snapshot, tree=tree_id))
    assert committed.snapshot_id is not None
    backups = context.catalog.backups
    await backups.add_copy(backup.backup_id, Copy(storage, committed.snapshot_id))
    return lambda: backups.add_copy(backup.backup_id, old)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data


def cut(data: bytes) -> bytes:
    """A third of it is missing at its end."""
    return data[: len(data) * 2 // 3]


def emptied(data: bytes) -> bytes:
    """Nothing is left."""
    del data
    return b""
