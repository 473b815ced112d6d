"""Bandwidth limits and the number of calls at once."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from engine.errors import ConfigurationError
from engine.storages.base import Key, Kind, Traits
from engine.storages.throttle import Hours, LimitedStorage, ThrottledStorage
from tests.fakes.faulty_storage import Fault, FaultyStorage
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.waiting_clock import WaitingClock

PACK = Key(Kind.PACK, "ab" * 32)
MIB = 1 << 20


def throttled(
    clock: WaitingClock, *, upload: float | None = None, download: float | None = None
) -> ThrottledStorage:
    """A fake with limits in KiB/s."""
    return ThrottledStorage(
        MemoryStorage(), upload_kib_s=upload, download_kib_s=download, clock=clock, sleep=clock.sleep
    )


async def test_uploads_keep_to_their_limit() -> None:
    """The line serves others by day."""
    clock = WaitingClock()
    storage = throttled(clock, upload=1024)
    for _ in range(11):
        await storage.put(PACK, [bytes(MIB // 2)] * 2)
    assert clock.monotonic() == pytest.approx(10)


@pytest.mark.parametrize("length", [None, MIB], ids=["whole", "range"])
async def test_downloads_keep_to_their_limit(length: int | None) -> None:
    """A verification reads all packs over the same line."""
    clock = WaitingClock()
    storage = throttled(clock, download=1024)
    await storage.put(PACK, [bytes(MIB)])
    for _ in range(11):
        await storage.get(PACK, 0, length)
    assert clock.monotonic() == pytest.approx(10)


@pytest.mark.parametrize(
    ("hours", "times"),
    [
        ("08:00-18:00", {"07:59": False, "08:00": True, "17:59": True, "18:00": False}),
        ("22:00-06:30", {"21:59": False, "22:00": True, "00:00": True, "06:29": True, "06:30": False}),
        ("00:00-00:00", {"00:00": False, "12:00": False}),
    ],
)
def test_hours_of_a_day_may_lead_over_midnight(hours: str, times: dict[str, bool]) -> None:
    """The night shift begins on the day before."""
    for time, expected in times.items():
        instant = datetime.datetime.fromisoformat(f"2026-03-01T{time}")
        assert Hours.parse(hours).include(instant) is expected


@pytest.mark.parametrize(
    "text", ["8-18", "08:00", "24:00-06:00", "08:60-09:00", "08:00-18:00 ", "٠٨:00-18:00"]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    """A limit that nobody understood must not be taken for one that holds."""
    with pytest.raises(ConfigurationError):
        Hours.parse(text)


async def test_outside_its_hours_a_limit_does_not_hold() -> None:
    """The line is free at night."""
    clock = WaitingClock()
    now = clock.now().astimezone(clock.local_offset(clock.now()))
    minute = now.hour * 60 + now.minute
    within, outside = Hours(minute, (minute + 60) % 1440), Hours((minute + 120) % 1440, (minute + 180) % 1440)
    for hours, expected_s in ((outside, 0), (within, 10)):
        storage = ThrottledStorage(
            MemoryStorage(),
            upload_kib_s=1024,
            download_kib_s=1024,
            clock=clock,
            sleep=clock.sleep,
            hours=hours,
        )
        began = clock.monotonic()
        for _ in range(11):
            await storage.put(PACK, [bytes(MIB)])
        assert clock.monotonic() - began == pytest.approx(expected_s)


async def test_many_at_once_share_one_limit() -> None:
    """Five connections must not have five times the limit."""
    clock = WaitingClock()
    storage = throttled(clock, upload=1024)
    async with asyncio.TaskGroup() as group:
        for _ in range(11):
            group.create_task(storage.put(PACK, [bytes(MIB)]))
    assert clock.monotonic() == pytest.approx(10)


async def test_each_way_has_its_own_limit() -> None:
    """A restore is not slowed by what backups may send."""
    clock = WaitingClock()
    storage = throttled(clock, upload=1)
    await storage.put(PACK, [bytes(MIB)])
    for _ in range(10):
        await storage.get(PACK)
    assert clock.monotonic() == 0


async def test_time_without_traffic_is_not_saved_up() -> None:
    """An hour's pause must not be followed by an hour's worth at once."""
    clock = WaitingClock()
    storage = throttled(clock, upload=1024)
    clock.advance(3600)
    for _ in range(3):
        await storage.put(PACK, [bytes(MIB)])
    assert clock.monotonic() == pytest.approx(3602)


async def test_a_cancelled_wait_leaves_the_limit_as_it_was() -> None:
    """One stopped backup must not stop the others on the same storage."""
    clock = WaitingClock()
    storage = throttled(clock, upload=1024)
    await storage.put(PACK, [bytes(10 * MIB)])
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(storage.put(PACK, [bytes(100 * MIB)]))
        await asyncio.sleep(0)
        waiting.cancel()
    await storage.put(PACK, [b""])
    assert clock.waits == [10, 10]
    assert clock.monotonic() == 10


@pytest.mark.parametrize("method", ["put", "get", "size", "delete"])
async def test_no_more_calls_go_through_than_the_storage_wants(method: str) -> None:
    """A server that allows five connections refuses the sixth."""
    memory = MemoryStorage()
    await memory.put(PACK, [b"pack"])
    faulty = FaultyStorage(memory)
    gate = faulty.hold(Fault(at=1, methods={method}))
    storage = LimitedStorage(faulty, 2)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(
                storage.put(PACK, [b"pack"]) if method == "put" else getattr(storage, method)(PACK)
            )
        for _ in range(20):
            await asyncio.sleep(0)
        assert faulty.count(method) == 2
        gate.opened.set()
    assert faulty.count(method) == 5
    assert storage.traits.connections == 2


@pytest.mark.parametrize(("download", "expected"), [(None, "/somewhere"), (1024, None)])
def test_a_limit_on_reading_hides_the_way_around_it(download: float | None, expected: str | None) -> None:
    """A restore opens packs by their path where it can, and would then take all the disk's speed."""
    clock = WaitingClock()
    inner = MemoryStorage(traits=Traits(local_path="/somewhere"))
    storage = ThrottledStorage(inner, upload_kib_s=5, download_kib_s=download, clock=clock, sleep=clock.sleep)
    assert storage.traits.local_path == expected
