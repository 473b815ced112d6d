"""The safety backup of a restore in place: what is about to be replaced, kept as a backup of the source itself, and how it is brought back.

Of files it is read with the paths and excludes of the backup that is to be restored, whatever the source says today: so it holds all that the
restore can replace, and what the restore brings and it does not hold was not there before.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from engine.errors import RestoreError, UsageError
from engine.events import Emit, Noted, StepBegan
from engine.format.snapshot import Snapshot
from engine.jobs import backup as backing_up
from engine.jobs import delete, values
from engine.jobs.context import JobContext
from engine.jobs.database_backup import OpenCopy, open_copy
from engine.model.backup import SAFETY_TAG, Backup, BackupFilter
from engine.model.definitions import OptionValue, Source
from engine.model.job import Job
from engine.model.requests import BackupRequest, Limits
from engine.model.results import RestoreResult, RollbackResult
from engine.repository.added import Held, added
from engine.repository.restore_values import RestoreOptions, Tally

_LOOKED_AT = 1000
_BEFORE = "before-restore-of:"
_KEPT = datetime.timedelta(days=30)
"""How long a policy leaves it alone."""
_HINT = "--no-safety-backup restores without one: then nothing brings back what is replaced"


class Tree(Protocol):
    """Where a restore in place happens: `host_tree.HostTree`, `local_tree.LocalTree`."""

    async def restore(
        self, held: Held, options: RestoreOptions, emit: Emit, present: Held | None = None
    ) -> Tally:
        """Lays out what the options select; `present` says what is known to lie there. Raises: RestoreError, RepositoryError, StorageError, HostError."""
        ...

    async def remove(self, paths: AsyncIterator[bytes]) -> None:
        """Removes these paths, directories only where they are empty. Raises: RestoreError, HostError."""
        ...

    async def free_bytes(self) -> int | None:
        """Room there; None where that cannot be known."""
        ...


async def take(
    context: JobContext, source: Source, snapshot: Snapshot, roots: tuple[str, ...], why: tuple[str, Limits]
) -> str:
    """Backs up what lies at these of the snapshot's paths now; gives the backup's id, empty where there is nothing.

    `why` is the id of the backup that will be restored, which the safety backup bears as a tag, and the restore's limits.

    Raises: RestoreError where it could not be taken whole: then nothing was changed.
    """
    if not roots:
        context.emit(Noted("nothing lies where the backup goes, so there is nothing to be kept"))
        return ""
    options: Mapping[str, OptionValue] = {"path": roots, "exclude": tuple(snapshot.excludes)}
    if source.options.get("one_file_system"):
        options = {**options, "one_file_system": True}
    return await take_whole(context, dataclasses.replace(source, options=options), why)


async def take_whole(context: JobContext, source: Source, why: tuple[str, Limits]) -> str:
    """Backs up the source as it is now; gives the backup's id. `why` and what is raised as for `take`."""
    context.emit(StepBegan(f"back up what will be replaced of {source.name}"))
    tags = (SAFETY_TAG, f"{_BEFORE}{why[0]}")
    expires_at = context.clock.now() + _KEPT
    request = BackupRequest((source.name,), tags=tags, limits=why[1], expires_at=expires_at)
    done = await backing_up.run(context, request, {source.name: source})
    (kept,) = done.backups
    if kept.status != "completed":
        reason = kept.error or next(iter(kept.warnings), "it is incomplete")
        raise RestoreError(f"no whole safety backup could be taken of {source.name}: {reason}", hint=_HINT)
    return kept.backup_id


async def undo(
    context: JobContext, tree: Tree, restored: Held, safety: Backup | None, options: RestoreOptions
) -> Tally:
    """Makes everything that the restore with these options touched what the safety backup has: what the restore added goes, the rest comes
    back. Right after the restore alone: what both backups have alike is taken to be there. Raises: what the tree and the storages raise.
    """
    async with AsyncExitStack() as stack:
        kept = await opened(context, safety, stack)
        await tree.remove(added(restored, kept, options.selection))
        if kept is None:
            return Tally()
        return await tree.restore(
            kept, dataclasses.replace(options, overwrite="always"), context.emit, restored
        )


async def opened(context: JobContext, safety: Backup | None, stack: AsyncExitStack) -> Held | None:
    """The safety backup, open for reading; closed with the stack. Raises: StorageError, RepositoryError."""
    if safety is None:
        return None
    return held(await open_copy(context, safety, "", Limits(), stack))


def held(copy: OpenCopy) -> Held:
    """The snapshot of an open copy, with its repository."""
    return Held(copy.repository, copy.snapshot)


async def find(context: JobContext, job_id: str, source: str) -> Backup | None:
    """The safety backup that the job took, if it did."""
    page = await context.catalog.backups.page(BackupFilter(source=source, tag=SAFETY_TAG), limit=_LOOKED_AT)
    return next((each for each in page if each.job_id == job_id and each.copies), None)


def require(kept: Backup | None, job: Job) -> Backup:
    """Raises: UsageError where the job kept none."""
    if kept is None:
        raise UsageError(
            f"job {job.job_id} kept no safety backup, so there is nothing to bring back",
            hint="it was left out, was discarded already, or the job ended before it changed anything",
        )
    return kept


async def discard(context: JobContext, kept: Backup, job: Job) -> RollbackResult:
    """Removes it. Raises: StorageError, RepositoryError."""
    context.emit(StepBegan(f"remove safety backup {kept.backup_id}"))
    await delete.delete(context, [kept], Limits())
    return RollbackResult(context.job_id, "completed", job.job_id, (), safety_backup_id=kept.backup_id)


def restored_id(kept: Backup | None, job: Job) -> str:
    """The backup that was restored: the safety backup says it, or the job's result where there was nothing to keep. Raises: CatalogDamagedError."""
    for tag in kept.tags if kept else ():
        if tag.startswith(_BEFORE):
            return tag.removeprefix(_BEFORE)
    return values.from_object(RestoreResult, job.result).backup_id
