"""The frame round every job: its row, lease and slots, its deadline, what it tells, and how it ended.

The same for a verb in the foreground, a worker and a test. A job begins as a queued row, is claimed with its slots in one transaction,
renews its lease while it runs, and ends as exactly one of the final states, whatever happens to it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine import events
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import LOG_LINES, RENEW_S, Level, NewJob, Outcome, SlotLimits
from engine.clock import Clock, sleep_until_set
from engine.errors import (
    AlreadyRunningError,
    CatalogDamagedError,
    CatalogError,
    CatalogVersionError,
    CommandTimeoutError,
    HoldfastError,
    InterruptedJobError,
    LockLostError,
    RepositoryLockedError,
)
from engine.jobs import values
from engine.jobs.left_behind import end_dead_jobs, tell_again
from engine.model.job import Job, JobStatus, QueueRule
from engine.model.names import new_id
from engine.process import ProcessIdentity
from engine.scope import task_scope

PROGRESS_INTERVAL_S = 0.4
SLOT_INTERVAL_S = 0.5
"""How often a job that waits for a place at its host or storage looks again."""
FINISH_TIMEOUT_S = 15.0
END_INTERVAL_S = 1.0
"""How often a worker tries to write a job's end into a catalog that takes nothing: it is locked, or its disk is full."""
STOPPED = "the worker was stopped; what was done is safe"

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

    async def enqueue(self, task: Task[Any], rule: QueueRule | None = None) -> Job:
        """Writes the job's row, or finds that of the same idempotency key. With a rule it waits for any worker, else for this process."""
        new = NewJob(
            new_id(os.urandom),
            task.verb,
            values.to_object(task.request),
            task.slots,
            task.idempotency_key,
            "" if rule else str(self._owner),
            rule or QueueRule(),
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
        is_own = job.owner == str(self._owner)
        if job.status is not JobStatus.QUEUED or not (is_own or not job.owner):
            raise _already(job)
        try:
            await self._claim(job, emit)
        except BaseException:
            if is_own:
                await asyncio.shield(self._catalog.jobs.request_cancel(job.job_id))
            raise
        return await self.run_claimed(job.job_id, task, emit)

    async def run_claimed(
        self, job_id: str, task: Task[Result], emit: events.Emit, *, is_unattended: bool = False
    ) -> Result:
        """Runs a job that this process has claimed. Its end is written even when it is cancelled.

        With `is_unattended`, as a worker runs it: cancelled, it was the worker that was stopped, and nobody who wanted the job's end; that
        and passing faults have it tried again by its rule; and an error that nobody thought of is the job's end, not the process's.
        """
        teller = _Teller(self._catalog, self._clock, self._owner, job_id, emit)
        result: Result | None = None
        try:
            async with self._kept(job_id, teller), asyncio.timeout(task.timeout_s):
                result = await task.work(job_id, teller.emit)
        except BaseException as error:
            raised = _said(error, task)
            is_timed_out = raised is not error
            ending = _unattended(raised, is_timed_out) if is_unattended else _Ending(_failure(raised))
            if result is not None:  # a drill that was kept for people ends so, and stands
                given = dataclasses.replace(ending.outcome, result=values.to_object(result))
                ending = dataclasses.replace(ending, outcome=given, is_passing=False)
            await asyncio.shield(self._end(job_id, ending, teller))
            if is_unattended and isinstance(raised, Exception) and not isinstance(raised, HoldfastError):
                _log.exception("job %s", job_id)
                raise HoldfastError(f"unexpected: {ending.outcome.error}") from error
            if raised is error:
                raise
            raise raised from error
        ending = _Ending(_success(result), is_patient=is_unattended)
        await asyncio.shield(self._end(job_id, ending, teller))
        return result

    async def _claim(self, job: Job, emit: events.Emit) -> None:
        is_told = False
        while await self._catalog.jobs.claim(self._owner, self._limits, job_id=job.job_id) is None:
            await end_dead_jobs(self._catalog)
            now = await self._catalog.jobs.get(job.job_id)
            if now.status is JobStatus.CANCELLED:
                raise InterruptedJobError(f"job {job.job_id} was cancelled before it began")
            if now.status is not JobStatus.QUEUED:
                raise _already(now)
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
            await sleep_until_set(self._clock, RENEW_S)
            try:
                state = await self._catalog.jobs.renew(job_id, self._owner)
            except CatalogError as error:
                # Whoever looks for dead jobs sees that this process lives.
                _log.warning("job %s: %s", job_id, error.message)
            else:
                _raise_unless_held(state, job_id)

    async def _end(self, job_id: str, ending: _Ending, teller: _Teller) -> None:
        async with asyncio.timeout(None if ending.is_patient else FINISH_TIMEOUT_S):
            while True:
                try:
                    await teller.write_log()
                    await self._write_end(job_id, ending)
                    break
                except CatalogError as error:
                    if not ending.is_patient or not is_passing(error):
                        raise
                    _log.warning("job %s: its end cannot be written: %s", job_id, error.message)
                await asyncio.sleep(END_INTERVAL_S)
        _log.info("job %s ended: %s %s", job_id, ending.outcome.status.value, ending.outcome.error)

    async def _write_end(self, job_id: str, ending: _Ending) -> None:
        if ending.is_passing:
            job = await self._catalog.jobs.get(job_id)
            is_ours = job.owner == str(self._owner)
            if is_ours and await self._catalog.jobs.try_again(
                job, ending.outcome, is_counted=ending.is_counted
            ):
                await tell_again(self._catalog, job_id)
                return
        await self._catalog.jobs.finish(job_id, self._owner, ending.outcome)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt ended, and what follows from it."""

    outcome: Outcome
    is_passing: bool = False
    """Whether another attempt may go better."""
    is_counted: bool = True
    is_patient: bool = False
    """Whether it is written however long the catalog takes nothing."""


class _Teller:
    """Takes a job's events: passes them on, keeps the newest progress for the row, and the sentences for the log."""

    def __init__(self, catalog: Catalog, clock: Clock, owner: ProcessIdentity, job_id: str, emit: events.Emit) -> None:  # fmt: skip
        self._catalog = catalog
        self._clock = clock
        self._owner = owner
        self._job_id = job_id
        self._emit = emit
        self._progress = events.JobProgress()
        self._lines: list[tuple[Level, str]] = []
        self._added_bytes = 0

    def emit(self, event: events.Event) -> None:
        """What the job calls."""
        self._progress = self._progress.after(event, self._clock.now())
        match event:
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
        written = self._progress
        version: int | None = None
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL_S)
            try:
                await self.write_log()
                if self._progress is not written:
                    written = self._progress
                    await self._catalog.jobs.set_progress(
                        self._job_id, self._owner, values.to_object(written)
                    )
                # Changes when another process wrote something, which a wish to cancel is.
                last, version = version, await self._catalog.data_version()
                is_cancelled = (
                    version != last and (await self._catalog.jobs.get(self._job_id)).is_cancel_requested
                )
            except CatalogError as error:
                # No reason to end a job that may have run for hours: what cannot be written now is written later.
                _log.warning("job %s: %s", self._job_id, error.message)
                continue
            if is_cancelled:
                _raise_unless_held("cancelled", self._job_id)

    async def write_log(self) -> None:
        """Writes the lines that are waiting; where that fails, they wait on. Raises: CatalogError."""
        lines, self._lines = self._lines, []
        try:
            await self._catalog.jobs.add_log_lines(self._job_id, lines)
        except CatalogError:
            self._lines = [*lines, *self._lines][-LOG_LINES:]
            raise


def is_passing(error: BaseException) -> bool:
    """Whether the same may go well a little later: what is unreachable now, locked, or held by a catalog that takes nothing."""
    if isinstance(error, CatalogError):
        return not isinstance(error, CatalogDamagedError | CatalogVersionError)
    if isinstance(error, RepositoryLockedError | LockLostError | AlreadyRunningError):
        return True
    return isinstance(error, HoldfastError) and error.retryable


def _already(job: Job) -> AlreadyRunningError:
    said = "waits for another process" if job.status is JobStatus.QUEUED else f"is {job.status.value}"
    return AlreadyRunningError(
        f"the job of this idempotency key {said}: {job.job_id}",
        hint=f"look at it with holdfast job show {job.job_id}",
    )


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


def _unattended(error: BaseException, is_timed_out: bool) -> _Ending:
    if isinstance(error, asyncio.CancelledError):
        stopped = Outcome(JobStatus.INTERRUPTED, {}, STOPPED, "InterruptedJobError")
        return _Ending(stopped, is_passing=True, is_counted=False, is_patient=True)
    # What a person gave so much time and no more is not begun again.
    return _Ending(_failure(error), is_passing=is_passing(error) and not is_timed_out, is_patient=True)


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
