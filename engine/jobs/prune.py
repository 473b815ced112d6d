"""prune: what no snapshot of a storage needs is deleted, under an exclusive lock."""

from __future__ import annotations

from engine.events import StepBegan
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories, require_deleting
from engine.model.requests import PruneRequest
from engine.model.results import PruneResult
from engine.repository import prune as pruning
from engine.repository.prune_plan import PruneOptions


async def run(context: JobContext, request: PruneRequest) -> PruneResult:
    """Plans, and unless it is a dry run deletes. A dry run holds a shared lock and changes nothing.

    Raises: RefusedError where the storage is append-only; RepositoryLockedError, LockLostError, DamagedError (then nothing that is needed was deleted), StorageError.
    """
    storage = await context.catalog.storages.get(request.storage)
    began = context.clock.monotonic()
    context.emit(StepBegan(f"prune {storage.name}"))
    opening = open_repositories(
        context, [storage], is_exclusive=not request.is_dry_run, limits=request.limits
    )
    async with opening as opened:
        found = opened.opened[0]
        if not request.is_dry_run:
            require_deleting(found)
            await found.repository.storage.clean(older_than_s=24 * 3600.0)
        done = await pruning.prune(
            found.repository,
            found.lock,
            options=PruneOptions(max_unused_percent=request.max_unused_percent),
            is_dry_run=request.is_dry_run,
            emit=context.emit,
        )
    return PruneResult(
        job_id=context.job_id,
        status="completed",
        storage=storage.name,
        packs_deleted=done.packs_deleted,
        packs_rewritten=done.packs_rewritten,
        freed_bytes=done.figures.freed_bytes,
        unused_bytes_before=done.figures.unused_bytes_before,
        unused_bytes_after=done.figures.unused_bytes_after,
        duration_s=context.clock.monotonic() - began,
        is_dry_run=request.is_dry_run,
    )
