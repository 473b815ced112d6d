"""verify: proves that what a storage holds, or one backup of it, is whole; names the backups and paths that damage touches.

With `is_repairing` what is damaged is made anew out of other storages (repair.py), and what is damaged then is the verdict.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

from engine.errors import UnknownSnapshotError, UsageError
from engine.events import StepBegan, Warned
from engine.jobs import adopting, log_verify
from engine.jobs import repair as repairing
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened, open_repositories
from engine.model.backup import Backup, BackupFilter, Proof, ProofRecord
from engine.model.definitions import Storage
from engine.model.log_keeping import VerifiedLog
from engine.model.requests import VerifyRequest
from engine.model.results import Damage, VerifyResult
from engine.repository import check as checking
from engine.repository.check import CheckOptions, CheckResult
from engine.repository.check_choice import Slice


async def run(context: JobContext, request: VerifyRequest) -> VerifyResult:
    """Checks; what is damaged is in the result. Raises: UsageError, StorageError, RepositoryError where it cannot be looked at at all."""
    backup = await context.catalog.backups.find(request.backup) if request.backup else None
    storage = await _storage(context, request, backup)
    helpers = await repairing.helpers(context, request, storage) if request.is_repairing else []
    began = context.clock.monotonic()
    context.emit(StepBegan(f"verify {storage.name}"))
    opening = open_repositories(
        context,
        [storage],
        is_exclusive=False,
        limits=request.limits,
        is_loading_index=False,
        is_reading=True,
    )
    async with opening as opened:
        found = opened.opened[0]
        if backup is None:
            await adopting.adopt(context, found)
        options = await _options(context, request, backup, found)
        result = await checking.check(found.repository, options, emit=context.emit)
    repaired: Sequence[Damage] = ()
    fetched_blobs = 0
    if request.is_repairing and result.damaged:
        done = await repairing.repair(context, request, (storage, helpers), result, options)
        result, fetched_blobs = done.after, done.fetched_blobs
        repaired = await _with_backup_ids(context, storage, done.repaired)
    await _remember(context, request, found, result, backup)
    verified, of_logs = await _logs(context, request, storage, backup, result)
    damaged = [*await _with_backup_ids(context, storage, result.damaged), *of_logs]
    for each in damaged:
        context.emit(Warned(each.message))
    return VerifyResult(
        job_id=context.job_id,
        status="damaged" if damaged else "passed",
        storage=storage.name,
        packs_read=result.packs_read,
        bytes_read=result.bytes_read,
        duration_s=context.clock.monotonic() - began,
        damaged=tuple(damaged),
        hints=tuple(result.hints),
        repaired=tuple(repaired),
        fetched_blobs=fetched_blobs,
        packs_unproved=result.unproved_packs,
        logs=tuple(verified),
    )


async def _logs(
    context: JobContext, request: VerifyRequest, storage: Storage, backup: Backup | None, result: CheckResult
) -> tuple[Sequence[VerifiedLog], Sequence[Damage]]:
    """See `log_verify.verify`; after a repair, so that what it mended is whole."""
    heads = await context.catalog.logs.heads(backup.source if backup is not None else "")
    if not any(each.storage == storage.name for each in heads):
        return (), ()
    opening = open_repositories(
        context, [storage], is_exclusive=False, limits=request.limits, is_reading=True
    )
    async with opening as opened:
        return await log_verify.verify(
            context, opened.opened[0], backup, result, is_reading=request.is_reading_data
        )


async def _storage(context: JobContext, request: VerifyRequest, backup: Backup | None) -> Storage:
    if request.storage:
        return await context.catalog.storages.get(request.storage)
    if backup is None:
        raise UsageError(
            "nothing is named that could be verified", hint="name a backup, or a storage with --storage"
        )
    for copy in backup.copies:
        if copy.snapshot_id:
            return await context.catalog.storages.get(copy.storage)
    raise UnknownSnapshotError(
        f"no storage holds backup {backup.backup_id}", hint=f"holdfast show {backup.backup_id}"
    )


async def _options(
    context: JobContext, request: VerifyRequest, backup: Backup | None, opened: Opened
) -> CheckOptions:
    snapshots = None
    if backup is not None:
        snapshots = [
            copy.snapshot_id
            for copy in backup.copies
            if copy.storage == opened.definition.name and copy.snapshot_id
        ]
        if not snapshots:
            raise UsageError(f"{opened.definition.name} does not hold backup {backup.backup_id}")
    slice_ = None
    if request.slice_percent is not None or request.slice_bytes is not None:
        slice_ = Slice(request.slice_percent, request.slice_bytes)
    proved_at = await context.catalog.pack_proofs.all(opened.repository.id)
    skipped: frozenset[bytes] = frozenset()
    if request.max_age_days is not None:
        since = context.clock.now() - datetime.timedelta(days=request.max_age_days)
        skipped = frozenset(pack for pack, at in proved_at.items() if at >= since)
    is_reading = request.is_reading_data or _is_choosing(request)
    return CheckOptions(
        is_reading, request.subset, skipped, snapshots, slice_=slice_, proved_at=proved_at if slice_ else {}
    )


def _is_choosing(request: VerifyRequest) -> bool:
    """Whether only some of the packs are read."""
    return (
        request.subset is not None
        or request.slice_percent is not None
        or request.slice_bytes is not None
        or request.max_age_days is not None
    )


async def _remember(
    context: JobContext, request: VerifyRequest, opened: Opened, result: CheckResult, backup: Backup | None
) -> None:
    """Writes down which packs were proved, and which rung of the ladder each backup of the storage reached by it.

    Backups are verified where every pack was read, now or within the age that was asked for; else they are readable.
    """
    now = context.clock.now()
    repository_id, storage = opened.repository.id, opened.definition.name
    await context.catalog.pack_proofs.record(repository_id, result.proved_packs, now)
    bad_packs = [bytes.fromhex(each.pack) for each in result.damaged if each.pack]
    await context.catalog.pack_proofs.remove(repository_id, [*bad_packs, *result.damaged_packs])
    if not result.is_index_wrong:
        await context.catalog.pack_proofs.keep_only(repository_id, result.present_packs)
    touched = {snapshot for each in result.damaged for snapshot in each.backups}
    is_all_read = request.is_reading_data and not _is_choosing(request)
    is_all_proved = request.max_age_days is not None and not result.unproved_packs
    proof = Proof.VERIFIED if is_all_read or is_all_proved else Proof.READABLE
    detail = (
        f"every pack was read within {request.max_age_days:g} days"
        if is_all_proved and not is_all_read
        else ""
    )
    chosen = (
        [backup]
        if backup is not None
        else await context.catalog.backups.page(BackupFilter(storage=storage), limit=-1)
    )
    for each in chosen:
        ids = {copy.snapshot_id for copy in each.copies if copy.storage == storage and copy.snapshot_id}
        if ids:
            is_passed = not ids & touched
            await context.catalog.backups.record_proof(
                ProofRecord(each.backup_id, storage, proof, now, is_passed, context.job_id, detail)
            )


async def _with_backup_ids(context: JobContext, storage: Storage, damaged: Sequence[Damage]) -> list[Damage]:
    """Snapshots by the ids of their backups, where the catalog knows them."""
    snapshots = sorted({snapshot for each in damaged for snapshot in each.backups})
    known = await context.catalog.backups.by_snapshots(storage.name, snapshots)
    return [replace(each, backups=tuple(known.get(name, name) for name in each.backups)) for each in damaged]
