"""copy: backups from one storage to another, only what is missing there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from engine.catalog.backups import BackupFilter
from engine.errors import UsageError
from engine.events import StepBegan, Warned
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.backup import Backup, Copy
from engine.model.requests import CopyRequest
from engine.model.results import CopyResult
from engine.repository import copy as copying
from engine.repository.reader import Named


async def run(context: JobContext, request: CopyRequest) -> CopyResult:
    """Copies, oldest first, so that what is shared moves once. Raises: UsageError, StorageError, RepositoryError, DamagedError."""
    if request.from_storage == request.to_storage:
        raise UsageError("a storage is not copied onto itself", hint="name another one with --to")
    source = await context.catalog.storages.get(request.from_storage)
    target = await context.catalog.storages.get(request.to_storage)
    began = context.clock.monotonic()
    backups = await _chosen(context, request)
    context.emit(StepBegan(f"copy {len(backups)} backups from {source.name} to {target.name}"))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            open_repositories(context, [source], is_exclusive=False, limits=request.limits, is_reading=True)
        )
        second = await stack.enter_async_context(
            open_repositories(context, [target], is_exclusive=False, limits=request.limits)
        )
        repository = first.opened[0].repository
        ids = {_snapshot_id(each, source.name): each for each in backups}
        named = [Named(each, await repository.load_snapshot(each)) for each in ids]
        into = second.opened[0]
        done = await copying.copy(repository, (into.repository, into.lock), named, emit=context.emit)
    copies = []
    for each in done.snapshots:
        copy = Copy(target.name, each.target_id)
        await context.catalog.backups.add_copy(ids[each.source_id].backup_id, copy)
        if not each.is_skipped:
            copies.append(copy)
    return CopyResult(
        job_id=context.job_id,
        status="completed",
        copied=tuple(copies),
        skipped=len(done.snapshots) - len(copies),
        copied_bytes=done.stored_bytes,
        duration_s=context.clock.monotonic() - began,
    )


async def _chosen(context: JobContext, request: CopyRequest) -> Sequence[Backup]:
    """The backups that were asked for and that the storage holds, oldest first. Raises: UsageError where it lacks one named."""
    if request.is_all:
        chosen = BackupFilter(storage=request.from_storage)
        found = await context.catalog.backups.page(chosen, limit=-1)
        kept = [each for each in found if _snapshot_id(each, request.from_storage)]
        if not kept:
            context.emit(Warned(f"{request.from_storage} holds no backup"))
    else:
        kept = [await context.catalog.backups.find(each) for each in dict.fromkeys(request.backups)]
        for each in kept:
            if not _snapshot_id(each, request.from_storage):
                raise UsageError(
                    f"{request.from_storage} does not hold backup {each.backup_id}",
                    hint=f"holdfast show {each.backup_id} says where it is",
                )
    return sorted(kept, key=lambda each: each.created_at)


def _snapshot_id(backup: Backup, storage: str) -> str:
    return next((copy.snapshot_id for copy in backup.copies if copy.storage == storage), "")
