"""Forgetting: snapshots go, one by one, and nothing else does."""

from __future__ import annotations

import pytest

from engine.errors import LockLostError
from engine.events import Event, Progress
from engine.repository import forget
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind
from tests.damaged import building
from tests.fakes.loop_clock import LoopClock
from tests.unit.repository.changes import assert_whole, contents, names, run_locked

pytestmark = pytest.mark.looptime


async def test_a_forgotten_snapshot_is_gone_and_the_others_are_whole(clock: LoopClock) -> None:
    """Forgetting frees names, and prune the room."""
    made = await building.small(clock)
    packs = names(made.storage, Kind.PACK)
    seen: list[Event] = []

    async def work(repository: Repository, held: HeldLock) -> None:
        assert await forget.forget(repository, [made.first], held, emit=seen.append) == [made.first]
        assert await forget.forget(repository, [made.first], held) == [made.first]

    await run_locked(made.storage, clock, work)
    assert names(made.storage, Kind.SNAPSHOT) == {made.second}
    assert names(made.storage, Kind.PACK) == packs
    assert seen == [Progress("forget", done_files=1, total_files=1, current=made.first)]
    assert b"srv/more/c" in await contents(made.storage, clock, made.second)
    await assert_whole(made.storage, clock)


async def test_without_its_lock_nothing_is_forgotten(clock: LoopClock) -> None:
    """Somebody who removed the lock may be copying just that snapshot."""
    made = await building.small(clock)

    async def work(repository: Repository, held: HeldLock) -> None:
        del made.storage.objects[Key(Kind.LOCK, held.name)]
        with pytest.raises(LockLostError):
            await forget.forget(repository, [made.first], held)

    await run_locked(made.storage, clock, work)
    assert names(made.storage, Kind.SNAPSHOT) == {made.first, made.second}
