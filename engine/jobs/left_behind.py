"""Jobs whose process is gone: each is tried again by its rule, or marked interrupted with the reason.

A lease that ran out proves nothing by itself: the process may have been stopped for a while, or the clock been set. A process is dead for
certain where this start of this machine runs no such one, or where its start of the machine is over: the catalog is shared by processes of
one kernel only. Of another container nothing can be seen; there a lease counts that nobody renewed for as long as this process has watched.
"""

from __future__ import annotations

import datetime

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import LEASE_S, Outcome
from engine.clock import Clock
from engine.jobs import left_restores
from engine.model.job import Job, JobStatus
from engine.process import Liveness, ProcessIdentity, boot

KILLED = "the process that ran it ended without a word"
RESTARTED = "the machine was started anew while it ran"
UNHEARD = "the process that ran it, in another container, was not heard of for a minute"


def death_of(owner: str) -> str:
    """How the process died, in a sentence; empty where that is not proved."""
    identity = ProcessIdentity.parse(owner)
    if identity is None:
        return ""
    if identity.liveness() is Liveness.DEAD:
        return KILLED
    here, there = boot().partition("+")[0], identity.boot.partition("+")[0]
    return RESTARTED if here and there and here != there else ""


async def end_dead_jobs(catalog: Catalog) -> list[Job]:
    """Ends the attempt of each job whose process is proved dead; returns them as they were. In a catalog that is not written nothing is ended."""
    dead: list[Job] = []
    if catalog.is_copy or catalog.unwritable:
        return dead
    for job in await catalog.jobs.held():
        reason = death_of(job.owner)
        if reason and await _end(catalog, job, reason):
            dead.append(job)
    return dead


class SilentJobs:
    """Watches the leases of jobs of which nothing can be seen from here."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._seen: dict[str, tuple[datetime.datetime | None, float]] = {}
        """Job -> its lease, and since when it is that one, by the monotonic clock: the other may jump."""

    async def end(self) -> list[Job]:
        """Ends the attempt of each job whose lease ran out and was not renewed for a minute of watching; returns them as they were."""
        seen: dict[str, tuple[datetime.datetime | None, float]] = {}
        silent = []
        for job in await self._catalog.jobs.held():
            identity = ProcessIdentity.parse(job.owner)
            if identity is not None and identity.liveness() is Liveness.ALIVE:
                continue
            before = self._seen.get(job.job_id)
            now = self._clock.monotonic()
            since = before[1] if before is not None and before[0] == job.lease_until else now
            seen[job.job_id] = (job.lease_until, since)
            is_lapsed = job.lease_until is None or job.lease_until <= self._clock.now()
            if is_lapsed and now - since >= LEASE_S and await _end(self._catalog, job, UNHEARD):
                silent.append(job)
        self._seen = seen
        return silent


async def _end(catalog: Catalog, job: Job, reason: str) -> bool:
    outcome = Outcome(JobStatus.INTERRUPTED, error=reason, error_class="InterruptedJobError")
    if job.status is JobStatus.RUNNING and await catalog.jobs.try_again(job, outcome, is_ours=False):
        await tell_again(catalog, job.job_id)
        return True
    record = await left_restores.of_job(catalog, job.job_id)
    if record is not None:
        reason = f"{reason}; {record.sentence}: {record.remedy}"
    return await catalog.jobs.interrupt(job, reason)


async def tell_again(catalog: Catalog, job_id: str) -> None:
    """Writes into the log of a job that was queued again why, and when it has its turn."""
    job = await catalog.jobs.get(job_id)
    when = f"at {job.not_before:%Y-%m-%d %H:%M:%S} UTC" if job.not_before else "as soon as there is a place"
    line = f"{job.error}; attempt {job.attempts + 1} of {job.most_attempts} follows {when}"
    await catalog.jobs.add_log(job_id, "person", line)
