"""delete: single backups, forgotten in every storage that holds them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.catalog.catalog import Catalog
from engine.errors import RefusedError
from engine.jobs import forget, log_retention
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.backup import Backup
from engine.model.log_keeping import LostInstants
from engine.model.requests import DeleteRequest, Limits
from engine.model.results import Fate, ForgetResult, OnlyHeld
from engine.repository.exclusive import exclusive_bytes


async def run(context: JobContext, request: DeleteRequest) -> ForgetResult:
    """Deletes what was asked for, or finds out what only that holds. Raises: as `chosen`, then nothing is deleted; StorageError,
    RepositoryError."""
    backups = await chosen(context.catalog, request)
    work = measure if request.is_dry_run else delete
    return await work(context, backups, request.limits)


async def chosen(catalog: Catalog, request: DeleteRequest) -> Sequence[Backup]:
    """The backups that are meant. Raises: RefusedError where one is protected or held; UnknownNameError, UsageError."""
    found = [await catalog.backups.find(each) for each in dict.fromkeys(request.backups)]
    for each in found:
        if each.is_protected or each.hold_reason:
            raise RefusedError(
                f"backup {each.backup_id} is kept: {each.hold_reason or 'it is protected'}",
                hint=f"holdfast unprotect {each.backup_id}",
            )
    return found


async def measure(context: JobContext, backups: Sequence[Backup], limits: Limits) -> ForgetResult:
    """What would be deleted, and what only that holds: reads every tree of each storage once. Raises: DamagedError, StorageError."""
    fates, only = [], []
    for name in _storages(backups):
        storage = await context.catalog.storages.get(name)
        doomed = [_fate(backup, name) for backup in backups if _snapshot_id(backup, name)]
        opening = open_repositories(context, [storage], is_exclusive=False, limits=limits, is_reading=True)
        async with opening as opened:
            repository = opened.opened[0].repository
            ids = {each.snapshot_id for each in doomed}
            snapshots = await repository.snapshots()
            roots = [snapshot.tree for snapshot_id, snapshot in snapshots if snapshot_id in ids]
            others = [snapshot.tree for snapshot_id, snapshot in snapshots if snapshot_id not in ids]
            found_bytes = await exclusive_bytes(repository, roots, others, emit=context.emit)
        fates += doomed
        only.append(OnlyHeld(name, found_bytes))
    return ForgetResult(
        context.job_id,
        "completed",
        tuple(fates),
        is_dry_run=True,
        only=tuple(only),
        lost=await unreachable(context.catalog, backups),
    )


async def unreachable(catalog: Catalog, backups: Sequence[Backup]) -> Sequence[LostInstants]:
    """What sources could no longer be brought back to. Asks the catalog alone."""
    fates = [_fate(each, copy.storage) for each in backups for copy in each.copies]
    return log_retention.lost(await log_retention.known(catalog, {each.source for each in backups}), fates)


async def delete(context: JobContext, backups: Sequence[Backup], limits: Limits) -> ForgetResult:
    """Removes their snapshots; a backup that no storage holds any more leaves the catalog too. Raises: StorageError, RepositoryError."""
    fates = []
    lost = await unreachable(context.catalog, backups)
    for name in _storages(backups):
        storage = await context.catalog.storages.get(name)
        async with open_repositories(context, [storage], is_exclusive=True, limits=limits) as opened:
            doomed = [_fate(backup, name) for backup in backups if _snapshot_id(backup, name)]
            await forget.remove(context, opened.opened[0], doomed)
            fates += doomed
    for backup in backups:
        if not any(copy.snapshot_id for copy in backup.copies):
            await context.catalog.backups.remove(backup.backup_id)
    return ForgetResult(context.job_id, "completed", tuple(fates), lost=lost)


def _storages(backups: Sequence[Backup]) -> Sequence[str]:
    return sorted({copy.storage for backup in backups for copy in backup.copies if copy.snapshot_id})


def _snapshot_id(backup: Backup, storage: str) -> str:
    return next((copy.snapshot_id for copy in backup.copies if copy.storage == storage), "")


def _fate(backup: Backup, storage: str) -> Fate:
    return Fate(
        backup_id=backup.backup_id,
        snapshot_id=_snapshot_id(backup, storage),
        source=backup.source,
        storage=storage,
        created_at=backup.created_at,
        is_kept=False,
        reasons=("asked for by name",),
    )
