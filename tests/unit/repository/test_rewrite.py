"""Erasing a path: it goes from every snapshot, all else stays, wherever the work is interrupted."""

from __future__ import annotations

import pytest

from engine.errors import RefusedError
from engine.format.ids import digest
from engine.repository import prune, rewrite
from engine.repository.lock import HeldLock
from engine.repository.prune_plan import PruneOptions
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.repository.rewrite import RewritePlan
from engine.storages.base import Kind
from tests.damaged import building
from tests.damaged.building import file, folder, text
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
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
PATH = b"srv/a"


@pytest.fixture
async def given(clock: LoopClock) -> Wasteful:
    """A repository in which two of three snapshots hold `srv/a`, below a folder that both share."""
    return await wasteful(clock)


async def planned(repository: Repository, path: bytes = PATH) -> RewritePlan:
    """What erasing the path from all snapshots would do."""
    await repository.load_index()
    return await rewrite.plan(repository, [Named(*each) for each in await repository.snapshots()], path)


async def erase(repository: Repository, held: HeldLock) -> None:
    """Erases the path and what it alone needed."""
    await rewrite.apply(repository, held, await planned(repository))
    await prune.prune(repository, held, options=PruneOptions(max_unused_percent=0))


async def everything(storage: MemoryStorage, clock: LoopClock) -> list[dict[bytes, bytes]]:
    """What each snapshot holds, by time."""
    opened = await building.reopen(storage, clock)
    return [await contents(storage, clock, name) for name, _ in await opened.snapshots()]


async def test_the_path_goes_and_all_else_stays_as_it_was(given: Wasteful, clock: LoopClock) -> None:
    """The bytes, too: that is what a law asks for."""
    storage = given.storage()
    before = await everything(storage, clock)
    old = dict(await (await building.reopen(storage, clock)).snapshots())
    await run_locked(storage, clock, erase)
    await assert_whole(storage, clock)
    assert await everything(storage, clock) == [
        {path: content for path, content in each.items() if path != PATH} for each in before
    ]
    opened = await building.reopen(storage, clock)
    await opened.load_index()
    assert not opened.index.has("data", digest(text("a")))
    for name, snapshot in await opened.snapshots():
        if name == given.unwanted:
            assert snapshot == old[name]
        else:
            assert snapshot.original is not None
            first = old[snapshot.original.hex()]
            assert (snapshot.time, snapshot.tags, snapshot.hostname) == (
                first.time,
                first.tags,
                first.hostname,
            )


async def test_what_would_go_is_counted_and_what_others_hold_is_told(clock: LoopClock) -> None:
    """A copy under another name would be forgotten by whoever is told that all is gone."""
    made = await building.builder(clock)
    shared, own = made.data(text("s")), made.data(text("o"))
    size = len(text("s"))
    inner = made.tree(file("deep", size, own, inode=1), file("twin", size, shared, inode=2))
    root = made.tree(file("other", size, shared, inode=3), folder("secret", inner))
    await made.pack(("data", shared), ("data", own), ("tree", inner), ("tree", root))
    await made.index()
    await made.snapshot(root, 1)
    opened = await building.reopen(made.storage, clock)
    await opened.load_index()
    plan = await planned(opened, b"secret")
    (erasure,) = plan.erasures
    assert (erasure.files, erasure.size_bytes) == (2, 2 * size)
    assert await rewrite.still_needed(opened, plan, []) == size
    assert [
        each.erasures for each in [await planned(opened, b"secret/none"), await planned(opened, b"other/x")]
    ] == [[], []]


async def test_without_an_exclusive_lock_nothing_is_erased(given: Wasteful, clock: LoopClock) -> None:
    """A backup that runs may build on the snapshot that would go."""
    storage = given.storage()

    async def work(repository: Repository, held: HeldLock) -> None:
        with pytest.raises(RefusedError):
            await rewrite.apply(repository, held, await planned(repository))

    await run_locked(storage, clock, work, exclusive=False)
    assert names(storage, Kind.SNAPSHOT) == {*given.snapshots, given.unwanted}


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Mode.AFTER, Mode.CANCELLED, Mode.POWER_LOSS], ids=lambda mode: mode.name
)  # fmt: skip
async def test_nothing_else_is_lost_wherever_it_is_interrupted(
    given: Wasteful, clock: LoopClock, mode: Mode
) -> None:
    """Each call of the storage fails once; run again, the path is gone."""
    counting = FaultyStorage(given.storage())
    await run_locked(counting, clock, erase)
    before = await everything(given.storage(), clock)
    wanted = [{path: each[path] for path in each if path != PATH} for each in before]
    for number in range(1, len(counting.calls) + 1):
        inner = given.storage()
        await attempt(inner, Fault(at=number, mode=mode), clock, erase)
        await assert_whole(inner, clock)
        for held in await everything(inner, clock):
            assert held in before or held in wanted
        await run_locked(inner, clock, erase)
        await assert_whole(inner, clock)
        left = await everything(inner, clock)
        assert all(each in left for each in wanted)
        assert not any(PATH in each for each in left)
