"""A backup to two storages, one of them slow, that is cut off at any point: both are sound, and the next backup completes both."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.repository import lock
from engine.repository.packing import PackingOptions
from engine.repository.spill import SpillOptions
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage, Wrapper
from tests.fakes.disturbing import Steps, attempt, counting
from tests.fakes.invariant import Judge
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import (
    Contents,
    all_contents,
    copy_of,
    expected,
    files,
    make,
    reopen,
    session,
    snapshot,
)
from tests.fakes.tree_feed import MadeFeed, directories
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow

TREE = directories(*files(20))
PACKING = PackingOptions(pack_bytes=16 << 10)
TURNS = 40
"""Of the event loop that the slow storage takes for a pack."""
STRIDE = 23
"""Every 23rd await is cancelled: of a thousand, most are turns of the slow storage. With 1 here, all are (minutes)."""


@dataclass(slots=True)
class Mains:
    """The power of the machine that backs up: gone at one call to any of its storages, and from then on."""

    cut_at: int = 0
    """0: never."""
    calls: int = 0

    def use(self) -> None:
        """One more call. Raises: StorageError where the power is gone: nothing more reaches any storage."""
        self.calls += 1
        if self.cut_at and self.calls >= self.cut_at:
            raise StorageError("no power")


class Powered(Wrapper):
    """A storage that takes some turns for a pack, as long as there is power."""

    def __init__(self, inner: OpenStorage, mains: Mains, turns: int) -> None:
        super().__init__(inner)
        self._mains = mains
        self._turns = turns

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Slowly, where it is a pack."""
        self._mains.use()
        for _ in range(self._turns if key.kind is Kind.PACK else 0):
            await asyncio.sleep(0)
        self._mains.use()
        await self._inner.put(key, parts)
        self._mains.use()

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """With power."""
        self._mains.use()
        return await self._inner.get(key, offset, length)

    async def size(self, key: Key) -> int:
        """With power."""
        self._mains.use()
        return await self._inner.size(key)

    async def delete(self, key: Key) -> None:
        """With power."""
        self._mains.use()
        await self._inner.delete(key)

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """With power."""
        self._mains.use()
        async for listed in self._inner.list(kind):
            yield listed


@dataclass(slots=True)
class Night:
    """Two repositories that hold one backup, and the next one to both."""

    fast: MemoryStorage
    slow: MemoryStorage
    before: Sequence[dict[str, Contents]]
    folder: Path
    most_spilled: int = 0
    stores: list[MemoryStorage] = field(default_factory=list)

    async def run(self, mains: Mains) -> None:
        """Backs up; leaves what came of it in `stores`."""
        self.stores = [copy_of(self.fast), copy_of(self.slow)]
        await self.back_up(self.stores, mains)

    async def back_up(self, stores: Sequence[MemoryStorage], mains: Mains) -> None:
        """Backs up to these."""
        opened = [
            await reopen(Powered(each, mains, turns)) for each, turns in zip(stores, (0, TURNS), strict=True)
        ]
        options = SpillOptions(self.folder, patience_s=0.0)
        async with session(*opened, packing=PACKING, spill=options) as writing:
            result = await writing.save_tree(MadeFeed(TREE), None)
            self.most_spilled = max(self.most_spilled, len(list(self.folder.glob("*/*"))))
            await writing.commit(snapshot(result.tree_id))


@pytest.fixture
async def night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Night:
    """The state that each disturbed backup starts from."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)
    stores = [MemoryStorage("fast"), MemoryStorage("slow")]
    opened = [await make(each) for each in stores]
    async with session(*opened, packing=PACKING) as writing:
        result = await writing.save_tree(MadeFeed(directories(*files(4))), None)
        await writing.commit(snapshot(result.tree_id))
    (tmp_path / "spill").mkdir()
    before = [await all_contents(each) for each in stores]
    return Night(stores[0], stores[1], before, tmp_path / "spill")


async def _check(night: Night, judges: Sequence[Judge], *, is_going_on: bool = True) -> None:
    """Both are sound, nothing is left in the buffer, and the next backup goes to both."""
    assert list(night.folder.iterdir()) == []
    for store, before, judge in zip(night.stores, night.before, judges, strict=True):
        await judge.judge(store, before, expected(TREE))
    if not is_going_on:
        return
    for store in night.stores:
        for key in [key for key in store.objects if key.kind is Kind.LOCK]:
            del store.objects[key]
    await night.back_up(night.stores, Mains())
    for store, before in zip(night.stores, night.before, strict=True):
        assert len(await all_contents(store)) > len(before)


@pytest.fixture
def judges(restic_newest: ResticProgram, tmp_path: Path) -> list[Judge]:
    """One for each storage, with the newest restic for a few end states."""
    places = [tmp_path / "fast", tmp_path / "slow"]
    for place in places:
        place.mkdir()
    return [Judge(restic_newest, place, restic_limit=2) for place in places]


async def test_a_power_cut_at_any_call_to_either_of_two_storages_loses_nothing(
    night: Night, judges: Sequence[Judge]
) -> None:
    """The machine that backs up dies while one storage has everything and the other lags behind."""
    for at in itertools.count(1):
        mains = Mains(cut_at=at)
        await attempt(lambda mains=mains: night.run(mains))  # type: ignore[misc]
        await _check(night, judges, is_going_on=not at % 8)
        if mains.calls < at:
            break
    assert at > 50
    assert night.most_spilled > 0


@pytest.mark.timeout(300)
async def test_a_backup_to_two_storages_cancelled_at_any_await_loses_nothing(
    night: Night, judges: Sequence[Judge]
) -> None:
    """Somebody presses Ctrl-C while one storage is done and the other takes its packs from the buffer."""
    for at in itertools.count(1, STRIDE):
        steps = Steps(at)

        async def cancelled(steps: Steps = steps) -> None:
            steps.victim = asyncio.current_task()
            await night.run(Mains())

        async with counting(steps):
            await attempt(cancelled)
        await _check(night, judges)
        if steps.count < at:
            break
    assert at > 100
