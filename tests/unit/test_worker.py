"""A worker runs what is queued, ends in two steps, and outlasts a catalog that takes nothing for a while."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine import events
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import SlotLimits
from engine.clock import SystemClock
from engine.errors import HostUnreachableError
from engine.jobs.runner import Runner, Task
from engine.model.job import Job, JobStatus, QueueRule
from engine.notify import Notifier
from engine.process import ProcessIdentity
from engine.worker import Tick, Worker, WorkerOptions, stop_older

LIMITS = SlotLimits(1, {"host:*": 2, "storage:*": 2}, 3)
REPEATED = QueueRule(most_attempts=3, retry_s=0)


@dataclass(slots=True)
class Place:
    """A catalog as a worker has it open, and as another process does."""

    catalog: Catalog
    other: Catalog
    work: Callable[[str], Awaitable[str]]
    """What a job does; is given its verb."""
    heard: list[events.Event] = field(default_factory=list)
    began: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def queue(self, verb: str = "job", *slots: str, rule: QueueRule = REPEATED) -> Job:
        """Queues a job, from the other process."""
        return await Runner(self.other, SystemClock(), LIMITS).enqueue(self._task(verb, slots), rule)

    def _task(self, verb: str, slots: tuple[str, ...] = ()) -> Task[dict[str, str]]:
        async def work(job_id: str, _emit: events.Emit) -> dict[str, str]:
            self.began.put_nowait(job_id)
            return {"said": await self.work(verb)}

        return Task(verb, {}, dict[str, str], work, slots)

    @asynccontextmanager
    async def worker(
        self,
        *,
        tick: Tick | None = None,
        linger_s: float | None = None,
        grace_s: float = 5.0,
        most_jobs: int = 8,
    ) -> AsyncIterator[Worker]:
        """One that works while the body runs, and is stopped after it."""
        runner = Runner(self.catalog, SystemClock(), LIMITS)

        async def run(job: Job) -> None:
            await runner.run_claimed(job.job_id, self._task(job.verb), events.ignore, is_unattended=True)

        options = WorkerOptions(linger_s, most_jobs, grace_s, look_s=0.01)
        worker = Worker(self.catalog, SystemClock(), LIMITS, run, tick=tick, options=options)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(worker.work(Notifier(), self.heard.append))
            yield worker
            if not working.done():
                worker.stop()

    async def wait_for(self, job: Job, status: JobStatus) -> Job:
        """The job as it is when it has that status."""

        async def has_it() -> bool:
            return (await self.other.jobs.get(job.job_id)).status is status

        await _until(has_it)
        return await self.other.jobs.get(job.job_id)

    async def has_worker(self) -> bool:
        """Whether one takes jobs."""
        return bool(await self.other.workers.alive())

    async def has_none(self) -> bool:
        """Whether there is none at all."""
        return not await self.other.workers.all()

    async def has_none_that_takes(self) -> bool:
        """Whether no worker takes jobs any more."""
        return not await self.has_worker()


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 -- what another connection wrote wakes nobody
        await asyncio.sleep(0.005)


async def _at_once(verb: str) -> str:
    return verb


async def _for_ever(verb: str) -> str:
    await asyncio.Event().wait()
    return verb


@asynccontextmanager
async def _open(path: Path, timeout_s: float = 10.0) -> AsyncIterator[Place]:
    async with (
        Catalog.open(path, SystemClock(), timeout_s=timeout_s) as catalog,
        Catalog.open(path, SystemClock()) as other,
    ):
        yield Place(catalog, other, _at_once)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A fresh catalog, opened twice, whose jobs end at once."""
    async with _open(tmp_path / "catalog.db") as opened:
        yield opened


async def test_a_job_that_another_process_queues_is_run_at_once(place: Place) -> None:
    """Whoever hands a job over does not wait for a look at the clock."""
    async with place.worker():
        ended = await place.wait_for(await place.queue(), JobStatus.COMPLETED)
    assert (ended.result, ended.attempts) == ({"said": "job"}, 1)
    assert await place.other.workers.all() == []


async def test_a_worker_that_does_not_stay_waits_for_what_is_to_be_tried_again(place: Place) -> None:
    """Nobody else would come back to it."""
    failures = [
        HostUnreachableError("web1 cannot be reached"),
        HostUnreachableError("web1 cannot be reached"),
    ]

    async def work(verb: str) -> str:
        if failures:
            raise failures.pop()
        return verb

    place.work = work
    job = await place.queue()
    async with place.worker(linger_s=0.02):
        ended = await place.wait_for(job, JobStatus.COMPLETED)
    assert ended.attempts == 3
    told = [line.message for line in await place.other.jobs.log(job.job_id)]
    assert told[0].startswith("web1 cannot be reached; attempt 2 of 3 follows at ")


async def test_an_error_that_nobody_thought_of_ends_the_job_and_not_the_worker(place: Place) -> None:
    """A mistake in one verb must not stop the backups of all hosts."""

    async def work(verb: str) -> str:
        return {"good": "well"}[verb]

    place.work = work
    async with place.worker():
        failed = await place.wait_for(await place.queue("bad"), JobStatus.FAILED)
        await place.wait_for(await place.queue("good"), JobStatus.COMPLETED)
    assert failed.error == "KeyError: 'bad'"


async def test_a_stop_lets_jobs_end_and_takes_no_new_ones(place: Place) -> None:
    """Hours of work are not thrown away for a restart of the service."""
    go_on = asyncio.Event()

    async def work(verb: str) -> str:
        await go_on.wait()
        return verb

    place.work = work
    first = await place.queue()
    async with place.worker() as worker:
        await place.began.get()
        worker.stop()
        await _until(place.has_none_that_takes)
        second = await place.queue()
        go_on.set()
        await place.wait_for(first, JobStatus.COMPLETED)
    assert (await place.other.jobs.get(second.job_id)).status is JobStatus.QUEUED


@pytest.mark.parametrize(("grace_s", "stops"), [(0.05, 1), (60.0, 2)], ids=["grace-is-over", "second-signal"])
async def test_a_job_that_a_stop_cut_off_waits_for_the_next_worker(
    place: Place, grace_s: float, stops: int
) -> None:
    """It was no person who wanted its end."""
    place.work = _for_ever
    job = await place.queue()
    async with place.worker(grace_s=grace_s) as worker:
        await place.began.get()
        for _ in range(stops):
            worker.stop()
    left = await place.other.jobs.get(job.job_id)
    assert (left.status, left.owner, left.attempts) == (JobStatus.QUEUED, "", 0)
    assert left.error == "the worker was stopped; what was done is safe"
    place.work = _at_once
    async with place.worker():
        await place.wait_for(job, JobStatus.COMPLETED)


async def test_a_stop_marks_what_may_not_be_repeated_interrupted(place: Place) -> None:
    """A person decides whether a restore is begun again."""
    place.work = _for_ever
    job = await place.queue(rule=QueueRule())
    async with place.worker(grace_s=0.0):
        await place.began.get()
    assert (await place.other.jobs.get(job.job_id)).status is JobStatus.INTERRUPTED


@pytest.mark.slow
async def test_a_person_s_cancel_from_another_process_ends_a_worker_s_job_for_good(place: Place) -> None:
    """Started there, cancelled here."""
    place.work = _for_ever
    job = await place.queue()
    async with place.worker():
        await place.began.get()
        assert await place.other.jobs.request_cancel(job.job_id)
        ended = await place.wait_for(job, JobStatus.CANCELLED)
    assert "was cancelled" in ended.error


async def test_a_worker_ends_when_the_catalog_tells_it_to(place: Place) -> None:
    """A newer version tells those of older ones so, and no signal can reach another container."""
    me = str(ProcessIdentity.current())
    async with place.worker():
        await _until(place.has_worker)
        assert await stop_older(place.other, "0.0.1") == []
        assert await stop_older(place.other, "99.0") == [me]
        await _until(place.has_none)


@pytest.mark.slow
async def test_the_tick_is_called_at_its_instant(place: Place) -> None:
    """A schedule starts when it is due, and not a minute later."""
    called: list[datetime.datetime] = []
    again = asyncio.Event()

    async def tick() -> datetime.datetime | None:
        called.append(SystemClock().now())
        if len(called) == 1:
            return called[0] + datetime.timedelta(seconds=1.05)
        again.set()
        return None

    async with place.worker(tick=tick):
        await again.wait()
    assert len(called) == 2
    assert called[1] - called[0] >= datetime.timedelta(seconds=1.05)


@pytest.mark.slow
async def test_a_catalog_that_another_process_locks_is_waited_for(tmp_path: Path) -> None:
    """A copy of the home that somebody makes with sqlite3 must not end the service, nor the job that runs."""
    path = tmp_path / "catalog.db"
    async with _open(path, timeout_s=0.05) as place:

        async def has_said_so() -> bool:
            return any("is locked by another process: the worker waits" in str(each) for each in place.heard)

        go_on = asyncio.Event()

        async def work(verb: str) -> str:
            await go_on.wait()
            return verb

        place.work = work
        job = await place.queue()
        locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        locker.execute("BEGIN EXCLUSIVE")
        async with place.worker():
            await _until(has_said_so)
            locker.execute("ROLLBACK")
            await place.began.get()
            # In a thread: whoever is in a transaction needs the loop to end it.
            await asyncio.to_thread(locker.execute, "BEGIN EXCLUSIVE")
            go_on.set()
            await asyncio.sleep(0.1)
            locker.execute("ROLLBACK")
            await place.wait_for(job, JobStatus.COMPLETED)
        locker.close()


@pytest.mark.parametrize("slot", ["host:web1", "storage:main"])
async def test_a_person_s_job_and_the_workers_share_the_places(place: Place, slot: str) -> None:
    """Two at a host, or a storage, are two, whoever asked for them."""
    place.work = _for_ever
    for _ in range(3):
        await place.queue("job", slot)
    mine = Runner(place.other, SystemClock(), LIMITS)
    noted: list[events.Event] = []
    async with place.worker(grace_s=0.0), asyncio.TaskGroup() as group:
        for _ in range(2):
            await place.began.get()
        task = group.create_task(mine.run(place._task("mine", (slot,)), noted.append))

        async def waits_for_its_place() -> bool:
            return bool(noted)

        await _until(waits_for_its_place)
        waits = await place.other.jobs.page(verb="mine")
        assert [job.status for job in waits] == [JobStatus.QUEUED]
        assert place.began.empty()
        task.cancel()
    assert [job.status for job in await place.other.jobs.page(verb="mine")] == [JobStatus.CANCELLED]


async def test_workers_keep_to_the_limit_of_all_and_a_person_waits_for_none(place: Place) -> None:
    """The night's work is bounded; who sits there and waits comes on top."""
    place.work = _for_ever
    for _ in range(5):
        await place.queue()
    mine = Runner(place.other, SystemClock(), LIMITS)
    async with place.worker(grace_s=0.0), asyncio.TaskGroup() as group:
        for _ in range(3):
            await place.began.get()
        task = group.create_task(mine.run(place._task("mine"), events.ignore))
        await place.began.get()
        running = await place.other.jobs.running()
        assert sorted(job.verb for job in running) == ["job", "job", "job", "mine"]
        task.cancel()


async def test_no_worker_takes_the_job_of_a_terminal(place: Place) -> None:
    """It is shown there, and waits for its host there."""
    mine = Runner(place.other, SystemClock(), LIMITS)
    reserved = await mine.enqueue(place._task("mine"))
    async with place.worker():
        await place.wait_for(await place.queue(), JobStatus.COMPLETED)
    assert (await place.other.jobs.get(reserved.job_id)).status is JobStatus.QUEUED
