"""Snapshots that were read before, and when that is enough."""

from __future__ import annotations

import dataclasses

import pytest

from engine.errors import DamagedError
from engine.format.snapshot import Snapshot
from engine.repository.snapshot_memory import SnapshotMemory
from engine.storages.base import Key, Kind
from tests.damaged import building
from tests.fakes.clock import START
from tests.fakes.loop_clock import LoopClock

SNAPSHOT = Snapshot(START, bytes(32), ("/srv",), "db1")


async def test_a_snapshot_that_was_read_is_read_again_only_by_those_who_prove_it(clock: LoopClock) -> None:
    """Rules of retention need no request for each backup; whoever checks a storage must see its damage."""
    made = await building.small(clock)
    opened = await building.reopen(made.storage, clock)
    before = await opened.snapshots()
    made.storage.objects[Key(Kind.SNAPSHOT, made.first)] = b"damaged"
    later = await building.reopen(made.storage, clock)
    assert await later.snapshots(is_memory_enough=True) == before
    with pytest.raises(DamagedError, match=made.first):
        await later.snapshots()
    del made.storage.objects[Key(Kind.SNAPSHOT, made.first)]
    assert [name for name, _ in await later.snapshots(is_memory_enough=True)] == [made.second]


def test_the_snapshot_that_was_asked_for_longest_ago_makes_room() -> None:
    """A process that lives for months holds no more than so many."""
    memory = SnapshotMemory(most=2)
    one, two, three = (dataclasses.replace(SNAPSHOT, hostname=name) for name in ("a", "b", "c"))
    memory.put("1", one)
    memory.put("2", two)
    assert memory.get("1") is one
    memory.put("3", three)
    assert [memory.get(name) for name in ("1", "2", "3")] == [one, None, three]
