"""Pruning: what goes, what stays, and that nothing is lost wherever it is interrupted."""

from __future__ import annotations

import pytest

from engine.errors import DamagedError, RefusedError
from engine.format.ids import digest
from engine.repository import forget, lock, prune
from engine.repository.exclusive import exclusive_bytes
from engine.repository.lock import HeldLock
from engine.repository.prune_plan import PruneOptions
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind
from tests.damaged import building
from tests.damaged.building import file, text
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import LoopClock
from tests.unit.repository.changes import (
    Wasteful,
    assert_whole,
    attempt,
    contents,
    names,
    run_locked,
    wasteful,
)

pytestmark = pytest.mark.looptime

CLEAN = PruneOptions(max_unused_percent=0)


async def clear(repository: Repository, held: HeldLock, unwanted: str) -> prune.Pruned:
    """Forgets the unwanted snapshot and prunes all that is unused."""
    await forget.forget(repository, [unwanted], held)
    return await prune.prune(repository, held, options=CLEAN)


@pytest.fixture
async def given(clock: LoopClock) -> Wasteful:
    """A repository with waste in it."""
    return await wasteful(clock)


async def test_what_no_snapshot_needs_goes_and_all_else_stays(given: Wasteful, clock: LoopClock) -> None:
    """That is all that a prune is for."""
    storage = given.storage()
    before = [await contents(storage, clock, each) for each in given.snapshots]
    done: list[prune.Pruned] = []

    async def work(repository: Repository, held: HeldLock) -> None:
        done.append(await clear(repository, held, given.unwanted))
        done.append(await prune.prune(repository, held, options=CLEAN))

    await run_locked(storage, clock, work)
    assert [await contents(storage, clock, each) for each in given.snapshots] == before
    await assert_whole(storage, clock)
    first, second = done
    assert (first.packs_deleted, first.packs_rewritten) == (6, 4)
    assert (second.packs_deleted, second.figures.unused_blobs_before, second.figures.used_blobs) == (0, 0, 6)
    assert len(names(storage, Kind.INDEX)) == 1


async def test_a_dry_run_gives_the_figures_and_changes_nothing(given: Wasteful, clock: LoopClock) -> None:
    """A person looks before they leap."""
    storage = given.storage()
    plans: list[prune.Pruned] = []

    async def work(repository: Repository, held: HeldLock) -> None:
        plans.append(await prune.prune(repository, held, options=CLEAN, is_dry_run=True))
        assert {
            key: each for key, each in storage.objects.items() if key.kind is not Kind.LOCK
        } == given.objects
        plans.append(await prune.prune(repository, held, options=CLEAN))

    stored_bytes = sum(len(each) for key, each in given.objects.items() if key.kind is Kind.PACK)
    await run_locked(storage, clock, work)
    left_bytes = sum(len(each) for key, each in storage.objects.items() if key.kind is Kind.PACK)
    assert plans[0] == plans[1]
    overhead_bytes = stored_bytes - left_bytes - plans[0].figures.freed_bytes
    assert abs(overhead_bytes) < 1_000


async def test_waste_within_bounds_stays(given: Wasteful, clock: LoopClock) -> None:
    """Rewriting packs for a little waste costs more than it saves."""
    storage = given.storage()
    options = PruneOptions(max_unused_percent=99)

    async def work(repository: Repository, held: HeldLock) -> None:
        plan = await prune.make_plan(repository, options)
        assert plan.figures.unused_bytes_after <= plan.figures.unused_bytes_before

    await run_locked(storage, clock, work)


async def test_a_shared_lock_does_not_prune(given: Wasteful, clock: LoopClock) -> None:
    """A backup beside it would lose what it has just stored."""

    async def work(repository: Repository, held: HeldLock) -> None:
        for refused in (prune.prune(repository, held), forget.forget(repository, [given.unwanted], held)):
            with pytest.raises(RefusedError):
                await refused

    storage = given.storage()
    await run_locked(storage, clock, work, exclusive=False)
    assert storage.objects == given.objects


async def test_a_blob_that_is_needed_and_not_indexed_stops_the_prune(
    given: Wasteful, clock: LoopClock
) -> None:
    """Deleting packs in no index file would then delete it for good."""
    storage = given.storage()
    names_before = names(storage, Kind.PACK)
    for name in names(storage, Kind.INDEX):
        del storage.objects[Key(Kind.INDEX, name)]
    opened = await building.reopen(storage, clock)
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        with pytest.raises(DamagedError, match="index"):
            await prune.prune(opened, held)
    assert names(storage, Kind.PACK) == names_before


@pytest.mark.parametrize("harm", ["missing", "cut"])
async def test_a_damaged_pack_that_is_needed_stops_the_prune(clock: LoopClock, harm: str) -> None:
    """What is left of it may be all that there is."""
    made = await building.small(clock)
    if harm == "missing":
        made.remove(Kind.PACK, made.own_pack)
    else:
        made.cut(made.own_pack, 1)
    before = dict(made.storage.objects)
    opened = await building.reopen(made.storage, clock)
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        with pytest.raises(DamagedError, match=r"missing|bytes instead of"):
            await prune.prune(opened, held)
    assert made.storage.objects == before


async def test_a_missing_pack_that_nobody_needs_leaves_the_index(given: Wasteful, clock: LoopClock) -> None:
    """One loss that is none does not stop prunes for ever."""
    storage = given.storage()

    async def work(repository: Repository, held: HeldLock) -> None:
        await clear(repository, held, given.unwanted)
        made = building.Builder(repository, storage)
        lost = await made.pack(("data", made.data(text("z"))))
        await made.index()
        del storage.objects[Key(Kind.PACK, lost.hex())]
        await prune.prune(repository, held)
        assert not repository.index.has("data", digest(text("z")))

    await run_locked(storage, clock, work)
    await assert_whole(storage, clock)


async def test_a_damaged_blob_in_a_pack_to_rewrite_stops_before_anything_needed_goes(
    given: Wasteful, clock: LoopClock
) -> None:
    """The pack may still be mended from elsewhere."""
    storage = given.storage()
    opened = await building.reopen(storage, clock)
    await opened.load_index()
    place = opened.index.lookup("data", digest(text("a")))
    assert place is not None
    key = Key(Kind.PACK, place.pack.hex())
    stored = bytearray(storage.objects[key])
    stored[place.offset + 20] ^= 1
    storage.objects[key] = bytes(stored)
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        with pytest.raises(DamagedError, match="damaged"):
            await prune.prune(opened, held, options=CLEAN)
    assert key in storage.objects


async def test_a_blob_that_lies_twice_is_kept_once(clock: LoopClock) -> None:
    """Two backups that ran at once stored the same."""
    made = await building.builder(clock)
    one = made.data(text("a"))
    root = made.tree(file("a", len(text("a")), one))
    for _ in range(2):
        await made.pack(("data", one))
        await made.pack(("tree", root))
    await made.index()
    await made.snapshot(root)

    async def work(repository: Repository, held: HeldLock) -> None:
        done = await prune.prune(repository, held, options=CLEAN)
        assert (done.packs_deleted, done.packs_rewritten) == (2, 0)

    await run_locked(made.storage, clock, work)
    await assert_whole(made.storage, clock)


async def test_ten_small_packs_become_one(clock: LoopClock) -> None:
    """Nightly backups of little leave many small packs, and each costs a request."""
    made = await building.builder(clock)
    blobs = [made.data(text(letter)) for letter in "abcdefghij"]
    root = made.tree(*(file(f"f{number}", len(text("a")), each) for number, each in enumerate(blobs)))
    for each in blobs:
        await made.pack(("data", each))
    await made.pack(("tree", root))
    await made.index()
    await made.snapshot(root)

    async def work(repository: Repository, held: HeldLock) -> None:
        await prune.prune(repository, held)
        assert repository.index.pack_count == 2

    await run_locked(made.storage, clock, work)
    await assert_whole(made.storage, clock)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Mode.BEFORE, Mode.AFTER, Mode.CANCELLED, Mode.CANCELLED_AFTER, Mode.POWER_LOSS], ids=lambda mode: mode.name
)  # fmt: skip
async def test_nothing_is_lost_wherever_forget_and_prune_are_interrupted(
    given: Wasteful, clock: LoopClock, mode: Mode
) -> None:
    """Power fails when it likes. Each call of the storage fails once, and the next prune clears up."""

    async def work(repository: Repository, held: HeldLock) -> None:
        await clear(repository, held, given.unwanted)

    counting = FaultyStorage(given.storage())
    await run_locked(counting, clock, work)
    before = [await contents(given.storage(), clock, each) for each in given.snapshots]
    assert len(counting.calls) > 30
    for number in range(1, len(counting.calls) + 1):
        inner = given.storage()
        await attempt(inner, Fault(at=number, mode=mode), clock, work)
        await assert_whole(inner, clock)
        assert [await contents(inner, clock, each) for each in given.snapshots] == before
        await run_locked(inner, clock, work)
        await assert_whole(inner, clock)
        assert [await contents(inner, clock, each) for each in given.snapshots] == before


async def test_what_only_a_snapshot_holds_is_what_a_prune_finds_unused_without_it(
    given: Wasteful, clock: LoopClock
) -> None:
    """Told before anything is deleted, it must be the truth."""

    async def work(repository: Repository, held: HeldLock) -> None:
        before = (await prune.make_plan(repository)).figures.unused_bytes_before
        snapshots = await repository.snapshots()
        roots = [snapshot.tree for identity, snapshot in snapshots if identity == given.unwanted]
        others = [snapshot.tree for identity, snapshot in snapshots if identity != given.unwanted]
        only = await exclusive_bytes(repository, roots, others)
        await forget.forget(repository, [given.unwanted], held)
        after = (await prune.make_plan(repository)).figures.unused_bytes_before
        assert only == after - before
        assert only > 0
        assert await exclusive_bytes(repository, roots, [*others, *roots]) == 0

    await run_locked(given.storage(), clock, work)
