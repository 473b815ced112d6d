"""Several repositories fed by one reading, one of them on a slow storage: it holds nobody up, and nothing grows without a bound."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.errors import DamagedError, StorageBehindError, StorageUnreachableError
from engine.format.ids import digest
from engine.repository import check, lock, spill
from engine.repository.finishing import Committed
from engine.repository.packing import PackingOptions
from engine.repository.pool import Processes
from engine.repository.spill import PREFIX, Allowance, HeldUp, SpillOptions
from engine.storages.base import Buffer, Key, Kind, OpenStorage, Wrapper
from tests.fakes.faulty_storage import Fault, FaultyStorage, Gate
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import (
    all_contents,
    expected,
    files,
    make,
    reopen,
    session,
    snapshot,
)
from tests.fakes.tree_feed import MadeFeed, directories

TREE = directories(*files(80))
PACKING = PackingOptions(pack_bytes=16 << 10)
PACKS = {"methods": {"put"}, "kinds": {Kind.PACK}}
_CHILD = """
import pathlib, sys
from engine.repository.spill import Spill, SpillOptions
Spill(SpillOptions(pathlib.Path(sys.argv[1]))).open()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


@dataclass(slots=True)
class Night:
    """A fast and a slow storage, and what was told when one was done before the other."""

    fast: FaultyStorage
    slow: FaultyStorage
    gate: Gate
    """Holds all packs that the slow one is given."""
    options: SpillOptions
    told: list[Sequence[Committed]] = field(default_factory=list)
    outstanding: int = 0
    """Packs that waited for the slow one when the fast one was done."""

    async def run(self) -> list[Committed]:
        """Backs the tree up to both; the gate opens when the fast one has its snapshot."""
        opened = [await make(self.fast), await make(self.slow)]

        async def tell(committed: Sequence[Committed]) -> None:
            self.told.append(committed)
            self.outstanding = len(_spilled(self.options.folder))
            self.gate.opened.set()

        async with session(*opened, packing=PACKING, spill=self.options) as writing:
            result = await writing.save_tree(MadeFeed(TREE), None)
            return await writing.commit(snapshot(result.tree_id), tell=tell)


def _spilled(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{PREFIX}*/*") if path.name != "lock"]


def _night(folder: Path, **options: object) -> Night:
    fast, slow = FaultyStorage(MemoryStorage("fast")), FaultyStorage(MemoryStorage("slow"))
    gate = slow.hold(Fault(at=1, **PACKS))  # type: ignore[arg-type]
    return Night(fast, slow, gate, SpillOptions(folder, patience_s=0.0, **options))  # type: ignore[arg-type]


async def test_the_others_have_their_snapshot_while_a_slow_storage_has_next_to_nothing(
    tmp_path: Path,
) -> None:
    """The copy on the far side of a thin line must not keep the one at hand from being taken in time."""
    night = _night(tmp_path)
    fast, slow = await night.run()
    assert night.outstanding >= 20
    assert [each.snapshot_id is not None for each in night.told[0]] == [True, False]
    assert (fast.error, slow.error) == (None, None)
    for storage in (night.fast, night.slow):
        assert list((await all_contents(storage)).values()) == [expected(TREE)]
    assert list(tmp_path.iterdir()) == []


async def test_what_waits_on_the_disk_is_sealed_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Somebody who steals the disk learns nothing from what a slow storage left on it."""
    night = _night(tmp_path)
    seen: list[tuple[int, list[bool]]] = []
    opened = [await make(night.fast), await make(night.slow)]
    async with session(*opened, packing=PACKING, spill=night.options) as writing:
        await writing.save_tree(MadeFeed(TREE), None)
        (folder,) = tmp_path.iterdir()
        are_packs = [path.name == digest(path.read_bytes()).hex() for path in _spilled(tmp_path)]
        seen.append((folder.stat().st_mode & 0o777, are_packs))
        night.gate.opened.set()
    assert seen[0][0] == 0o700
    assert seen[0][1]
    assert all(seen[0][1])


class _Watching(Wrapper):
    """Looks at the buffer each time that something is put."""

    def __init__(self, inner: OpenStorage, folder: Path) -> None:
        super().__init__(inner)
        self._folder = folder
        self.sizes: list[int] = []

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes down how much is in the buffer."""
        size_bytes = 0
        for path in _spilled(self._folder):
            with contextlib.suppress(FileNotFoundError):  # it was taken out at this moment
                size_bytes += path.stat().st_size
        self.sizes.append(size_bytes)
        await self._inner.put(key, parts)


async def test_a_storage_that_is_too_far_behind_is_dropped_and_gets_no_snapshot(tmp_path: Path) -> None:
    """The disk of the machine that backs up must not fill because a storage far away does not keep up."""
    night = _night(tmp_path, limit_bytes=200_000)
    watching = _Watching(night.fast, tmp_path)
    opened = [await make(watching), await make(night.slow)]
    async with session(*opened, packing=PACKING, spill=night.options) as writing:
        result = await writing.save_tree(MadeFeed(TREE), None)
        fast, slow = await writing.commit(snapshot(result.tree_id))
    assert 100_000 < max(watching.sizes) <= 200_000
    assert fast.snapshot_id is not None
    assert isinstance(slow.error, StorageBehindError)
    assert "slow was too slow" in slow.error.message
    assert await all_contents(night.slow) == {}
    assert list((await all_contents(night.fast)).values()) == [expected(TREE)]
    assert list(tmp_path.iterdir()) == []


class _Broken(Wrapper):
    """Never takes its first pack, and refuses its second."""

    packs = 0

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """All but packs is taken."""
        if key.kind is Kind.PACK:
            self.packs += 1
            if self.packs > 1:
                raise StorageUnreachableError("the line is cut")
            await asyncio.Event().wait()
        await self._inner.put(key, parts)


async def test_nobody_waits_for_the_other_uploads_of_a_storage_that_failed(tmp_path: Path) -> None:
    """A call that is asked again and again for a quarter of an hour is given up with its storage."""
    night = _night(tmp_path)
    opened = [await make(night.fast), await make(_Broken(MemoryStorage("broken")))]
    async with asyncio.timeout(30), session(*opened, packing=PACKING, spill=night.options) as writing:
        result = await writing.save_tree(MadeFeed(TREE), None)
        fast, broken = await writing.commit(snapshot(result.tree_id))
    assert fast.snapshot_id is not None
    assert isinstance(broken.error, StorageUnreachableError)


async def test_a_storage_that_would_take_too_long_at_the_end_is_dropped(tmp_path: Path) -> None:
    """A job that never ends is a backup that never began the next night."""
    night = _night(tmp_path, allowance=Allowance(0.0))
    opened = [await make(night.fast), await make(night.slow)]
    async with session(*opened, packing=PACKING, spill=night.options) as writing:
        result = await writing.save_tree(MadeFeed(TREE), None)
        fast, slow = await writing.commit(snapshot(result.tree_id))
    assert fast.snapshot_id is not None
    assert isinstance(slow.error, StorageBehindError)
    assert await all_contents(night.slow) == {}
    assert list(tmp_path.iterdir()) == []


async def test_a_slow_storage_that_is_the_last_one_left_gets_everything(tmp_path: Path) -> None:
    """When the fast one breaks, the slow one is all there is: then it sets the pace."""
    night = _night(tmp_path, limit_bytes=400_000)
    fast = FaultyStorage(night.fast, Fault(at=8, times=999, **PACKS))  # type: ignore[arg-type]
    opened = [await make(fast), await make(night.slow)]
    async with (
        session(*opened, packing=PACKING, spill=night.options) as writing,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_open_late(night, fast))
        result = await writing.save_tree(MadeFeed(TREE), None)
        first, second = await writing.commit(snapshot(result.tree_id))
    assert isinstance(first.error, StorageUnreachableError)
    assert second.error is None
    assert list((await all_contents(night.slow)).values()) == [expected(TREE)]


async def _open_late(night: Night, fast: FaultyStorage) -> None:
    while fast.count("put", Kind.PACK) < 8:  # noqa: ASYNC110
        await asyncio.sleep(0)
    night.gate.opened.set()


async def test_a_tree_is_read_once_more_from_one_that_keeps_up(tmp_path: Path) -> None:
    """Files that were spoiled are read again at once, and not when the slowest storage has all the others."""
    night = _night(tmp_path)
    opened = [await make(night.slow), await make(night.fast)]
    async with session(*opened, packing=PACKING, spill=night.options) as writing:
        await writing.save_tree(MadeFeed(TREE), None)
        await writing.flush()
        assert writing.whole_repository is opened[1]
        assert _spilled(tmp_path)
        night.gate.opened.set()


@pytest.mark.slow
async def test_worker_processes_get_their_memory_back_from_a_slow_storage(tmp_path: Path) -> None:
    """Their few slots would all be held by packs that wait for the slow one; and what is used again must not change what waits."""
    night = _night(tmp_path)
    opened = [await make(night.fast), await make(night.slow)]
    first, second = directories(*files(300)), directories(*files(300, seed=2))
    async with (
        Processes.start(is_early=False) as processes,
        session(*opened, packing=PACKING, processes=processes, spill=night.options) as writing,
    ):
        await writing.save_tree(MadeFeed(first), None)
        await writing.flush()
        result = await writing.save_tree(MadeFeed(second), None)
        assert len(_spilled(tmp_path)) > 50
        night.gate.opened.set()
        done = await writing.commit(snapshot(result.tree_id))
    assert [each.error for each in done] == [None, None]
    for storage in (night.fast, night.slow):
        assert list((await all_contents(storage)).values()) == [expected(second)]
        assert not (await check.check(await reopen(storage))).damaged


async def test_what_the_disk_changed_is_not_stored(tmp_path: Path) -> None:
    """A buffer on a dying disk must not become a backup that cannot be restored."""
    night = _night(tmp_path)
    opened = [await make(night.fast), await make(night.slow)]
    async with session(*opened, packing=PACKING, spill=night.options) as writing:
        result = await writing.save_tree(MadeFeed(TREE), None)
        path = _spilled(tmp_path)[0]
        path.write_bytes(bytes(path.stat().st_size))
        night.gate.opened.set()
        _, slow = await writing.commit(snapshot(result.tree_id))
    assert isinstance(slow.error, DamagedError)
    assert await all_contents(night.slow) == {}


async def test_a_single_storage_never_uses_the_buffer(tmp_path: Path) -> None:
    """Alone, it is the reading that waits: writing everything twice would help nobody."""
    night = _night(tmp_path)
    opened = await make(night.slow)
    async with session(opened, packing=PACKING, spill=night.options) as writing, asyncio.TaskGroup() as group:
        saving = group.create_task(writing.save_tree(MadeFeed(TREE), None))
        await night.gate.arrived.wait()
        assert list(tmp_path.iterdir()) == []
        night.gate.opened.set()
        await writing.commit(snapshot((await saving).tree_id))


def test_what_a_killed_session_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    """Ten gigabytes of a job that the power cut ended must not lie there for ever."""
    words = [sys.executable, "-c", _CHILD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        (folder,) = tmp_path.iterdir()
        (folder / "pack").write_bytes(b"sealed")
        assert spill.remove_leftovers(tmp_path) == 0
        assert folder.exists()
        child.kill()
        child.wait()
        assert spill.remove_leftovers(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_holding_others_up_is_forgiven_as_time_passes() -> None:
    """Two storages that are equally fast must not write to the disk for every hiccup of one of them."""
    held = HeldUp()
    held.add(0.2, 10.0)
    assert held.seconds(10.0) == pytest.approx(0.2)
    assert held.seconds(12.0) == pytest.approx(0.1)
    held.add(0.2, 12.0)
    assert held.seconds(12.0) == pytest.approx(0.3)
    assert held.seconds(100.0) == 0.0
