"""Jobs as they are looked at, the audit log, and what a bug report needs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

from engine.audit import Anchor, Entry, Finding
from engine.catalog.jobs import LogLine
from engine.catalog.workers import Worker
from engine.errors import CatalogError, HoldfastError
from engine.events import JobProgress
from engine.jobs.left_behind import death_of, end_dead_jobs
from engine.model.batches import Batch
from engine.model.job import Change, Job, JobStatus, Mark
from engine.service.parts import Methods

FOLLOW_INTERVAL_S = 0.3
WATCH_INTERVAL_S = 0.5
_LOOKED_THROUGH, _AT_ONCE = 1_000, 50
"""Jobs among which the last one of something is looked for, and those that are read at once."""
ENSURE_INTERVAL_S = 15.0
"""A worker that was just started is alive within so long."""


class JobMethods(Methods):
    """Jobs, audit, diagnosis."""

    async def jobs(
        self,
        *,
        status: JobStatus | None = None,
        verb: str = "",
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        before: str = "",
        limit: int = 50,
    ) -> Sequence[Job]:
        """The newest jobs first: those queued at `since` or later and before `until`, from behind the job `before` on (an id, or the beginning
        of one), so that the last of a page begins the next. A limit of 0 gives all. Those whose process is proved dead are ended on the way.

        Raises: UnknownNameError, UsageError for `before`.
        """
        await self._end_dead()
        jobs = self._parts.catalog.jobs
        place = await jobs.find(before) if before else None
        return await jobs.page(
            status=status, verb=verb, since=since, until=until, limit=limit or -1, before=place
        )

    async def _end_dead(self) -> None:
        with self._parts.noting("jobs whose process is gone are shown as if they ran"):
            await end_dead_jobs(self._parts.catalog)

    async def show_job(self, job: str) -> Job:
        """One job, by id or the beginning of one. Raises: UnknownNameError, UsageError."""
        await self._end_dead()
        return await self._parts.catalog.jobs.find(job)

    async def last_job_of(self, *, sources: Sequence[str] = (), storage: str = "") -> Job | None:
        """The newest job that any of these sources or that storage was asked for by name, or that read or made a backup of the source; None where
        the newest thousand are about none of them.
        """
        await end_dead_jobs(self._parts.catalog)
        is_default = any(
            each.is_default and each.name == storage for each in await self._parts.catalog.storages.all()
        )
        place: Job | None = None
        for _ in range(_LOOKED_THROUGH // _AT_ONCE):
            jobs = await self._parts.catalog.jobs.page(limit=_AT_ONCE, before=place)
            for each in jobs:
                if await self._is_about(each, set(sources), storage, is_default=is_default):
                    return each
            if len(jobs) < _AT_ONCE:
                break
            place = jobs[-1]
        return None

    async def _is_about(self, job: Job, sources: set[str], storage: str, *, is_default: bool) -> bool:
        asked = job.request
        if storage:
            named = {str(asked.get(name)) for name in ("storage", "from_storage", "to_storage")}
            named |= {str(each) for each in asked.get("storages", ())}
            is_usual = is_default and job.verb == "backup" and not asked.get("storages")
            return storage in named or is_usual
        named = {str(asked.get("source", "")), *map(str, asked.get("sources", ()))}
        if not named & sources and asked.get("backup"):
            try:
                named.add((await self._parts.catalog.backups.find(str(asked["backup"]))).source)
            except HoldfastError:  # it is gone, or its name means several by now
                return False
        return bool(named & sources)

    @staticmethod
    def result_of(job: Job) -> object | None:
        """What the job gave, as the value that the verb gives: a BackupResult, a DrillResult, …; None where it gave nothing."""
        from engine.service import job_kinds  # with what all jobs ask for and give

        return job_kinds.result_of(job)

    @staticmethod
    def progress_of(job: Job) -> JobProgress:
        """How far a job is that runs: its steps, the one that runs, its budget; empty where it told nothing."""
        from engine.service import job_kinds  # with what all jobs ask for and give

        return job_kinds.progress_of(job)

    @staticmethod
    def request_again(job: Job) -> object:
        """What a job that is over was asked for, to `submit` it again. Raises: RefusedError where it may not be repeated; UsageError."""
        from engine.service import job_kinds  # with what all jobs ask for and give

        return job_kinds.request_again(job)

    async def job_log(self, job: str, *, after: int = 0) -> Sequence[LogLine]:
        """A job's log, oldest line first. Raises: UnknownNameError, UsageError."""
        found = await self._parts.catalog.jobs.find(job)
        return await self._parts.catalog.jobs.log(found.job_id, after=after)

    async def batch(self, batch_id: str) -> Batch:
        """What came so far of jobs that run one after the other; it holds none where there is no such batch (any more)."""
        await end_dead_jobs(self._parts.catalog)
        return await self._parts.catalog.batches.get(batch_id)

    async def cancel_job(self, job: str) -> bool:
        """Asks a job to end, whoever runs it; False where it is over already. Raises: UnknownNameError, UsageError."""
        await end_dead_jobs(self._parts.catalog)
        found = await self._parts.catalog.jobs.find(job)
        is_asked = await self._parts.catalog.jobs.request_cancel(found.job_id)
        await self._parts.write_down("job cancel", found.job_id)
        return is_asked

    async def workers(self) -> Sequence[Worker]:
        """The workers that live, those that were told to stop too; whose process is proved dead is forgotten on the way."""
        now = self._parts.clock.now()
        living = []
        for worker in await self._parts.catalog.workers.all():
            if death_of(worker.owner):
                with contextlib.suppress(CatalogError):  # the next one who asks does it
                    await self._parts.catalog.workers.remove(worker.owner)
            elif worker.lease_until > now:
                living.append(worker)
        return living

    async def follow_job(self, job: str) -> AsyncIterator[Job]:
        """The job each time it changed, until its end. One that waits for a worker where none lives has one started. Raises:
        UnknownNameError, UsageError.
        """
        found = await self._parts.catalog.jobs.find(job)
        last: Job | None = None
        started = -ENSURE_INTERVAL_S
        while True:
            await end_dead_jobs(self._parts.catalog)
            now = await self._parts.catalog.jobs.get(found.job_id)
            if now != last:
                last = now
                yield now
            if now.status.is_final:
                return
            monotonic = self._parts.clock.monotonic()
            if now.status is JobStatus.QUEUED and not now.owner and monotonic - started >= ENSURE_INTERVAL_S:
                started = monotonic
                await self.require_worker()
            await asyncio.sleep(FOLLOW_INTERVAL_S)

    async def mark(self) -> Mark:
        """How far the catalog is now, for `watch`: what is read after this, and changed later, is told of. Raises: CatalogError."""
        catalog = self._parts.catalog
        return Mark(await catalog.data_version(), await catalog.reading_state())

    async def watch(
        self, interval_s: float = WATCH_INTERVAL_S, since: Mark | None = None
    ) -> AsyncIterator[Change]:
        """Each time another process changed something in the catalog, looked at so often: endless. The first comes with the first change
        since that mark; None: from now on.

        What this engine itself changes is not told. Raises: CatalogError, on the way; CatalogReplacedError and CatalogVersionError where
        the catalog is not any more what was opened, and nothing may be done with it.
        """
        catalog = self._parts.catalog
        mark = since or await self.mark()
        version, state = mark.version, mark.state
        while True:
            await asyncio.sleep(interval_s)
            catalog.require_same_file()
            now = await catalog.data_version()
            if now == version:
                continue
            await catalog.require_known_version()
            last, version, state = state, now, await catalog.reading_state()
            yield Change.PROGRESS if state == last else Change.STATE

    async def audit_log(self, *, limit: int = 100) -> Sequence[Entry]:
        """The newest entries of the audit log, newest first."""
        return await self._parts.audit.newest(limit)

    async def verify_audit(self) -> Sequence[Finding]:
        """Everything that is wrong with the audit log, held against its own chain and the anchors in every storage that answers."""
        from engine.jobs import anchors, evidence_files  # brings the repository engine

        found: list[Anchor] = []
        for storage in await self._parts.catalog.storages.all():
            if storage.is_enabled:
                found += await anchors.read(self._parts.context(), storage)
        findings = list(await self._parts.audit.verify(found))
        claims = [
            claim
            for entry in await self._parts.audit.newest(-1)
            for claim in evidence_files.claims(entry.sequence, entry.detail)
        ]
        return [*findings, *evidence_files.findings(self._parts.home.evidence, claims)]

    async def audit_joins(self) -> Sequence[Entry]:
        """Where the log of a new home was joined to one that was lost and found again, newest first."""
        return await self._parts.audit.joins()

    async def doctor(self) -> dict[str, Any]:
        """What a bug report needs; no secret, no name of a host, file or database."""
        from engine.service import doctor

        return await doctor.examine(self._parts)
