"""Very many schedules that are due at the same instant: looked at, queued, claimed and ended by a real worker, whole and within the limits.

The jobs themselves do nothing, so that what is measured is what holdfast does round them.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine import events
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import Outcome, SlotLimits
from engine.jobs import ticking
from engine.model.definitions import Host, Source, Storage
from engine.model.job import Job, JobStatus
from engine.model.schedules import RunOutcome, Schedule
from engine.notify import Notifier
from engine.process import ProcessIdentity
from engine.schedule import due
from engine.worker import Worker, WorkerOptions
from tests.bench.report import Figure
from tests.fakes.clock import FakeClock

SCHEDULES = 10_000
HOSTS = 100
OF_A_HOST, OF_A_STORAGE, AT_ONCE = 2, 6, 8
LIMIT_S = 300.0
LIMIT_MIB = 64.0
"""That the whole of it may take more than what it began with."""
_BEGIN = datetime.datetime(2026, 11, 20, 14, 5, tzinfo=datetime.UTC)


@dataclass(slots=True)
class Rush:
    """What was seen of it."""

    queued_s: float = 0.0
    """Until all were queued."""
    ended_s: float = 0.0
    longest_tick_s: float = 0.0
    grown_bytes: int = 0
    done: Counter[str] = field(default_factory=Counter)
    """Source -> how often its job was run."""
    most: Counter[str] = field(default_factory=Counter)
    """Slot -> the most jobs that held it at once; `all` for all of them."""
    outcomes: Counter[str] = field(default_factory=Counter)


class _Clock(FakeClock):
    """Stands still but for its monotonic half, by which a worker waits."""

    def monotonic(self) -> float:
        return time.monotonic()


async def rush(path: Path, schedules: int) -> Rush:
    """Has that many be due at once, and a worker that ends when nothing is left."""
    clock, seen = _Clock(_BEGIN), Rush()
    async with Catalog.open(path, clock) as catalog:
        await _fill(catalog, clock, schedules)
        clock.advance(3600)
        before, begun = _resident_bytes(), time.monotonic()
        held: Counter[str] = Counter()

        async def tick() -> datetime.datetime | None:
            while True:
                at = time.monotonic()
                result = await ticking.tick(catalog, clock.now())
                seen.longest_tick_s = max(seen.longest_tick_s, time.monotonic() - at)
                if result.queued:
                    seen.queued_s = time.monotonic() - begun
                elif not result.settled:
                    return result.next_at

        async def run(job: Job) -> None:
            (source,) = job.request["sources"]
            slots = ["all", f"host:host{int(source[6:]) % HOSTS}", "storage:near"]
            held.update(slots)
            for slot in slots:
                seen.most[slot] = max(seen.most[slot], held[slot])
            await asyncio.sleep(0.02)
            seen.done[source] += 1
            seen.grown_bytes = max(seen.grown_bytes, _resident_bytes() - before)
            held.subtract(slots)
            await catalog.jobs.finish(job.job_id, ProcessIdentity.current(), Outcome(JobStatus.COMPLETED))

        limits = SlotLimits(1, {"host:*": OF_A_HOST, "storage:*": OF_A_STORAGE}, AT_ONCE)
        options = WorkerOptions(linger_s=0.0, most_jobs=AT_ONCE)
        await Worker(catalog, clock, limits, run, tick=tick, options=options).work(Notifier(), events.ignore)
        seen.ended_s = time.monotonic() - begun
        await tick()
        for number in range(schedules):
            runs = await catalog.timetable.runs(f"schedule{number}")
            seen.outcomes.update(each.outcome for each in runs)
    return seen


async def _fill(catalog: Catalog, clock: FakeClock, schedules: int) -> None:
    await catalog.storages.add(Storage("near", "local", is_default=True))
    for number in range(HOSTS):
        await catalog.hosts.add(Host(f"host{number}", address="db.example"))
    for number in range(schedules):
        source = Source(f"source{number}", "files", f"host{number % HOSTS}", {"path": ["/srv"]})
        await catalog.sources.add(source)
        schedule = Schedule(f"schedule{number}", rhythm="hourly", sources=(source.name,))
        await catalog.timetable.add(schedule, due.begin(schedule, clock.now()))


def require_whole(seen: Rush, schedules: int) -> None:
    """Raises: AssertionError where one was lost or done twice, or a limit was not kept or not used."""
    assert seen.done == Counter({f"source{number}": 1 for number in range(schedules)})
    assert seen.outcomes == Counter({RunOutcome.COMPLETED: schedules})
    assert (seen.most["all"], seen.most["storage:near"]) == (OF_A_STORAGE, OF_A_STORAGE)
    assert max(count for slot, count in seen.most.items() if slot.startswith("host:")) <= OF_A_HOST


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def figures(place: Path) -> Iterator[Figure]:
    """All of it: how long, and how much memory."""
    seen = asyncio.run(rush(place / "rush.db", SCHEDULES))
    require_whole(seen, SCHEDULES)
    what = f"{SCHEDULES} schedules due at once"
    yield Figure(f"{what}: until all are queued", seen.queued_s, "s")
    yield Figure(f"{what}: until all are claimed and ended", seen.ended_s, "s", LIMIT_S)
    yield Figure(f"{what}: memory", seen.grown_bytes / (1 << 20), "MiB", LIMIT_MIB)
