"""The worker: a process of its own session that claims queued jobs and runs them, so that no job dies with a terminal.

`ensure_worker` starts one where none lives; that one ends by itself when nothing has been queued for a while, and a service stays. It runs
the verbs through the Engine that it is given, which keeps this module below service, and starts what is due through the `tick` that it is
given.

While nothing happens it costs one look at a number, four times a second: SQLite's data_version changes when another process wrote anything.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import os
import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import engine
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import RENEW_S, SlotLimits
from engine.clock import Clock, sleep_until_set
from engine.config import Home
from engine.errors import CatalogDamagedError, CatalogError, CatalogVersionError, HoldfastError
from engine.events import Emit, Warned
from engine.format import allocator
from engine.jobs.left_behind import SilentJobs, end_dead_jobs
from engine.model.job import Job
from engine.notify import Notifier
from engine.process import ProcessIdentity
from engine.scope import task_scope

LOOK_S = 0.25
"""How often data_version is looked at: a job that is queued begins this soon."""
LINGER_S = 5.0
"""A one-shot worker waits this long for another job before it ends."""
CHECK_S = 5.0
"""How often dead jobs are looked for, of whose end no process writes anything."""
TICK_AFTER_CHANGE_S = 10.0
"""Between two ticks where other processes write: what one of them wrote may be a schedule."""
LONGEST_TICK_S = 60.0
"""Between two ticks, whatever the last one said: the clock may have been set."""
SHORTEST_TICK_S = 1.0
FIRST_PATIENCE_S, LONGEST_PATIENCE_S = 1.0, 30.0
"""Between two tries where the catalog takes nothing."""
STUCK_S = 120.0
"""Without a turn of the loop for so long, the watchdog is told nothing more, and the system starts another worker."""

Tick = Callable[[], Awaitable[datetime.datetime | None]]
"""Queues what is due; gives the next instant at which something will be, or None."""

_log = logging.getLogger("holdfast.worker")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works."""

    linger_s: float | None = LINGER_S
    """It ends when nothing has been queued or running for so long; None: it stays."""
    most_jobs: int = 8
    grace_s: float = 60.0
    """Told to stop, so long it lets jobs go on that run."""
    look_s: float = LOOK_S


async def ensure_worker(home: Home, catalog: Catalog, *, executable: str) -> None:
    """Starts a one-shot worker unless one lives. It has no terminal, and its own session: a hang-up cannot reach it. The shell between makes it
    no child of ours, which a console that stays open would have to bury.
    """
    await stop_older(catalog, engine.__version__)
    if await catalog.workers.alive():
        return
    log = (home.logs / "worker.out").open("ab")
    with log:
        words = [executable, "-P", "-m", "engine", "--home", str(home.directory), "worker", "--once"]
        subprocess.run(  # noqa: ASYNC221 -- fork and exec take a millisecond
            ["/bin/sh", "-c", '"$@" &', "sh", *words],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            start_new_session=True,
        )


class Worker:
    """Claims and runs jobs of one catalog. `work` is called once."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        limits: SlotLimits,
        run: Callable[[Job], Awaitable[None]],
        *,
        tick: Tick | None = None,
        options: WorkerOptions | None = None,
    ) -> None:
        """`run` runs a claimed job to its end, which it writes. Raises nothing but HoldfastError."""
        self._catalog = catalog
        self._clock = clock
        self._limits = limits
        self._run = run
        self._tick = tick
        self._options = options or WorkerOptions()
        self._owner = ProcessIdentity.current()
        self._silent = SilentJobs(catalog, clock)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._stops = 0
        self._count = self._tidied = 0
        self._version: int | None = None
        self._ticked_version: int | None = None
        self._wake_at: datetime.datetime | None = None
        self._tick_at: datetime.datetime | None = None
        self._ticked = self._checked = -1e9
        self._busy = self._turned = clock.monotonic()

    def stop(self) -> None:
        """The first time: no more jobs are taken, and those that run have a time to end. The second time: they are cancelled at once.

        Each that is cancelled so is tried again by its rule, by whichever worker comes next.
        """
        self._stops += 1
        self._woken.set()

    async def work(self, notifier: Notifier, tell: Emit) -> int:
        """Works until it is stopped, or until nothing is left where it does not stay; returns how many jobs were run.

        A job that fails is its own row's matter. A catalog that is locked, or whose disk is full, is waited for, and told of.
        Cancelled, it ends its jobs as a stop does.

        Raises: CatalogDamagedError, CatalogVersionError.
        """
        try:
            async with task_scope() as group:
                keepers = [
                    group.create_task(self._renew()),
                    group.create_task(notifier.keep_watchdog(self._is_turning)),
                ]
                patience_s = FIRST_PATIENCE_S
                while True:
                    try:
                        if await self._turn(group, notifier):
                            break
                        patience_s = FIRST_PATIENCE_S
                        await self._wait()
                    except (CatalogDamagedError, CatalogVersionError):
                        raise
                    except CatalogError as error:
                        _log.warning("%s", error.message)
                        tell(Warned(f"{error.message}: the worker waits"))
                        notifier.status(f"waits: {error.message}")
                        await self._rest(patience_s)
                        patience_s = min(2 * patience_s, LONGEST_PATIENCE_S)
                notifier.stopping()
                await self._drain(tell)
                for keeper in keepers:
                    keeper.cancel()
        finally:
            await asyncio.shield(self._leave())
        return self._count

    async def _turn(self, group: asyncio.TaskGroup, notifier: Notifier) -> bool:
        """Does all that there is to do now. Whether the worker is to end."""
        if self._version is None:
            await self._catalog.workers.renew(self._owner, engine.__version__)
            await stop_older(self._catalog, engine.__version__)
            notifier.ready()
        self._version = await self._catalog.data_version()
        if await self._catalog.workers.is_stopping(self._owner):
            self._stops = max(self._stops, 1)
        if self._stops:
            return True
        await self._check()
        await self._tick_when_due()
        queue = await self._catalog.jobs.queue()
        self._wake_at = queue.next_at
        while queue.ready and len(self._running) < self._options.most_jobs:
            job = await self._catalog.jobs.claim(self._owner, self._limits)
            if job is None:
                break
            self._running[job.job_id] = group.create_task(self._run_one(job))
            self._count += 1
        self._turned = self._clock.monotonic()
        if self._running or queue.waiting:
            self._busy = self._turned
        elif self._count != self._tidied:
            self._tidied = self._count
            gc.collect()
            allocator.give_back()
        notifier.status(f"{len(self._running)} jobs run, {queue.waiting} wait")
        return await self._is_idle_for_good()

    async def _is_idle_for_good(self) -> bool:
        """Whether a worker that does not stay has waited long enough, and nobody queued a job in the last moment."""
        linger_s = self._options.linger_s
        if linger_s is None or self._clock.monotonic() - self._busy < linger_s:
            return False
        return await self._catalog.workers.remove_idle(self._owner)

    async def _check(self) -> None:
        """Looks for jobs whose process is gone, and whose deadline is over."""
        now = self._clock.monotonic()
        is_overdue = self._wake_at is not None and self._wake_at <= self._clock.now()
        if now - self._checked < CHECK_S and not is_overdue:
            return
        self._checked = now
        for job in await end_dead_jobs(self._catalog) + await self._silent.end():
            _log.warning("job %s was left behind by %s", job.job_id, job.owner)
        if await self._catalog.jobs.has_overdue():
            await self._catalog.jobs.end_overdue()

    async def _tick_when_due(self) -> None:
        since_s = self._clock.monotonic() - self._ticked
        if self._tick is None or since_s < SHORTEST_TICK_S:
            return
        is_due = self._tick_at is not None and self._tick_at <= self._clock.now()
        if is_due or since_s >= LONGEST_TICK_S or self._is_changed(since_s):
            try:
                self._tick_at = await self._tick()
            except CatalogError:
                raise
            except HoldfastError as error:
                _log.error("tick: %s", error.message)
            self._ticked = self._clock.monotonic()
            self._ticked_version = await self._catalog.data_version()

    def _is_changed(self, since_s: float) -> bool:
        return since_s >= TICK_AFTER_CHANGE_S and self._version != self._ticked_version

    async def _wait(self) -> None:
        """Until something happened, or is to happen: another process wrote, a job ended, an instant came, a stop."""
        begun = self._clock.monotonic()
        while not self._woken.is_set():
            await self._rest(self._options.look_s)
            self._turned = self._clock.monotonic()
            if self._turned - begun >= CHECK_S or self._is_time():
                break
            if await self._catalog.data_version() != self._version:
                break
        self._woken.clear()

    def _is_time(self) -> bool:
        now = self._clock.now()
        return any(at is not None and at <= now for at in (self._wake_at, self._tick_at)) or (
            self._options.linger_s is not None
            and self._clock.monotonic() - self._busy >= self._options.linger_s
        )

    async def _rest(self, span_s: float) -> None:
        """So long, or until it is woken."""
        try:
            async with asyncio.timeout(span_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _run_one(self, job: Job) -> None:
        try:
            await self._run(job)
        except HoldfastError as error:
            _log.warning(
                "job %s: %s", job.job_id, error.message
            )  # its row has it, unless the catalog took nothing
        finally:
            del self._running[job.job_id]
            self._tick_at = self._clock.now()  # what it was may be followed by something
            self._woken.set()

    async def _drain(self, tell: Emit) -> None:
        """Waits for the jobs that run, for the time of grace; then cancels them."""
        if self._running:
            count = len(self._running)
            jobs = "1 job" if count == 1 else f"{count} jobs"
            tell(
                Warned(
                    f"waits for {jobs} to end, {self._options.grace_s:g} s at most; told once more, it ends them now"
                )
            )
        await asyncio.shield(self._say_stopping())
        ends = self._clock.monotonic() + self._options.grace_s
        while self._running and self._stops < 2 and self._clock.monotonic() < ends:
            self._woken.clear()
            await self._rest(min(self._options.look_s, ends - self._clock.monotonic()))
            self._turned = self._clock.monotonic()
        for task in list(self._running.values()):
            task.cancel()
        while self._running:
            self._woken.clear()
            await self._woken.wait()

    async def _say_stopping(self) -> None:
        try:
            await self._catalog.workers.stop(str(self._owner))
        except CatalogError as error:
            _log.warning("%s", error.message)

    async def _leave(self) -> None:
        try:
            await self._catalog.workers.remove(str(self._owner))
        except CatalogError as error:
            _log.warning("%s", error.message)  # its process will be seen to be gone

    async def _renew(self) -> None:
        while True:
            await sleep_until_set(self._clock, RENEW_S)
            try:
                await self._catalog.workers.renew(self._owner, engine.__version__)
            except CatalogError as error:
                _log.warning("%s", error.message)

    def _is_turning(self) -> bool:
        return self._clock.monotonic() - self._turned < STUCK_S


async def stop_older(catalog: Catalog, version: str) -> list[str]:
    """Tells the workers of older versions to stop; gives who they are. Their jobs go on for the time of grace, and by us after it."""
    alive = await catalog.workers.alive()
    older = [each.owner for each in alive if _release(each.version) < _release(version)]
    return [owner for owner in older if await catalog.workers.stop(owner)]


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])
