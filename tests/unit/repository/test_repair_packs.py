"""Repairing packs out of another repository: what it holds comes back, what nobody holds is named, and no interruption makes it worse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.errors import DamagedError, RefusedError
from engine.format.ids import digest
from engine.repository import check, lock, repair_packs
from engine.repository.check import CheckOptions, CheckResult
from engine.repository.lock import HeldLock
from engine.repository.repair_packs import PackRepair
from engine.repository.repository import Repository
from engine.storages.base import Kind
from tests.damaged import building
from tests.damaged.building import Small, text
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.changes import assert_whole, attempt, contents, names, run_locked

FOREIGN = b"of a repository with a key of its own"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Stands still; locks are confirmed at once."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)
    return FakeClock()


async def repaired(
    storage: MemoryStorage, clock: FakeClock, *others: Repository
) -> tuple[PackRepair, CheckResult]:
    """What a repair did, and what a check of everything finds after it."""
    done: list[PackRepair] = []

    async def work(repository: Repository, held: HeldLock) -> None:
        found = await check.check(repository, CheckOptions(is_reading_data=True))
        done.append(
            await repair_packs.repair_packs(
                repository, held, others, suspects=found.damaged_packs, missing=found.missing_blobs
            )
        )

    await run_locked(storage, clock, work)
    opened = await building.reopen(storage, clock)
    return done[0], await check.check(opened, CheckOptions(is_reading_data=True))


async def loaded(made: Small, clock: FakeClock) -> Repository:
    """The other repository, its index loaded."""
    opened = await building.reopen(made.storage, clock)
    await opened.load_index()
    return opened


def flip_everywhere(made: Small) -> None:
    """A bit of each pack."""
    for pack_id in (made.shared_pack, made.own_pack, made.tree_pack):
        made.change(Kind.PACK, pack_id, 40)


def lose_all_packs(made: Small) -> None:
    """The index is all that is left."""
    for pack_id in (made.shared_pack, made.own_pack, made.tree_pack):
        made.remove(Kind.PACK, pack_id)


def lose_packs_and_index(made: Small) -> None:
    """The snapshots are all that is left."""
    lose_all_packs(made)
    made.remove(Kind.INDEX, made.index_name)


def cut_packs(made: Small) -> None:
    """A disk that was full."""
    made.cut(made.shared_pack, 300)
    made.cut(made.tree_pack, 600)


HARMS = [flip_everywhere, lose_all_packs, lose_packs_and_index, cut_packs]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
async def test_what_another_repository_holds_comes_back(
    clock: FakeClock, harm: Callable[[Small], None]
) -> None:
    """Data and trees, whatever became of the packs: that is what the second storage is for."""
    made, other = await building.small(clock), await building.small(clock)
    before = [await contents(made.storage, clock, each) for each in (made.first, made.second)]
    harm(made)
    bad = names(made.storage, Kind.PACK)
    done, after = await repaired(made.storage, clock, await loaded(other, clock))
    assert list(after.damaged) == []
    assert (done.lost, done.kept_packs) == (frozenset(), frozenset())
    assert [await contents(made.storage, clock, each) for each in (made.first, made.second)] == before
    assert done.fetched[0] > 0
    assert not bad & {each.hex() for each in done.replaced_packs} & names(made.storage, Kind.PACK)


async def test_what_nobody_holds_is_named_and_its_neighbours_are_saved(clock: FakeClock) -> None:
    """One rotten byte must not cost the good blobs beside it, nor be passed over in silence."""
    made = await building.small(clock)
    made.change(Kind.PACK, made.shared_pack, 40)
    done, after = await repaired(made.storage, clock)
    lost = next(iter(done.lost))
    assert (len(done.lost), done.carried_blobs) == (1, 2)
    assert set(done.kept_packs) == {made.shared_pack}
    assert made.shared_pack.hex() in names(made.storage, Kind.PACK)
    (damage,) = after.damaged
    assert list(damage.blobs) == [lost[1].hex()]
    assert set(damage.backups) == {made.first, made.second}
    assert list(damage.paths) == ["/srv/a"]
    back = await building.reopen(made.storage, clock)
    await back.load_index()
    assert await back.load_blob("data", digest(text("b"))) == text("b")


async def test_each_of_several_repositories_gives_what_it_has(clock: FakeClock) -> None:
    """Two storages may each have rotted in another place; together they hold everything, and what lies is not believed."""
    made, first, second = [await building.small(clock) for _ in range(3)]
    flip_everywhere(made)
    first.change(Kind.PACK, first.shared_pack, 40)
    second.change(Kind.PACK, second.own_pack, 40)
    others = [await loaded(each, clock) for each in (first, second)]
    done, after = await repaired(made.storage, clock, *others)
    assert list(after.damaged) == []
    assert list(done.fetched) == [2, 1]


async def test_a_storage_that_fails_is_passed_over(clock: FakeClock) -> None:
    """The second copy is out of reach: the third one serves."""
    made, first, second = [await building.small(clock) for _ in range(3)]
    lose_all_packs(made)
    gone = await loaded(first, clock)
    gone.storage = FaultyStorage(first.storage, Fault(at=1, mode=Mode.POWER_LOSS))
    done, after = await repaired(made.storage, clock, gone, await loaded(second, clock))
    assert list(after.damaged) == []
    assert list(done.fetched) == [0, 9]


async def test_a_pack_that_turns_out_sound_is_left_alone(clock: FakeClock) -> None:
    """A cable that was loose for a moment is no reason to write anything."""
    made = await building.small(clock)
    before = dict(made.storage.objects)

    async def work(repository: Repository, held: HeldLock) -> None:
        done = await repair_packs.repair_packs(repository, held, [], suspects=[made.shared_pack])
        assert not done.replaced_packs

    await run_locked(made.storage, clock, work)
    assert made.storage.objects == before


async def test_a_shared_lock_does_not_repair_packs(clock: FakeClock) -> None:
    """A backup beside it builds on the packs that go."""
    made = await building.small(clock)

    async def work(repository: Repository, held: HeldLock) -> None:
        with pytest.raises(RefusedError):
            await repair_packs.repair_packs(repository, held, [])

    await run_locked(made.storage, clock, work, exclusive=False)


async def readable(storage: MemoryStorage, clock: FakeClock) -> dict[str, bytes]:
    """Every file of every snapshot that can be read."""
    opened = await building.reopen(storage, clock)
    await opened.load_index()
    found = {}
    for blob in opened.index.blobs():
        try:
            found[blob.id.hex()] = await opened.load_blob(blob.type, blob.id)
        except DamagedError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [Mode.BEFORE, Mode.AFTER, Mode.TRUNCATED, Mode.CANCELLED, Mode.POWER_LOSS],
    ids=lambda mode: mode.name,
)
async def test_an_interrupted_repair_of_packs_loses_nothing_that_could_be_read(
    clock: FakeClock, mode: Mode
) -> None:
    """Each call of the storage fails once, and the next repair ends what was begun."""
    made, other = await building.small(clock), await building.small(clock)
    made.change(Kind.PACK, made.shared_pack, 40)
    made.remove(Kind.PACK, made.tree_pack)
    source = await loaded(other, clock)
    given = dict(made.storage.objects)
    before = await readable(made.storage, clock)
    suspects = [made.shared_pack, made.tree_pack]

    async def work(repository: Repository, held: HeldLock) -> None:
        await repair_packs.repair_packs(repository, held, [source], suspects=suspects)

    counting = FaultyStorage(made.storage)
    await run_locked(counting, clock, work)
    await assert_whole(made.storage, clock)
    for number, call in enumerate(counting.calls, 1):
        is_pack = call.key is not None and call.key.kind is Kind.PACK
        if mode is Mode.TRUNCATED and not (call.method == "put" and is_pack):
            continue
        inner = MemoryStorage()
        inner.objects = dict(given)
        await attempt(inner, Fault(at=number, mode=mode), clock, work)
        after = await readable(inner, clock)
        assert {blob: after.get(blob) for blob in before} == before
        await repaired(inner, clock, source)
        await assert_whole(inner, clock)
