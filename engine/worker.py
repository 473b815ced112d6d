"""The worker: a process of its own session that claims queued jobs and runs them, so that no job dies with a terminal.

`ensure_worker` starts one where none lives; it ends by itself when nothing has been queued for a while. It runs the verbs through the
Engine that it is given, which keeps this module below service.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import engine
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import SlotLimits
from engine.config import Home
from engine.errors import HoldfastError
from engine.model.job import Job
from engine.process import Liveness, ProcessIdentity
from engine.scope import task_scope

POLL_S = 0.5
LINGER_S = 5.0
"""A one-shot worker waits this long for another job before it ends."""
RENEW_S = 15.0
MOST_JOBS = 8


async def ensure_worker(home: Home, catalog: Catalog, *, executable: str) -> None:
    """Starts a one-shot worker unless one lives. It has no terminal, and its own session: a hang-up cannot reach it."""
    if await catalog.workers.alive():
        return
    log = (home.logs / "worker.out").open("ab")
    with log:
        subprocess.Popen(  # noqa: ASYNC220 -- fork and exec take a millisecond
            [executable, "-P", "-m", "engine", "--home", str(home.directory), "worker", "--once"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            start_new_session=True,
        )


async def run_until_idle(
    catalog: Catalog,
    limits: SlotLimits,
    run: Callable[[Job], Awaitable[None]],
    *,
    linger_s: float = LINGER_S,
    most_jobs: int = MOST_JOBS,
) -> int:
    """Claims and runs jobs until none is queued or running for `linger_s`; returns how many. A failing job is its own row's matter.

    Cancelled, it ends its jobs, each of which writes its end.
    """
    owner = ProcessIdentity.current()
    await catalog.workers.renew(owner, engine.__version__)
    running: set[str] = set()
    count = 0
    idle_s = 0.0

    async def run_one(job: Job) -> None:
        try:
            await run(job)
        except HoldfastError:
            return  # its row and log have it
        finally:
            running.discard(job.job_id)

    try:
        async with task_scope() as group:
            renewing = group.create_task(_renew(catalog, owner))
            while idle_s < linger_s or running:
                await end_dead_jobs(catalog)
                job = await catalog.jobs.claim(owner, limits) if len(running) < most_jobs else None
                if job is not None:
                    running.add(job.job_id)
                    group.create_task(run_one(job))
                    count += 1
                    idle_s = 0.0
                    continue
                await asyncio.sleep(POLL_S)
                idle_s = 0.0 if running else idle_s + POLL_S
            renewing.cancel()
    finally:
        await asyncio.shield(catalog.workers.remove(str(owner)))
    return count


async def end_dead_jobs(catalog: Catalog) -> list[Job]:
    """Marks jobs interrupted whose process is proved dead; returns them."""
    dead = []
    for job in await catalog.jobs.running():
        owner = ProcessIdentity.parse(job.owner)
        is_dead = owner is not None and owner.liveness() is Liveness.DEAD
        if is_dead and await catalog.jobs.interrupt(job, "the process that ran it ended without a word"):
            dead.append(job)
    return dead


async def _renew(catalog: Catalog, owner: ProcessIdentity) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        await catalog.workers.renew(owner, engine.__version__)
