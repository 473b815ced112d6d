"""The worker processes for small files: what they store, and that nothing hangs or is left when one dies or the job is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.errors import HoldfastError, RepositoryError
from engine.model.entry import Fetched
from engine.repository import lock, pool, pool_worker, writer
from engine.repository.packing import Loose, PackingOptions, merge_loose
from engine.repository.repository import Repository
from engine.repository.writer import Parent
from engine.scope import task_scope
from engine.storages.base import Kind
from tests.fakes.faulty_storage import Fault, FaultyStorage
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import expected, files, make, reopen, session, snapshot, tree_contents
from tests.fakes.tree_feed import HereFeed, Made, MadeFeed, directories

pytestmark = pytest.mark.slow
"""Each test starts processes."""

MANY = directories(*files(writer.FEW + 150, size_bytes=2_000))
SMALL_PACKS = PackingOptions(pack_bytes=32 << 10)
ENDS_WITHIN_S = 10.0


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test, however it ended; and nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [each for each in psutil.Process().children(recursive=True) if each not in before]
    _, alive = psutil.wait_procs(left, timeout=ENDS_WITHIN_S)
    assert alive == []


@pytest.fixture
async def processes() -> AsyncIterator[pool.Processes]:
    """A job's worker processes."""
    async with pool.Processes.start(is_early=False) as started:
        yield started


async def _write(
    opened: Repository,
    made: Sequence[Made],
    processes: pool.Processes,
    parent: bytes | None = None,
) -> tuple[bytes, int]:
    """The tree's id, and the plain bytes that were added."""
    async with session(opened, processes=processes, packing=SMALL_PACKS) as writing:
        result = await writing.save_tree(MadeFeed(made, batch=40), Parent(opened, parent) if parent else None)
        committed = await writing.commit(snapshot(result.tree_id))
    return result.tree_id, committed[0].statistics.added_bytes


def _workers() -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if "pool_worker" in " ".join(each.cmdline())
    ]


async def test_many_files_come_back_as_they_were(processes: pool.Processes) -> None:
    """Files of all small sizes, through the processes."""
    storage = MemoryStorage()
    sizes = [Made(f"srv/sizes/{size}", os.urandom(size)) for size in (1, 511, 512, 70_000, 512 << 10)]
    made = directories(*MANY, *sizes)
    tree_id, _ = await _write(await make(storage), made, processes)
    assert await tree_contents(await reopen(storage), tree_id) == expected(made)


async def test_equal_files_are_stored_once(processes: pool.Processes) -> None:
    """A thousand copies of a licence cost the room of one."""
    opened = await make(MemoryStorage())
    made = directories(*MANY, *(Made(f"srv/copies/{number}", b"the same " * 1000) for number in range(300)))
    async with session(opened, processes=processes) as writing:
        await writing.save_tree(MadeFeed(made), None)
        await writing.flush()
        assert writing.statistics[0].data_blobs <= len(MANY) + 1


async def test_many_tiny_files_fill_packs_by_their_number(
    processes: pool.Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million files of a few bytes fill no pack by their length, and merging what is loose would take half a kilobyte for each."""
    merged: list[int] = []

    def counted(loose: Sequence[Loose], *how: Any) -> Any:
        merged.append(len(loose))
        return merge_loose(loose, *how)

    monkeypatch.setattr("engine.repository.lanes.merge_loose", counted)
    opened = await make(MemoryStorage())
    made = directories(*files(2 * pool_worker.LOOSE_LIMIT + 1_000, size_bytes=9))
    async with session(opened, processes=processes) as writing:
        await writing.save_tree(MadeFeed(made, batch=2_000), None)
        await writing.flush()
        assert writing.statistics[0].data_blobs > 2 * pool_worker.LOOSE_LIMIT
    assert max(merged) < pool_worker.LOOSE_LIMIT


async def test_what_threads_stored_before_the_processes_came_is_not_stored_again(
    processes: pool.Processes,
) -> None:
    """The first few files are like the later ones in many a tree."""
    opened = await make(MemoryStorage())
    made = directories(
        *(Made(f"srv/{number:04d}", b"the same " * (1 + number % 50)) for number in range(300))
    )
    async with session(opened, processes=processes) as writing:
        await writing.save_tree(MadeFeed(made), None)
        await writing.flush()
        assert writing.statistics[0].data_blobs == 50


async def test_what_the_repository_has_is_not_stored_again(processes: pool.Processes) -> None:
    """Without a parent everything is read, and nothing is stored twice."""
    storage = MemoryStorage()
    await _write(await make(storage), MANY, processes)
    _, added = await _write(await reopen(storage), MANY, processes)
    assert added == 0


async def test_sessions_of_one_job_know_what_the_earlier_ones_stored(processes: pool.Processes) -> None:
    """Several sources of one job share a repository: the second must not store again what the first did."""
    opened = await make(MemoryStorage())
    await _write(opened, MANY, processes)
    workers = _workers()
    _, added = await _write(opened, MANY, processes)
    assert added == 0
    assert _workers() == workers


async def test_one_session_takes_several_trees(processes: pool.Processes) -> None:
    """The folders of a host, one after the other."""
    opened = await make(MemoryStorage())
    others = directories(*files(200, seed=3, size_bytes=1_000))
    async with session(opened, processes=processes) as writing:
        first = await writing.save_tree(MadeFeed(MANY), None)
        second = await writing.save_tree(MadeFeed(others), None)
        third = await writing.save_tree(MadeFeed(MANY), None)
        await writing.flush()
    assert first.tree_id == third.tree_id
    assert await tree_contents(opened, second.tree_id) == expected(others)


async def test_two_repositories_are_fed_at_once(processes: pool.Processes) -> None:
    """Each with its own key, and each with what it lacks."""
    old, new = MemoryStorage(), MemoryStorage()
    await _write(await make(old), MANY, processes)
    async with session(
        await reopen(old), await make(new), processes=processes, packing=SMALL_PACKS
    ) as writing:
        result = await writing.save_tree(MadeFeed(MANY), None)
        committed = await writing.commit(snapshot(result.tree_id))
    assert committed[0].statistics.added_bytes == 0
    assert await tree_contents(await reopen(new), result.tree_id) == expected(MANY)


async def test_an_idle_job_starts_no_process(processes: pool.Processes) -> None:
    """A database's dump needs none, and starting costs a quarter of a second."""
    await _write(await make(MemoryStorage()), directories(*files(3)), processes)
    assert _workers() == []


class _Waiting(MadeFeed):
    """A feed that stops in its midst and says so."""

    def __init__(self, made: Sequence[Made], after: int) -> None:
        super().__init__(made)
        self._after = after
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        number = 0
        async for batch in super().contents():
            number += 1
            if number == self._after:
                self.arrived.set()
                await self.released.wait()
            yield batch


@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
async def test_a_worker_that_is_killed_ends_the_backup_with_a_sentence(
    processes: pool.Processes, which: int
) -> None:
    """The kernel out of memory takes a worker: the backup fails, and does not wait for it for ever."""
    opened = await make(MemoryStorage())
    feed = _Waiting(MANY, after=writer.FEW + 60)

    async def back_up() -> None:
        async with asyncio.timeout(ENDS_WITHIN_S), task_scope() as group:
            group.create_task(_kill(feed, which))
            async with session(opened, processes=processes) as writing:
                await writing.save_tree(feed, None)
                await writing.flush()

    with pytest.raises(RepositoryError, match="a worker process ended before its work was done"):
        await back_up()


async def _kill(feed: _Waiting, which: int) -> None:
    await feed.arrived.wait()
    workers = sorted(_workers(), key=lambda each: each.pid)
    workers[which].send_signal(signal.SIGKILL)
    feed.released.set()


@pytest.mark.parametrize("after", [1, writer.FEW + 1, writer.FEW + 100])
async def test_a_cancel_in_the_middle_does_not_hang(processes: pool.Processes, after: int) -> None:
    """Ctrl-C is answered at once, and the next session of the same job works."""
    storage = MemoryStorage()
    opened = await make(storage)
    feed = _Waiting(MANY, after=after)

    async def back_up() -> None:
        async with session(opened, processes=processes, packing=SMALL_PACKS) as writing:
            await writing.save_tree(feed, None)

    async with asyncio.timeout(ENDS_WITHIN_S), asyncio.TaskGroup() as group:
        task = group.create_task(back_up())
        await feed.arrived.wait()
        task.cancel()
    assert task.cancelled()
    tree_id, _ = await _write(await reopen(storage), MANY, processes)
    assert await tree_contents(await reopen(storage), tree_id) == expected(MANY)


async def test_a_source_that_breaks_leaves_the_processes_usable(processes: pool.Processes) -> None:
    """One source of a job fails; the next one is backed up all the same."""
    storage = MemoryStorage()
    opened = await make(storage)
    with pytest.raises(HoldfastError, match="the host went away"):
        async with session(opened, processes=processes) as writing:
            await writing.save_tree(_Breaking(MANY), None)
    tree_id, _ = await _write(opened, MANY, processes)
    assert await tree_contents(await reopen(storage), tree_id) == expected(MANY)


class _Breaking(MadeFeed):
    """A host that goes away."""

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        number = 0
        async for batch in super().contents():
            number += 1
            if number > writer.FEW + 80:
                raise HoldfastError("the host went away")
            yield batch


async def test_a_slow_storage_stops_the_workers_and_not_the_memory(processes: pool.Processes) -> None:
    """Packs wait in the workers until the storage takes them, and the reading waits for the workers."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    gate = storage.hold(Fault(at=1, methods={"put"}, kinds={Kind.PACK}))
    made = directories(*files(400, size_bytes=200_000))
    feed = MadeFeed(made)
    async with session(opened, processes=processes, packing=PackingOptions(pack_bytes=1 << 20)) as writing:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(writing.save_tree(feed, None))
            await gate.arrived.wait()
            gate.opened.set()
        await writing.flush()
    assert await tree_contents(opened, task.result().tree_id) == expected(made)


def _folder(tmp_path: Path, count: int = writer.FEW + 150) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(count):
        (folder / f"file-{number:04d}").write_bytes(b"%d " % number * (number % 50))
    return folder


async def _write_here(opened: Repository, feed: HereFeed, processes: pool.Processes) -> bytes:
    async with session(opened, processes=processes, packing=SMALL_PACKS) as writing:
        result = await writing.save_tree(feed, None)
        await writing.commit(snapshot(result.tree_id))
    return result.tree_id


async def test_files_of_this_machine_are_read_by_the_workers(
    processes: pool.Processes, tmp_path: Path
) -> None:
    """Nobody is asked for them, but for the directories' own attributes; and the tree is the same as if all had been asked for."""
    folder = _folder(tmp_path)
    storage = MemoryStorage()
    feed = HereFeed(folder)
    tree_id = await _write_here(await make(storage), feed, processes)
    made = feed.made
    assert await tree_contents(await reopen(storage), tree_id) == expected(made)
    assert {each.path.encode() for each in made if each.type == "d"} == set(feed.wanted)


async def test_what_a_worker_does_not_find_as_it_was_listed_is_asked_for(
    processes: pool.Processes, tmp_path: Path
) -> None:
    """It changed, went away, or may not be read: the host's own tool says which."""
    folder = _folder(tmp_path)
    stale = [f"file-{number:04d}" for number in range(0, 200, 7)]
    storage = MemoryStorage()
    feed = HereFeed(folder, stale)
    tree_id = await _write_here(await make(storage), feed, processes)
    asked = {path.rpartition(b"/")[2].decode() for path in feed.wanted}
    assert set(stale) < asked
    assert await tree_contents(await reopen(storage), tree_id) == expected(feed.made)


async def test_the_first_few_files_are_no_reason_to_start_workers(
    processes: pool.Processes, tmp_path: Path
) -> None:
    """A backup of a folder of settings must not take longer to start than to run."""
    feed = HereFeed(_folder(tmp_path, count=10))
    await _write_here(await make(MemoryStorage()), feed, processes)
    assert _workers() == []
    assert len(feed.wanted) == len(feed.made)
