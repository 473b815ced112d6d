"""Repairing the index: it says again what the packs hold, and no interruption makes it worse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.errors import RefusedError
from engine.repository import lock, repair
from engine.repository.lock import HeldLock
from engine.repository.repair import IndexRepair
from engine.repository.repository import Repository
from engine.storages.base import Kind
from tests.damaged import building
from tests.damaged.building import Small
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.changes import assert_whole, attempt, names, run_locked

pytestmark = pytest.mark.looptime


async def repaired(storage: MemoryStorage, clock: LoopClock, *, is_reading_all: bool = False) -> IndexRepair:
    """Repairs, as another process does."""
    opened = await building.reopen(storage, clock)
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        return await repair.repair_index(opened, held, is_reading_all=is_reading_all)


def lose_index(made: Small) -> None:
    """No index file is left."""
    made.remove(Kind.INDEX, made.index_name)


def damage_index(made: Small) -> None:
    """The index file does not open."""
    made.change(Kind.INDEX, made.index_name, 50)


@pytest.mark.parametrize("harm", [lose_index, damage_index])
async def test_an_index_comes_back_from_the_packs(harm: Callable[[Small], None], clock: LoopClock) -> None:
    """Everything is there, and nobody knows where: an hour later all is well again."""
    made = await building.small(clock)
    harm(made)
    done = await repaired(made.storage, clock)
    assert set(done.added_packs) == {each.hex() for each in (made.shared_pack, made.own_pack, made.tree_pack)}
    assert list(done.unreadable_index_files) == [made.index_name] * (harm is damage_index)
    await assert_whole(made.storage, clock)
    assert not (await repaired(made.storage, clock)).is_changed


async def test_a_sound_index_is_left_alone(clock: LoopClock) -> None:
    """A repair out of habit writes nothing."""
    made = await building.small(clock)
    before = dict(made.storage.objects)
    done = await repaired(made.storage, clock)
    assert (done.is_changed, done.written_index_files) == (False, 0)
    assert made.storage.objects == before


async def test_reading_all_headers_makes_the_index_anew(clock: LoopClock) -> None:
    """Where the index itself is in doubt, nothing of it is believed."""
    made = await building.small(clock)
    done = await repaired(made.storage, clock, is_reading_all=True)
    assert (len(done.reread_packs), done.written_index_files) == (3, 1)
    assert names(made.storage, Kind.INDEX) != {made.index_name}
    await assert_whole(made.storage, clock)


async def test_a_missing_pack_leaves_the_index(clock: LoopClock) -> None:
    """A backup then reads again what was in it."""
    made = await building.small(clock)
    made.remove(Kind.PACK, made.own_pack)
    done = await repaired(made.storage, clock)
    assert list(done.missing_packs) == [made.own_pack.hex()]


async def test_a_pack_whose_header_is_gone_is_reported_and_left_out(clock: LoopClock) -> None:
    """It stays where it is: there may be something to save."""
    made = await building.small(clock)
    made.cut(made.own_pack, 10)
    done = await repaired(made.storage, clock)
    assert list(done.unreadable_packs) == [made.own_pack.hex()]
    assert made.own_pack.hex() in names(made.storage, Kind.PACK)


async def test_a_split_pack_is_put_together(clock: LoopClock) -> None:
    """Newer restics refuse a pack whose blobs stand in two index files."""
    made = await building.small(clock)
    made.remove(Kind.INDEX, made.index_name)
    (shared, entries), *rest = made.builder.indexed
    await made.builder.index([(shared, entries[:1]), *rest])
    await made.builder.index([(shared, entries[1:])])
    done = await repaired(made.storage, clock)
    assert list(done.reread_packs) == [shared.hex()]
    await assert_whole(made.storage, clock)
    assert len(names(made.storage, Kind.INDEX)) == 1


async def test_a_pack_in_two_index_files_is_in_one_again(clock: LoopClock) -> None:
    """What an interrupted prune or repair leaves."""
    made = await building.small(clock)
    await made.builder.index(made.builder.indexed[:1])
    assert (await repaired(made.storage, clock)).is_changed
    assert len(names(made.storage, Kind.INDEX)) == 1
    await assert_whole(made.storage, clock)


async def test_a_shared_lock_does_not_repair(clock: LoopClock) -> None:
    """A backup beside it writes index files too."""
    made = await building.small(clock)

    async def work(repository: Repository, held: HeldLock) -> None:
        with pytest.raises(RefusedError):
            await repair.repair_index(repository, held)

    await run_locked(made.storage, clock, work, exclusive=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Mode.BEFORE, Mode.AFTER, Mode.CANCELLED, Mode.POWER_LOSS], ids=lambda mode: mode.name
)
async def test_an_interrupted_repair_leaves_no_less_than_there_was(clock: LoopClock, mode: Mode) -> None:
    """Each call of the storage fails once, and the next repair ends what was begun."""
    made = await building.small(clock)
    await made.builder.index(made.builder.indexed[:1])
    given = dict(made.storage.objects)

    async def work(repository: Repository, held: HeldLock) -> None:
        await repair.repair_index(repository, held, is_reading_all=True)

    counting = FaultyStorage(made.storage)
    await run_locked(counting, clock, work)
    for number in range(1, len(counting.calls) + 1):
        inner = MemoryStorage()
        inner.objects = dict(given)
        await attempt(inner, Fault(at=number, mode=mode), clock, work)
        await assert_whole(inner, clock)
        await run_locked(inner, clock, work)
        await assert_whole(inner, clock)
