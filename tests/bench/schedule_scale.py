"""One look at very many schedules: where little is due, and where all are at once."""

from __future__ import annotations

import asyncio
import datetime
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from engine.catalog.catalog import Catalog
from engine.jobs import ticking
from engine.model.definitions import Source, Storage
from engine.model.schedules import Schedule
from engine.schedule import due
from tests.bench.report import Figure
from tests.fakes.clock import FakeClock

SCHEDULES = 2_000
LIMIT_MS = 200.0
_BEGIN = datetime.datetime(2026, 11, 20, 14, 5, tzinfo=datetime.UTC)


async def _fill(catalog: Catalog, clock: FakeClock, rhythms: list[str]) -> None:
    await catalog.storages.add(Storage("near", "local"))
    for number in range(SCHEDULES):
        await catalog.sources.add(Source(f"source{number}", "files", options={"path": ["/srv"]}))
    for number in range(SCHEDULES):
        rhythm = rhythms[number % len(rhythms)]
        schedule = Schedule(f"schedule{number}", rhythm=rhythm, sources=(f"source{number}",))
        await catalog.timetable.add(schedule, due.begin(schedule, clock.now()))


async def _ticks(path: Path, rhythms: list[str], seconds: float) -> list[float]:
    """Milliseconds of each look that found something, after so much time."""
    clock = FakeClock(_BEGIN)
    spans: list[float] = []
    async with Catalog.open(path, clock) as catalog:
        await _fill(catalog, clock, rhythms)
        clock.advance(seconds)
        while True:
            begun = time.perf_counter()
            result = await ticking.tick(catalog, clock.now())
            if not result.queued:
                return spans
            spans.append((time.perf_counter() - begun) * 1000)


def figures(place: Path) -> Iterator[Figure]:
    """The longest look of each kind."""
    usual = [f"{number % 60} {number // 60 % 24} * * *" for number in range(1440)]
    few = asyncio.run(_ticks(place / "few.db", usual, 60))
    yield Figure(f"a tick of {SCHEDULES} schedules, two due", max(few), "ms", LIMIT_MS)
    every = asyncio.run(_ticks(place / "all.db", ["hourly"], 3600))
    what = f"a tick of {SCHEDULES} schedules, all due: the middle one of {len(every)}"
    yield Figure(what, statistics.median(every), "ms", LIMIT_MS)
