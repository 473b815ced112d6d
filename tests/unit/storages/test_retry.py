"""Retries: when, how long, and when never."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from engine import errors, events
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage, Traits
from engine.storages.retry import Patience, RetryingStorage
from tests.fakes.faulty_storage import Call, Fault, FaultyStorage, Mode
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.waiting_clock import WaitingClock

PACK = Key(Kind.PACK, "ab" * 32)


def retrying(inner: OpenStorage, clock: WaitingClock, patience: Patience | None = None) -> RetryingStorage:
    """Retries in the middle of the jitter, so that waits are round."""
    return RetryingStorage(inner, patience or Patience(), clock=clock, sleep=clock.sleep, draw=lambda: 0.5)


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER])
@pytest.mark.parametrize("method", ["create", "put", "get", "size", "delete", "space", "clean"])
async def test_a_call_outlives_a_storage_that_is_away_for_a_moment(method: str, mode: Mode) -> None:
    """A backup of hours must not fail for a second without a line."""
    faulty, clock = (
        FaultyStorage(MemoryStorage(), Fault(at=1, times=3, mode=mode, methods={method})),
        WaitingClock(),
    )
    await faulty._inner.put(PACK, [b"pack"])
    arguments: dict[str, tuple[object, ...]] = {
        "create": (),
        "space": (),
        "clean": (0,),
        "put": (PACK, [b"pack"]),
    }
    await getattr(retrying(faulty, clock), method)(*arguments.get(method, (PACK,)))
    assert clock.waits == [1, 2, 4]


async def test_what_is_written_once_alone_is_tried_again_too() -> None:
    """A repository is made by one call among many, over the same line."""
    left = [errors.StorageUnreachableError("away"), errors.StorageUnreachableError("away")]

    async def put_new(_key: Key, _parts: Sequence[Buffer]) -> None:
        if left:
            raise left.pop()
        raise errors.ObjectExistsError("it is there already")

    clock = WaitingClock()
    storage = retrying(MemoryStorage(traits=Traits(put_new=put_new)), clock)
    assert storage.traits.put_new is not None
    with pytest.raises(errors.ObjectExistsError):
        await storage.traits.put_new(PACK, [b"pack"])
    assert clock.waits == [1, 2]


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER])
async def test_a_listing_that_breaks_off_gives_nothing_twice_and_leaves_nothing_out(mode: Mode) -> None:
    """A pack listed twice would be counted twice, one left out would be missed."""
    memory, clock = MemoryStorage(), WaitingClock()
    for number in range(10):
        await memory.put(Key(Kind.PACK, f"{number:064x}"), [b"pack"])
    storage = retrying(FaultyStorage(memory, Fault(at=1, times=2, mode=mode)), clock)
    found = [listed async for listed in storage.list(Kind.PACK)]
    assert sorted(found) == [Listed(Key(Kind.PACK, f"{number:064x}"), 4) for number in range(10)]
    assert clock.waits == [1, 2]


@pytest.mark.parametrize(
    "error",
    [errors.StorageFullError, errors.StorageDeniedError, errors.StorageReadOnlyError, errors.StorageError],
)
async def test_what_no_waiting_cures_fails_at_once(error: type[errors.StorageError]) -> None:
    """Waiting a quarter of an hour for a full disk helps nobody."""
    faulty, clock = FaultyStorage(MemoryStorage(), Fault(at=1, error=error)), WaitingClock()
    with pytest.raises(error):
        await retrying(faulty, clock).put(PACK, [b"pack"])
    assert (clock.waits, len(faulty.calls)) == ([], 1)


async def test_a_storage_that_stays_away_is_given_up_in_time() -> None:
    """A schedule must hear of it before its next turn."""
    faulty, clock = FaultyStorage(MemoryStorage(), Fault(at=1, times=1000)), WaitingClock()
    with pytest.raises(errors.StorageUnreachableError):
        await retrying(faulty, clock).get(PACK)
    assert clock.waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert 840 <= sum(clock.waits) <= 900


async def test_an_object_that_was_cut_short_is_not_asked_for_again_and_again() -> None:
    """A verification would else spend a quarter of an hour at each truncated pack."""
    memory, clock = MemoryStorage(), WaitingClock()
    await memory.put(PACK, [b"short"])
    with pytest.raises(errors.ShortReadError):
        await retrying(memory, clock).get(PACK, 0, 100)
    assert clock.waits == [1, 2]


async def test_what_cannot_be_replaced_is_removed_before_the_second_try() -> None:
    """A half object left by the first try would else stay."""
    faulty = FaultyStorage(
        MemoryStorage(traits=Traits(atomic_replace=False)), Fault(at=1, mode=Mode.TRUNCATED, methods={"put"})
    )
    await retrying(faulty, WaitingClock()).put(PACK, [b"whole pack"])
    assert faulty.calls == [Call("put", PACK), Call("delete", PACK), Call("put", PACK)]
    assert await faulty.get(PACK) == b"whole pack"


async def test_a_cancelled_call_is_never_tried_again() -> None:
    """Stopping means now."""
    faulty, clock = FaultyStorage(MemoryStorage(), Fault(at=1, mode=Mode.CANCELLED)), WaitingClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(retrying(faulty, clock).put(PACK, [b"pack"]))
    assert task.cancelled()
    assert (clock.waits, len(faulty.calls)) == ([], 1)


async def test_a_wait_ends_when_it_is_cancelled() -> None:
    """Stopping means now, also while the storage is away."""
    faulty, has_begun = FaultyStorage(MemoryStorage(), Fault(at=1)), asyncio.Event()

    async def sleep(_span_s: float) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    storage = RetryingStorage(faulty, Patience(), clock=WaitingClock(), sleep=sleep, draw=lambda: 0.5)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(storage.get(PACK))
        await has_begun.wait()
        task.cancel()
    assert task.cancelled()


async def test_each_wait_is_told() -> None:
    """Someone who watches a backup stand still wants to know why."""
    heard: list[events.Event] = []
    faulty, clock = FaultyStorage(MemoryStorage("there"), Fault(at=1)), WaitingClock()
    storage = RetryingStorage(
        faulty, Patience(), clock=clock, sleep=clock.sleep, draw=lambda: 0.5, emit=heard.append
    )
    await storage.put(PACK, [b"pack"])
    assert [event.message for event in heard if isinstance(event, events.Noted)] == [
        f"there: {Mode.BEFORE.value}: put data/abababab; trying again in 1 s"
    ]


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 2.0), (0.5, 4.0), (0.999999, 6.0)])
def test_jitter_spreads_writers_round_the_wait(draw: float, expected: float) -> None:
    """Many writers that came back in step would overrun the storage again."""
    assert Patience().pause_s(3, draw) == pytest.approx(expected, rel=1e-5)


def test_a_wait_never_outgrows_its_bound() -> None:
    """Nor does its computing overflow."""
    assert Patience().pause_s(10_000, 0.5) == 60
