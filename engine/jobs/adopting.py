"""Backups that their job could not write down: killed between the snapshot and the catalog's row, they are found again in the storage."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from engine.errors import DamagedError, ObjectMissingError, UnknownNameError
from engine.events import Warned
from engine.format.snapshot import Snapshot
from engine.jobs import log_adopting
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import BACKUP_TAG, JOB_TAG, backup_of, tag_value
from engine.model.backup import BackupFilter, Copy
from engine.model.job import Job, JobStatus
from engine.model.names import is_id_prefix
from engine.storages.base import Kind

_ENDED_WELL = (JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.INCOMPLETE)
_LOOKED_AT = 100
"""Backup jobs among which one that ended badly is looked for."""
_AT_ONCE = 10
"""Mostly one of the last few says that all is well: a job is read with all that came of it."""


async def adopt(context: JobContext, opened: Opened) -> int:
    """Writes down those of a storage's snapshots that a job of this catalog wrote and nobody wrote down; how many. Idempotent.

    What another home wrote to the same storage stays that one's: `recover` takes up such. Raises: StorageError.
    """
    storage = opened.definition.name
    names = await opened.repository.names(Kind.SNAPSHOT)
    written_down = await context.catalog.backups.by_snapshots(storage, names)
    adopted = 0
    for name in names:
        snapshot = None if name in written_down else await _load(opened, name)
        if snapshot is not None and is_id_prefix(tag_value(snapshot, BACKUP_TAG)):
            adopted += await _adopt_one(context, Copy(storage, name), snapshot)
    return adopted


async def adopt_lost(context: JobContext, source: str, opened: Sequence[Opened]) -> bool:
    """Adopts where a job of this source, or an earlier attempt of this job, ended without a word; whether there was anything.

    Asks the catalog alone where all jobs ended well. Raises: StorageError.
    """
    if context.attempt <= 1 and not await _has_doubtful_job(context, source):
        return False
    return sum([await adopt(context, each) for each in opened]) > 0


async def _has_doubtful_job(context: JobContext, source: str) -> bool:
    newest = await context.catalog.backups.page(BackupFilter(source=source), limit=1)
    last: Job | None = None
    for _ in range(_LOOKED_AT // _AT_ONCE):
        jobs = await context.catalog.jobs.page(verb="backup", limit=_AT_ONCE, before=last)
        for job in jobs:
            if newest and job.created_at <= newest[0].created_at and job.job_id != newest[0].job_id:
                return False
            is_about = source in job.request.get("sources", ()) and job.job_id != context.job_id
            if is_about and job.status not in _ENDED_WELL:
                return True
        if len(jobs) < _AT_ONCE:
            return False
        last = jobs[-1]
    return False


async def _load(opened: Opened, name: str) -> Snapshot | None:
    """None where it is damaged or gone: verify names such."""
    try:
        return await opened.repository.load_snapshot(name)
    except (DamagedError, ObjectMissingError):
        return None


async def _adopt_one(context: JobContext, copy: Copy, snapshot: Snapshot) -> bool:
    backups = context.catalog.backups
    backup = backup_of(snapshot, [copy])
    known = await backups.get_many([backup.backup_id])
    if known:
        if any(each.storage == copy.storage and each.snapshot_id for each in known[0].copies):
            return False
        await backups.add_copy(backup.backup_id, copy)
    elif await _is_ours(context, job_id := tag_value(snapshot, JOB_TAG)):
        await backups.add(dataclasses.replace(backup, job_id=job_id))
    else:
        return False
    await log_adopting.take_up_base(context, snapshot)
    context.emit(
        Warned(
            f"backup {backup.backup_id} of {backup.source} was found in {copy.storage}: its job ended before it could write it down"
        )
    )
    return True


async def _is_ours(context: JobContext, job_id: str) -> bool:
    try:
        await context.catalog.jobs.get(job_id)
    except UnknownNameError:
        return False
    return True
