"""The frame round every job: its row, lease and slots, its deadline, what it tells, and how it ended.

The same for a verb in the foreground, a worker and a test. A job begins as a queued row, is claimed with its slots in one transaction,
renews its lease while it runs, and ends as exactly one of the final states, whatever happens to it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine import events
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import RENEW_S, Level, NewJob, Outcome, SlotLimits
from engine.clock import Clock
from engine.errors import AlreadyRunningError, CommandTimeoutError, HoldfastError, InterruptedJobError
from engine.jobs import values
from engine.model.job import Job, JobStatus
from engine.model.names import new_id
from engine.process import Liveness, ProcessIdentity
from engine.scope import task_scope

PROGRESS_INTERVAL_S = 0.4
SLOT_INTERVAL_S = 0.5
"""How often a job that waits for a place at its host or storage looks again."""
FINISH_TIMEOUT_S = 15.0

_log = logging.getLogger("holdfast.job")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """A job to run: what, with what, and what it gives."""

    verb: str
    request: object
    """A frozen value of model.requests."""
    result_type: type[Result]
    work: Callable[[str, events.Emit], Awaitable[Result]]
    """Is given the job's id and where to tell what happens."""
    slots: Sequence[str] = ()
    idempotency_key: str = ""
    timeout_s: float | None = None


class Runner:
    """Runs jobs of this process against one catalog."""

    def __init__(self, catalog: Catalog, clock: Clock, limits: SlotLimits) -> None:
        self._catalog = catalog
        self._clock = clock
        self._limits = limits
        self._owner = ProcessIdentity.current()

    async def enqueue(self, task: Task[Any]) -> Job:
        """Writes the job's row, or finds that of the same idempotency key."""
        new = NewJob(
            new_id(os.urandom), task.verb, values.to_object(task.request), task.slots, task.idempotency_key
        )
        job, _ = await self._catalog.jobs.create(new)
        return job

    async def run(self, task: Task[Result], emit: events.Emit) -> Result:
        """Runs a new job to its end. The same idempotency key a second time gives the first one's result.

        Raises: AlreadyRunningError; what the job raises; InterruptedJobError where a person cancelled it.
        """
        job = await self.enqueue(task)
        if job.status in (JobStatus.COMPLETED, JobStatus.INCOMPLETE):
            return values.from_object(task.result_type, job.result)
        if job.status is not JobStatus.QUEUED:
            raise AlreadyRunningError(
                f"the job of this idempotency key is {job.status.value}: {job.job_id}",
                hint=f"look at it with holdfast job show {job.job_id}",
            )
        try:
            await self._claim(job, emit)
        except BaseException:
            await asyncio.shield(self._catalog.jobs.request_cancel(job.job_id))
            raise
        return await self.run_claimed(job.job_id, task, emit)

    async def run_claimed(self, job_id: str, task: Task[Result], emit: events.Emit) -> Result:
        """Runs a job that this process has claimed. Its end is written even when it is cancelled."""
        teller = _Teller(self._catalog, self._clock, self._owner, job_id, emit)
        try:
            async with self._kept(job_id, teller), asyncio.timeout(task.timeout_s):
                result = await task.work(job_id, teller.emit)
        except BaseException as error:
            raised = _said(error, task)
            await asyncio.shield(self._end(job_id, _failure(raised), teller))
            if raised is error:
                raise
            raise raised from error
        await asyncio.shield(self._end(job_id, _success(result), teller))
        return result

    async def _claim(self, job: Job, emit: events.Emit) -> None:
        is_told = False
        while await self._catalog.jobs.claim(self._owner, self._limits, job_id=job.job_id) is None:
            await self._clear_dead()
            if not is_told:
                await self._refuse_twins(job)
                emit(events.Noted("waits for another job to leave its host or storage"))
                is_told = True
            await asyncio.sleep(SLOT_INTERVAL_S)

    async def _refuse_twins(self, job: Job) -> None:
        """The same sources are being backed up already: waiting would only do it twice."""
        wanted = set(job.request.get("sources", ()))
        for other in await self._catalog.jobs.running():
            both = wanted & set(other.request.get("sources", ()))
            if other.verb == job.verb and both:
                raise AlreadyRunningError(
                    f"a {job.verb} of {', '.join(sorted(both))} is already running: job {other.job_id}",
                    hint=f"follow it with holdfast job follow {other.job_id}",
                )

    async def _clear_dead(self) -> None:
        """Ends the rows of jobs whose process is proved dead, so that nobody waits for them."""
        for job in await self._catalog.jobs.running():
            owner = ProcessIdentity.parse(job.owner)
            if owner is not None and owner.liveness() is Liveness.DEAD:
                await self._catalog.jobs.interrupt(job, "the process that ran it ended without a word")

    @asynccontextmanager
    async def _kept(self, job_id: str, teller: _Teller) -> AsyncIterator[None]:
        """Renews the lease and writes progress while the body runs; ends the body when the job is cancelled or lost."""
        async with task_scope() as group:
            keepers = [group.create_task(self._renew(job_id)), group.create_task(teller.write_progress())]
            yield
            for keeper in keepers:
                keeper.cancel()

    async def _renew(self, job_id: str) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            _raise_unless_held(await self._catalog.jobs.renew(job_id, self._owner), job_id)

    async def _end(self, job_id: str, outcome: Outcome, teller: _Teller) -> None:
        async with asyncio.timeout(FINISH_TIMEOUT_S):
            await teller.write_log()
            await self._catalog.jobs.finish(job_id, self._owner, outcome)
        _log.info("job %s ended: %s %s", job_id, outcome.status.value, outcome.error)


class _Teller:
    """Takes a job's events: passes them on, keeps the newest progress for the row, and the sentences for the log."""

    def __init__(self, catalog: Catalog, clock: Clock, owner: ProcessIdentity, job_id: str, emit: events.Emit) -> None:  # fmt: skip
        self._catalog = catalog
        self._clock = clock
        self._owner = owner
        self._job_id = job_id
        self._emit = emit
        self._progress: events.Progress | None = None
        self._lines: list[tuple[Level, str]] = []
        self._added_bytes = 0

    def emit(self, event: events.Event) -> None:
        """What the job calls."""
        match event:
            case events.Progress():
                self._progress = event
            case events.Warned():
                self._lines.append(("person", event.message))
                _log.warning("job %s: %s", self._job_id, event.message)
            case events.Noted():
                self._lines.append(("expert", event.message))
                _log.debug("job %s: %s", self._job_id, event.message)
            case events.Kept():
                self._lines += [("person", f"kept until {event.until}: {each}") for each in event.connect]
            case events.StepBegan():
                self._lines.append(("person", event.step))
            case events.StepEnded():
                self._lines.append(("person", f"{event.step}: {event.status} {event.detail}".rstrip()))
        self._emit(event)

    async def write_progress(self) -> None:
        """Writes what is new to the catalog, a few times a second, for ever. Raises InterruptedJobError when a person cancelled."""
        written: events.Progress | None = None
        version: int | None = None
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL_S)
            await self.write_log()
            if self._progress is not written and self._progress is not None:
                written = self._progress
                await self._catalog.jobs.set_progress(self._job_id, self._owner, values.to_object(written))
            # Changes when another process wrote something, which a wish to cancel is.
            last, version = version, await self._catalog.data_version()
            if version != last and (await self._catalog.jobs.get(self._job_id)).is_cancel_requested:
                _raise_unless_held("cancelled", self._job_id)

    async def write_log(self) -> None:
        """Writes the lines that are waiting."""
        lines, self._lines = self._lines, []
        await self._catalog.jobs.add_log_lines(self._job_id, lines)


def _raise_unless_held(state: str, job_id: str) -> None:
    if state == "cancelled":
        raise InterruptedJobError(f"job {job_id} was cancelled; what was done is safe")
    if state == "lost":
        raise InterruptedJobError(
            f"job {job_id} was taken over by another process",
            hint="this one had not been heard of for a minute",
        )


def _said(error: BaseException, task: Task[Any]) -> BaseException:
    if isinstance(error, TimeoutError) and task.timeout_s is not None:
        return CommandTimeoutError(
            f"the {task.verb} took longer than {task.timeout_s:g} seconds",
            hint="what was done is safe; give more with --timeout",
        )
    return error


def _success(result: object) -> Outcome:
    status = getattr(result, "status", "completed")
    is_incomplete = status == JobStatus.INCOMPLETE.value
    return Outcome(JobStatus.INCOMPLETE if is_incomplete else JobStatus.COMPLETED, values.to_object(result))


def _failure(error: BaseException) -> Outcome:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | InterruptedJobError):
        said = (
            error.message
            if isinstance(error, InterruptedJobError)
            else "the job was cancelled; what was done is safe"
        )
        return Outcome(JobStatus.CANCELLED, {}, said, "InterruptedJobError")
    message = error.message if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
    return Outcome(JobStatus.FAILED, {}, message, type(error).__name__)
