"""A backup that fails or is cancelled at any point: at each storage call in each way, and at each await.

After each: the repository is sound, earlier snapshots restore identically, and the next backup succeeds and uses what was stored.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.repository import lock
from engine.storages.base import Key, Kind
from tests.fakes.disturbing import Steps, attempt, counting
from tests.fakes.faulty_storage import Call, Fault, FaultyStorage, Mode
from tests.fakes.invariant import Judge
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import (
    Contents,
    Small,
    all_contents,
    copy_of,
    expected,
    files,
    lock_count,
    make,
)  # fmt: skip
from tests.fakes.tree_feed import Made, changed, directories
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow

LARGE = 900_000
CANCELS = (Mode.CANCELLED, Mode.CANCELLED_AFTER)


@dataclass(frozen=True, slots=True)
class Night:
    """A repository with one backup, and the next one that is to be disturbed."""

    storage: MemoryStorage
    before: dict[str, Contents]
    second: Small
    calls: tuple[Call, ...]
    """Of the second backup, undisturbed."""
    added_bytes: int
    known_bytes: int
    """What the index names before the second backup."""

    @property
    def new(self) -> Contents:
        """What the second backup holds."""
        return expected(self.second.made)


@pytest.fixture
async def night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, judge: Judge) -> Night:
    """The state that each disturbed backup starts from."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)
    first = [
        *files(6),
        Made("srv/quiet/file", b"never changes"),
        Made("srv/dump.sql", files(1, seed=9, size_bytes=LARGE)[0].content),
    ]
    second = [
        *changed(first, "srv/a/file02", content=b"changed", mtime_s=1_700_000_001),
        *files(12, seed=2)[6:],
    ]
    storage = MemoryStorage()
    await make(storage)
    await Small(directories(*first), cache=tmp_path / "cache").run(storage)
    job = Small(directories(*second), tick_s=25.0, cache=tmp_path / "cache")
    whole = FaultyStorage(copy_of(storage))
    added = await job.run(whole)
    before = await all_contents(storage)
    known = await judge.judge(copy_of(storage), before)
    return Night(storage, before, job, tuple(whole.calls), added, known)


@pytest.fixture
def judge(restic_newest: ResticProgram, tmp_path: Path) -> Judge:
    """With the newest restic."""
    return Judge(restic_newest, tmp_path)


async def _check_and_go_on(night: Night, storage: MemoryStorage, judge: Judge) -> None:
    """The invariant, then the next backup, which adds exactly what the index does not know yet."""
    known = await judge.judge(storage, night.before, night.new)
    added = await night.second.run(storage)
    assert added == night.added_bytes - (known - night.known_bytes)
    await judge.judge(storage, night.before, night.new)


def _is_lock_call(call: Call) -> bool:
    return call.key is not None and call.key.kind is Kind.LOCK


def _points(calls: tuple[Call, ...], mode: Mode) -> list[int]:
    """The numbers of the calls that this can happen to: what leaves half an object is a pack at most, by the storages' contract."""
    kinds = (Kind.PACK,) if mode is Mode.TRUNCATED else tuple(Kind)
    return [
        number
        for number, call in enumerate(calls, 1)
        if call.key is not None
        and call.key.kind in kinds
        and (mode is not Mode.TRUNCATED or call.method == "put")
    ]


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER, Mode.TRUNCATED, *CANCELS])
async def test_a_backup_disturbed_at_any_storage_call_loses_nothing(
    mode: Mode, night: Night, judge: Judge
) -> None:
    """The network breaks where it likes, and people press Ctrl-C when they like."""
    assert sum(call.method == "put" and not _is_lock_call(call) for call in night.calls) >= 5
    for number in _points(night.calls, mode):
        inner = copy_of(night.storage)
        storages: list[FaultyStorage] = []

        async def disturbed(inner: MemoryStorage = inner, number: int = number) -> None:
            storage = FaultyStorage(inner, Fault(at=number, mode=mode), victim=asyncio.current_task())
            storages.append(storage)  # noqa: B023 -- used in this turn only
            await night.second.run(storage)

        await attempt(disturbed)
        if lock_count(inner):
            assert mode is Mode.BEFORE
            call = storages[0].calls[number - 1]
            assert call.method == "delete"
            assert _is_lock_call(call)
        await _check_and_go_on(night, inner, judge)


@pytest.mark.parametrize("brings_back_deleted", [False, True])
async def test_a_power_cut_at_any_storage_call_loses_nothing(
    brings_back_deleted: bool, night: Night, judge: Judge
) -> None:
    """The storage is gone from one moment on, and back in the morning."""
    for number in _points(night.calls, Mode.POWER_LOSS):
        inner = copy_of(night.storage)
        storage = FaultyStorage(inner, Fault(at=number, mode=Mode.POWER_LOSS))
        await attempt(lambda storage=storage: night.second.run(storage))  # type: ignore[misc]
        await storage.restore_power(brings_back_deleted=brings_back_deleted)
        await _check_and_go_on(night, inner, judge)


@pytest.mark.timeout(300)
async def test_a_backup_cancelled_at_any_await_loses_nothing(night: Night, judge: Judge) -> None:
    """A cancel may come at each moment at which the program waits for anything."""
    for at in itertools.count(1):
        inner = copy_of(night.storage)
        storage = FaultyStorage(inner)
        steps = Steps(at)

        async def cancelled(steps: Steps = steps, storage: FaultyStorage = storage) -> None:
            steps.victim = asyncio.current_task()
            await night.second.run(storage)

        async with counting(steps):
            await attempt(cancelled)
        if steps.count < at:
            break
        assert lock_count(inner) == 0
        await _check_and_go_on(night, inner, judge)
    assert at > len(night.calls)


async def test_what_a_cancelled_backup_stored_is_indexed(night: Night) -> None:
    """Ctrl-C after hours of reading must not mean hours of reading again."""
    inner = copy_of(night.storage)

    async def disturbed() -> None:
        fault = Fault(at=3, mode=Mode.CANCELLED, methods={"put"}, kinds={Kind.PACK})
        await night.second.run(FaultyStorage(inner, fault, victim=asyncio.current_task()))

    await attempt(disturbed)
    assert await night.second.run(inner) < night.added_bytes
    packs = [key for key in inner.objects if key.kind is Kind.PACK]
    assert Key(Kind.CONFIG) in inner.objects
    assert len(packs) > 2
