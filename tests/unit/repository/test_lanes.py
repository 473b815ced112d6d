"""One repository being fed: packs before the index, the index before the snapshot, and nothing after the lock is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.errors import LockLostError, StorageUnreachableError
from engine.format import pack
from engine.format.ids import digest
from engine.repository import lanes, lock
from engine.repository.lanes import UPLOADS, Lane
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import make, reopen, snapshot


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


@asynccontextmanager
async def _lane(opened: Repository, clock: FakeClock | None = None) -> AsyncIterator[Lane]:
    async with lock.hold(opened, exclusive=False, clock=opened.clock) as held, asyncio.TaskGroup() as group:
        lane = Lane(opened, held, clock or FakeClock(), 1 << 20)
        for _ in range(UPLOADS):
            group.create_task(lane.upload())
        try:
            yield lane
        finally:
            lane.end()


def _pack(opened: Repository, size_bytes: int = 500) -> pack.Pack:
    plain = os.urandom(size_bytes)
    builder = pack.PackBuilder(opened.sealer())
    builder.add("data", digest(plain), opened.sealer().seal(plain), None)
    return builder.finish()


def _kinds(storage: FaultyStorage) -> list[Kind]:
    puts = [call.key.kind for call in storage.calls if call.method == "put" and call.key is not None]
    return [kind for kind in puts if kind in (Kind.PACK, Kind.INDEX, Kind.SNAPSHOT)]


async def test_packs_come_before_the_index_and_the_index_before_the_snapshot() -> None:
    """Whatever ends the backup, nothing points at what is not there."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    async with _lane(opened) as lane:
        for _ in range(5):
            await lane.offer(_pack(opened))
        await lane.finish([])
        assert await lane.commit(snapshot(b"\1" * 32), None)
    assert _kinds(storage) == [*[Kind.PACK] * 5, Kind.INDEX, Kind.SNAPSHOT]


async def test_an_index_is_written_every_two_minutes() -> None:
    """A backup of hours that is killed must not lose hours."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    clock = FakeClock()
    async with _lane(opened, clock) as lane:
        for _ in range(3):
            await lane.offer(_pack(opened))
            clock.advance(lanes.INDEX_INTERVAL_S + 1)
            while storage.count("put", Kind.PACK) > storage.count("put", Kind.INDEX):  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert len((await reopen(storage)).index.index_ids) == storage.count("put", Kind.INDEX)
        await lane.finish([])
    assert storage.count("put", Kind.INDEX) == 3


async def test_no_more_than_a_few_packs_are_in_memory() -> None:
    """A slow storage makes the feeding wait."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    gate = storage.hold(Fault(at=1, methods={"put"}, kinds={Kind.PACK}))
    offered = 0

    async def feed(lane: Lane) -> None:
        nonlocal offered
        for _ in range(20):
            await lane.offer(_pack(opened))
            offered += 1

    async with _lane(opened) as lane, asyncio.TaskGroup() as group:
        group.create_task(feed(lane))
        await gate.arrived.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert UPLOADS <= offered <= 2 * UPLOADS
        gate.opened.set()
    assert offered == 20


async def test_a_lane_that_failed_takes_everything_and_keeps_nothing() -> None:
    """The other repositories go on; nobody waits for the one that failed."""
    storage = FaultyStorage(MemoryStorage(), Fault(at=2, times=99, methods={"put"}, kinds={Kind.PACK}))
    opened = await make(storage)
    async with _lane(opened) as lane:
        for _ in range(10):
            await lane.offer(_pack(opened))
        await lane.finish([])
        assert isinstance(lane.error, StorageUnreachableError)
        assert await lane.commit(snapshot(b"\1" * 32), None) is None
    assert storage.count("put", Kind.SNAPSHOT) == 0
    assert lane.statistics.packs == 1


async def test_an_index_that_failed_is_written_again_under_its_name() -> None:
    """The answer was lost, the file was there: a second one would name each pack twice."""
    inner = MemoryStorage()
    storage = FaultyStorage(inner, Fault(at=1, mode=Mode.AFTER, methods={"put"}, kinds={Kind.INDEX}))
    opened = await make(storage)
    async with _lane(opened) as lane:
        await lane.offer(_pack(opened))
        await lane.finish([])
        assert lane.error is not None
        await lane.rescue()
    assert sum(key.kind is Kind.INDEX for key in inner.objects) == 1
    assert storage.count("put", Kind.INDEX) == 2


async def test_nothing_points_at_packs_once_the_lock_is_lost() -> None:
    """A prune that took the lock away may have deleted them."""
    inner = MemoryStorage()
    opened = await make(inner)
    async with _lane(opened) as lane:
        await lane.offer(_pack(opened))
        for key in [key for key in inner.objects if key.kind is Kind.LOCK]:
            del inner.objects[key]
        await lane.finish([])
        assert isinstance(lane.error, LockLostError)
        await lane.rescue()
        assert await lane.commit(snapshot(b"\1" * 32), None) is None
    assert not any(key.kind in (Kind.INDEX, Kind.SNAPSHOT) for key in inner.objects)
    assert Key(Kind.CONFIG) in inner.objects
