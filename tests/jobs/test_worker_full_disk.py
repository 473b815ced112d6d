"""A home whose disk is full: the worker says so, waits, and goes on when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import events
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, SlotLimits
from engine.clock import SystemClock
from engine.jobs.runner import Runner, Task
from engine.model.job import Job, JobStatus, QueueRule
from engine.notify import Notifier
from engine.worker import Worker, WorkerOptions
from tests.servers.small_disk import fill, small_disk

pytestmark = pytest.mark.slow


async def test_a_full_disk_ends_neither_the_worker_nor_its_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever makes room again must not have to start anything."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work(_job_id: str, emit: events.Emit) -> dict[str, str]:
        began.set()
        await go_on.wait()
        emit(events.Warned("x" * 200_000))  # more than the disk has room for
        return {"said": "well"}

    with small_disk(tmp_path / "small", 1024) as folder:
        async with Catalog.open(folder / "catalog.db", SystemClock(), timeout_s=0.1) as catalog:
            runner = Runner(catalog, SystemClock(), SlotLimits())

            async def run(job: Job) -> None:
                task = Task(job.verb, {}, dict[str, str], work)
                await runner.run_claimed(job.job_id, task, events.ignore, is_unattended=True)

            await catalog.jobs.create(NewJob("1a", "job", {}, rule=QueueRule()))
            await catalog.jobs.create(NewJob("1b", "job", {}, ("host:x",), rule=QueueRule()))
            options = WorkerOptions(None, 1, look_s=0.01)
            worker = Worker(catalog, SystemClock(), SlotLimits(), run, options=options)
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.work(Notifier(), events.ignore))
                await began.wait()
                fill(folder / "rest")
                go_on.set()
                await _until(lambda: "its end cannot be written" in caplog.text)
                statuses = [job.status for job in await catalog.jobs.page()]
                assert statuses == [JobStatus.QUEUED, JobStatus.RUNNING]
                (folder / "rest").unlink()
                for job_id in ("1a", "1b"):
                    while (await catalog.jobs.get(job_id)).status is not JobStatus.COMPLETED:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                worker.stop()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 -- a line in the log wakes nobody
        await asyncio.sleep(0.02)
