"""The storages that misbehave do so as they say: crash tests prove nothing by faults that never strike."""

from __future__ import annotations

import asyncio

import pytest

from engine import errors
from engine.storages.base import Key, Kind
from tests.fakes.faulty_storage import Call, Fault, FaultyStorage, FullStorage, LaggingStorage, Mode
from tests.fakes.memory_storage import MemoryStorage

PACK = Key(Kind.PACK, "ab" * 32)
LOCK = Key(Kind.LOCK, "cd" * 32)
INDEX = Key(Kind.INDEX, "ef" * 32)


@pytest.mark.parametrize(
    ("mode", "left"),
    [(Mode.BEFORE, None), (Mode.AFTER, b"pack"), (Mode.TRUNCATED, b"pa"), (Mode.POWER_LOSS, None)],
)
async def test_a_put_fails_with_the_effect_that_its_mode_names(mode: Mode, left: bytes | None) -> None:
    """What lies there after a failed call is what crash tests are about."""
    memory = MemoryStorage()
    storage = FaultyStorage(memory, Fault(at=2, mode=mode))
    await storage.put(LOCK, [b"lock"])
    with pytest.raises(errors.StorageError):
        await storage.put(PACK, [b"pa", b"ck"])
    assert memory.objects.get(PACK) == left
    assert storage.calls == [Call("put", LOCK), Call("put", PACK)]


async def test_faults_count_only_the_calls_they_match() -> None:
    """The third index, not the third call."""
    storage = FaultyStorage(
        MemoryStorage(), Fault(at=2, methods={"put"}, kinds={Kind.INDEX}, error=errors.StorageFullError)
    )
    await storage.put(INDEX, [b"1"])
    await storage.put(PACK, [b"pack"])
    await storage.get(INDEX)
    with pytest.raises(errors.StorageFullError):
        await storage.put(INDEX, [b"2"])
    await storage.put(INDEX, [b"3"])
    assert (storage.count("put"), storage.count("put", Kind.INDEX)) == (4, 3)


async def test_corrupt_reads_differ_in_one_bit() -> None:
    """The smallest damage must be found."""
    storage = FaultyStorage(MemoryStorage(), Fault(at=1, mode=Mode.CORRUPT, methods={"get"}))
    await storage.put(PACK, [b"pack"])
    assert await storage.get(PACK) == b"pabk"
    assert await storage.get(PACK) == b"pack"


@pytest.mark.parametrize(("mode", "left"), [(Mode.CANCELLED, {}), (Mode.CANCELLED_AFTER, {PACK: b"pack"})])
async def test_a_cancellation_comes_down_through_groups_of_tasks(mode: Mode, left: dict[Key, bytes]) -> None:
    """A job is cancelled at its top; raising in a call alone would only end one task of its group, in silence."""
    memory, reached_end = MemoryStorage(), False

    async def job() -> None:
        nonlocal reached_end
        storage = FaultyStorage(memory, Fault(at=1, mode=mode), victim=asyncio.current_task())
        async with asyncio.TaskGroup() as outer:
            outer.create_task(in_a_group(storage))
        reached_end = True

    async def in_a_group(storage: FaultyStorage) -> None:
        async with asyncio.TaskGroup() as inner:
            inner.create_task(storage.put(PACK, [b"pack"]))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(job())
    assert task.cancelled()
    assert not reached_end
    assert memory.objects == left


async def test_after_a_power_cut_nothing_answers_until_it_is_restored() -> None:
    """The process is gone; the next one finds what was complete, and perhaps packs and locks that were removed."""
    memory = MemoryStorage()
    storage = FaultyStorage(memory, Fault(at=6, mode=Mode.POWER_LOSS))
    for key in (PACK, LOCK, INDEX):
        await storage.put(key, [b"there"])
    await storage.delete(PACK)
    await storage.delete(INDEX)
    for _ in range(2):
        with pytest.raises(errors.StorageError, match="no power"):
            await storage.put(PACK, [b"pack"])
    await storage.restore_power(brings_back_deleted=True)
    assert memory.objects == {LOCK: b"there", PACK: b"there"}


async def test_a_held_call_waits_for_its_gate() -> None:
    """Two writers are made to meet at a chosen point."""
    storage = FaultyStorage(MemoryStorage())
    gate = storage.hold(Fault(at=1, methods={"put"}))
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(storage.put(PACK, [b"pack"]))
        await gate.arrived.wait()
        assert not writing.done()
        gate.opened.set()
    assert await storage.get(PACK) == b"pack"


async def test_a_lagging_storage_lists_late_and_reads_at_once() -> None:
    """Some object storages do."""
    storage = LaggingStorage(MemoryStorage())
    await storage.put(PACK, [b"pack"])
    assert [listed async for listed in storage.list(Kind.PACK)] == []
    assert await storage.get(PACK) == b"pack"
    storage.catch_up()
    assert [listed.key async for listed in storage.list(Kind.PACK)] == [PACK]


async def test_a_full_storage_takes_again_what_there_is_room_for() -> None:
    """Prune makes room, and the next backup fits."""
    memory = MemoryStorage()
    storage = FullStorage(memory, 10)
    await storage.put(PACK, [bytes(8)])
    with pytest.raises(errors.StorageFullError):
        await storage.put(INDEX, [bytes(3)])
    assert (await storage.space()).free_bytes == 2
    assert INDEX not in memory.objects
    await storage.delete(PACK)
    await storage.put(INDEX, [bytes(10)])
