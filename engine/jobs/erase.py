"""erase: one path goes from all backups of a source, in every storage, and its bytes with it.

What a law or a leaked secret asks for. Everything is looked up first: a backup on legal hold, a storage that refuses to delete, or a tree that
cannot be read stops it before anything is changed. The audit log keeps who erased what, when and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from engine.catalog.proofs import Dropped
from engine.errors import HoldfastError, PathMissingError, RefusedError, UsageError
from engine.events import StepBegan, Warned
from engine.jobs import adopting, prune
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened, open_repositories, require_deleting
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, tag_value
from engine.model.backup import Copy
from engine.model.definitions import Storage
from engine.model.erasures import Erased, EraseResult
from engine.model.requests import EraseRequest, PruneRequest
from engine.repository import rewrite
from engine.repository.reader import Named
from engine.repository.rewrite import RewritePlan


async def run(context: JobContext, request: EraseRequest) -> EraseResult:
    """Erases, unless it is a dry run. A storage that fails does not stop the others: the result is incomplete then.

    Raises: UsageError for the root; PathMissingError where no backup holds the path; RefusedError where one that does is on legal hold,
    or a storage is append-only; UnknownNameError for a source that is not there and has no backups; where no storage could be looked at, the first error.
    """
    path = request.path.strip("/")
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise UsageError(
            f"{request.path!r} names no file or folder of a backup", hint="holdfast ls BACKUP shows them"
        )
    storages = [each for each in await context.catalog.storages.all() if each.is_enabled]
    warnings = [
        f"storage {each.name} is switched off: what it holds is left as it is"
        for each in await context.catalog.storages.all()
        if not each.is_enabled
    ]
    await _refuse_held(context, request, path, storages)
    erased: list[Erased] = []
    for storage in storages:
        context.emit(StepBegan(f"erase from {storage.name}"))
        try:
            found = await _erase_in(context, request, path, storage)
        except HoldfastError as error:
            warnings.append(f"storage {storage.name} is left as it is: {error.message}")
            context.emit(Warned(warnings[-1]))
            continue
        if found is not None:
            erased.append(found)
    status = "incomplete" if warnings else "completed"
    return EraseResult(
        job_id=context.job_id,
        status=status,
        source=request.source,
        path=request.path,
        reason=request.reason,
        storages=tuple(erased),
        warnings=tuple(warnings),
        is_dry_run=request.is_dry_run,
    )


async def _refuse_held(
    context: JobContext, request: EraseRequest, path: str, storages: Sequence[Storage]
) -> None:
    """Looks into every storage before anything is changed in one. What could not be opened is left for later to tell."""
    is_found = has_backups = False
    errors: list[HoldfastError] = []
    for storage in storages:
        try:
            async with open_repositories(
                context, [storage], is_exclusive=False, limits=request.limits, is_reading=True
            ) as opened:
                (found,) = opened.opened
                await adopting.adopt(context, found)
                planned = await rewrite.plan(
                    found.repository,
                    await _snapshots(found, request.source),
                    path.encode("utf-8", "surrogateescape"),
                )
        except HoldfastError as error:
            errors.append(error)
            continue
        is_found = is_found or bool(planned.erasures)
        has_backups = has_backups or bool(planned.erasures or planned.untouched)
        if planned.erasures:
            require_deleting(found)
        await _require_not_held(context, request, planned)
    if len(errors) == len(storages) and errors:
        raise errors[0]
    if not is_found:
        if not has_backups:
            await context.catalog.sources.get(request.source)
        raise PathMissingError(
            f"no backup of {request.source} holds {request.path}",
            hint=f"holdfast find NAME --source {request.source}",
        )


async def _require_not_held(context: JobContext, request: EraseRequest, planned: RewritePlan) -> None:
    """Raises: RefusedError where one of the backups is on legal hold."""
    ids = [tag_value(each.named.snapshot, BACKUP_TAG) for each in planned.erasures]
    for backup in await context.catalog.backups.get_many(ids):
        if backup.hold_reason:
            raise RefusedError(
                f"backup {backup.backup_id} holds {request.path} and is on hold: {backup.hold_reason}",
                hint=f"nothing of it was erased; holdfast unprotect {backup.backup_id} ends the hold",
            )


async def _snapshots(opened: Opened, source: str) -> list[Named]:
    return [
        Named(snapshot_id, snapshot)
        for snapshot_id, snapshot in await opened.repository.snapshots()
        if tag_value(snapshot, SOURCE_TAG) == source
    ]


async def _erase_in(context: JobContext, request: EraseRequest, path: str, storage: Storage) -> Erased | None:
    """None where the storage does not hold it. The lock is kept from the plan to the last deletion."""
    async with open_repositories(
        context,
        [storage],
        is_exclusive=not request.is_dry_run,
        limits=request.limits,
        is_reading=request.is_dry_run,
    ) as opened:
        (found,) = opened.opened
        repository = found.repository
        everything = [Named(*each) for each in await repository.snapshots()]
        chosen = {each.id for each in await _snapshots(found, request.source)}
        planned = await rewrite.plan(
            repository,
            [each for each in everything if each.id in chosen],
            path.encode("utf-8", "surrogateescape"),
        )
        if not planned.erasures:
            return None
        # Again: a storage may have answered only now, and a hold may have come since.
        await _require_not_held(context, request, planned)
        others = [each.snapshot.tree for each in everything if each.id not in chosen]
        others += [each.snapshot.tree for each in planned.untouched]
        still_needed = await rewrite.still_needed(repository, planned, others)
        backups = {each.named.id: tag_value(each.named.snapshot, BACKUP_TAG) for each in planned.erasures}
        if not request.is_dry_run:
            # Before anything is changed: no proof speaks of what is no longer there.
            why = Dropped(context.clock.now(), "erase", context.job_id, f"{request.path} was erased from it")
            await context.catalog.proofs.drop(storage.name, backups.values(), why)
            renamed = await rewrite.apply(repository, found.lock, planned, emit=context.emit)
            known = {
                each.backup_id for each in await context.catalog.backups.get_many(list(backups.values()))
            }
            for old, new in renamed.items():
                if backups[old] in known:
                    await context.catalog.backups.add_copy(backups[old], Copy(storage.name, new))
    erased = Erased(
        storage=storage.name,
        backups=tuple(each for each in backups.values() if each),
        snapshots=len(planned.erasures),
        files=sum(each.files for each in planned.erasures),
        size_bytes=sum(each.size_bytes for each in planned.erasures),
        still_needed_bytes=still_needed,
    )
    return await _pruned(context, request, erased)


async def _pruned(context: JobContext, request: EraseRequest, erased: Erased) -> Erased:
    """The bytes go with a prune that leaves nothing unused: else they might stay in packs that are mostly needed."""
    if request.is_dry_run or not request.is_pruning:
        return erased
    asked = PruneRequest(erased.storage, max_unused_percent=0.0, limits=request.limits)
    return dataclasses.replace(erased, prune=await prune.run(context, asked))
