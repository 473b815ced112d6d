"""What a storage can do and holds: its test, and its usage."""

from __future__ import annotations

import dataclasses
import datetime
import os

from engine.clock import Clock
from engine.errors import DamagedError, StorageError
from engine.model.results import StorageTest, StorageUsage
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, OpenStorage

_TEST_BYTES = 16 << 20
GROWTH_WINDOW = datetime.timedelta(days=30)
_LEAST_SPAN = datetime.timedelta(days=2)
"""Of a first backup alone nobody can tell how a storage grows."""


async def test(name: str, storage: OpenStorage, clock: Clock) -> StorageTest:
    """Writes an object, lists it, reads it back, deletes it: a pack that no index names, which readers pass over and a prune would remove.

    Raises: StorageError, DamagedError where it comes back changed.
    """
    content = os.urandom(_TEST_BYTES)
    key = Key(Kind.PACK, os.urandom(32).hex())
    began = clock.monotonic()
    try:
        await storage.put(key, [content])
        written = clock.monotonic()
        back = await storage.get(key)
        read = clock.monotonic()
        await storage.get(key, 0, 1)
        latency_s = clock.monotonic() - read
        if not [each async for each in storage.list(Kind.PACK) if each.key == key]:
            raise StorageError(f"{storage.location} does not list what was just written to it")
    finally:
        await storage.delete(key)
    if back != content:
        raise DamagedError(
            f"{storage.location} gave back other bytes than were written", hint="do not keep backups there"
        )
    space = await storage.space()
    upload_s, download_s = max(written - began, 1e-9), max(read - written, 1e-9)
    return StorageTest(name, latency_s, _TEST_BYTES / upload_s, _TEST_BYTES / download_s, space.free_bytes)


def with_growth(usage: StorageUsage, added_bytes: int, span: datetime.timedelta | None) -> StorageUsage:
    """The same with what backups of that span added, and how long the room lasts at that pace."""
    if span is None or span < _LEAST_SPAN:
        return usage
    per_day = added_bytes / (span / datetime.timedelta(days=1))
    days = usage.free_bytes / per_day if per_day > 0 and usage.free_bytes is not None else None
    return dataclasses.replace(usage, growth_bytes_per_day=per_day, days_until_full=days)


async def usage(name: str, repository: Repository, backups: int) -> StorageUsage:
    """Adds up what lies there, and what the snapshots hold in plain bytes."""
    used = 0
    for kind in Kind:
        async for each in repository.storage.list(kind):
            used += each.size_bytes
    raw = 0
    for _, snapshot in await repository.snapshots(on_damaged=lambda _name, _error: None):
        raw += int((snapshot.summary or {}).get("total_bytes_processed", 0))
    space = await repository.storage.space()
    return StorageUsage(name, used, raw, raw / used if used else 0.0, space.free_bytes, backups)
