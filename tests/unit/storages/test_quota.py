"""A storage takes no more than it may hold."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import StorageFullError
from engine.storages.base import Key, Kind, Space
from engine.storages.quota import QuotaStorage
from tests.fakes.memory_storage import MemoryStorage


def pack(number: int) -> Key:
    """One of many."""
    return Key(Kind.PACK, f"{number:064x}")


async def filled() -> MemoryStorage:
    """Ten packs of ten bytes, and an index file that counts for nothing."""
    inner = MemoryStorage()
    for number in range(10):
        await inner.put(pack(number), [bytes(10)])
    await inner.put(Key(Kind.INDEX, "a" * 64), [bytes(1000)])
    return inner


async def test_packs_beyond_the_limit_are_refused_and_all_else_passes() -> None:
    """Without its index and snapshot what was written would be lost."""
    inner = await filled()
    storage = QuotaStorage(inner, 125)
    await storage.put(pack(10), [bytes(10), bytes(15)])
    with pytest.raises(StorageFullError, match="may hold"):
        await storage.put(pack(11), [b"x"])
    await storage.put(Key(Kind.INDEX, "b" * 64), [bytes(1000)])
    await storage.put(Key(Kind.SNAPSHOT, "b" * 64), [b"snapshot"])
    assert pack(11) not in inner.objects


async def test_many_at_once_do_not_pass_it_together() -> None:
    """Packs go up side by side."""
    inner = await filled()
    storage = QuotaStorage(inner, 150)
    results = []

    async def put(number: int) -> None:
        try:
            await storage.put(pack(number), [bytes(10)])
        except StorageFullError:
            results.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20, 30):
            group.create_task(put(number))
    assert len(results) == 5
    assert sum(len(stored) for key, stored in inner.objects.items() if key.kind is Kind.PACK) == 150


async def test_what_a_prune_freed_may_be_used_again() -> None:
    """The way out that the message names."""
    storage = QuotaStorage(await filled(), 100)
    with pytest.raises(StorageFullError):
        await storage.put(pack(10), [b"x"])
    await storage.delete(pack(0))
    await storage.put(pack(10), [bytes(10)])


async def test_the_room_is_what_is_left_of_the_limit() -> None:
    """A storage with terabytes that may use a hundred bytes."""
    storage = QuotaStorage(await filled(), 130)
    assert await storage.space() == Space(30, 130)
    assert await QuotaStorage(await filled(), 90).space() == Space(0, 90)
