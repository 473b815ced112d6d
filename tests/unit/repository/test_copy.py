"""Copying between repositories: all of a snapshot comes over, nothing twice, and an interruption leaves nothing half."""

from __future__ import annotations

import pytest

from engine.errors import DamagedError
from engine.format.ids import digest
from engine.repository import copy, lock
from engine.repository.copy import Copied
from engine.repository.lock import HeldLock
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.storages.base import Kind
from tests.damaged import building
from tests.damaged.building import Small, text
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.changes import assert_whole, attempt, contents, names, run_locked

pytestmark = pytest.mark.looptime


async def copied(source: MemoryStorage, target: MemoryStorage, clock: LoopClock) -> Copied:
    """Copies all snapshots."""
    opened = await building.reopen(target, clock)
    async with lock.hold(opened, exclusive=False, clock=clock) as held:
        return await copy_all(source, opened, held, clock)


async def copy_all(source: MemoryStorage, target: Repository, held: HeldLock, clock: LoopClock) -> Copied:
    """Copies all snapshots into an open repository."""
    opened = await building.reopen(source, clock)
    async with lock.hold(opened, exclusive=False, clock=clock):
        snapshots = [Named(*each) for each in await opened.snapshots()]
        await opened.load_index()
        return await copy.copy(opened, (target, held), snapshots)


@pytest.fixture
async def made(clock: LoopClock) -> Small:
    """What is copied."""
    return await building.small(clock)


@pytest.fixture
async def target(clock: LoopClock) -> MemoryStorage:
    """An empty repository."""
    return (await building.builder(clock)).storage


async def test_a_copy_holds_the_same(made: Small, target: MemoryStorage, clock: LoopClock) -> None:
    """It is there for the day when the first one is not."""
    done = await copied(made.storage, target, clock)
    for each in done.snapshots:
        theirs = await contents(target, clock, each.target_id)
        assert theirs == await contents(made.storage, clock, each.source_id)
    assert [each.is_skipped for each in done.snapshots] == [False, False]
    assert done.blobs == 9
    await assert_whole(target, clock)


async def test_a_copy_keeps_what_a_snapshot_says(
    made: Small, target: MemoryStorage, clock: LoopClock
) -> None:
    """Its time decides how long it is kept, and `original` knows it again."""
    done = await copied(made.storage, target, clock)
    opened = await building.reopen(target, clock)
    for each in done.snapshots:
        theirs, ours = (
            await opened.load_snapshot(each.target_id),
            await made.repository.load_snapshot(each.source_id),
        )
        assert (theirs.time_text, theirs.tree, theirs.paths) == (ours.time_text, ours.tree, ours.paths)
        assert theirs.original == bytes.fromhex(each.source_id)


async def test_a_second_copy_brings_nothing(made: Small, target: MemoryStorage, clock: LoopClock) -> None:
    """Copies run every night."""
    first = await copied(made.storage, target, clock)
    before = dict(target.objects)
    second = await copied(made.storage, target, clock)
    assert [each.is_skipped for each in second.snapshots] == [True, True]
    assert [each.target_id for each in second.snapshots] == [each.target_id for each in first.snapshots]
    assert (second.blobs, target.objects) == (0, before)


async def test_a_copy_of_a_copy_is_known_at_home(
    made: Small, target: MemoryStorage, clock: LoopClock
) -> None:
    """Copying back brings no twins."""
    await copied(made.storage, target, clock)
    back = await copied(target, made.storage, clock)
    assert {each.target_id for each in back.snapshots} == {made.first, made.second}
    assert all(each.is_skipped for each in back.snapshots)


async def test_damage_is_not_copied(made: Small, target: MemoryStorage, clock: LoopClock) -> None:
    """No snapshot is written that cannot be restored; the one before it is there."""
    made.change(Kind.PACK, made.own_pack, 20)
    with pytest.raises(DamagedError, match=digest(text("c")).hex()):
        await copied(made.storage, target, clock)
    assert len(names(target, Kind.SNAPSHOT)) == 1
    await assert_whole(target, clock)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Mode.BEFORE, Mode.AFTER, Mode.CANCELLED, Mode.POWER_LOSS], ids=lambda mode: mode.name
)
async def test_an_interrupted_copy_leaves_whole_snapshots_and_is_gone_on_with(
    made: Small, target: MemoryStorage, clock: LoopClock, mode: Mode
) -> None:
    """Each call of the target's storage fails once."""

    async def work(repository: Repository, held: HeldLock) -> None:
        await copy_all(made.storage, repository, held, clock)

    given = dict(target.objects)
    counting = FaultyStorage(target)
    await run_locked(counting, clock, work, exclusive=False)
    for number in range(1, len(counting.calls) + 1):
        inner = MemoryStorage()
        inner.objects = dict(given)
        await attempt(inner, Fault(at=number, mode=mode), clock, work)
        await assert_whole(inner, clock)
        for name in names(made.storage, Kind.LOCK):
            made.remove(Kind.LOCK, name)
        await run_locked(inner, clock, work)
        await assert_whole(inner, clock)
        assert len(names(inner, Kind.SNAPSHOT)) == 2
