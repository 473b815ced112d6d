"""copy: backups from one storage to another, only what is missing there; or from whichever has them to a storage that missed them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from engine.errors import DamagedError, HoldfastError, ObjectMissingError, UsageError
from engine.events import StepBegan, Warned
from engine.jobs import log_copy
from engine.jobs.catalog_copies import OWN_TAG
from engine.jobs.context import JobContext
from engine.jobs.log_store import LOGS_TAG
from engine.jobs.opening import Opened, open_repositories
from engine.jobs.snapshot_tags import BACKUP_TAG, STATUS_TAG, tag_value
from engine.model.backup import Backup, BackupFilter, Copy
from engine.model.definitions import Storage
from engine.model.log_keeping import CopiedLog
from engine.model.requests import CopyRequest
from engine.model.results import CopyResult, LeftOut
from engine.repository import copy as copying
from engine.repository.copy import Rules
from engine.repository.reader import Named
from engine.storages.base import Kind

IDENTITY = functools.partial(tag_value, prefix=BACKUP_TAG)
"""Which backup a snapshot is: one reading leaves a snapshot of its own in each storage."""


@dataclass(slots=True)
class _Tally:
    """What is done, and what is still to be."""

    pending: dict[str, Backup]
    """By id, oldest first."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By id: why the last try failed."""
    tried: set[tuple[str, str]] = field(default_factory=set)
    """Backup and storage, where that was no use."""
    copied: list[Copy] = field(default_factory=list)
    skipped: int = 0
    stored_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    logs: list[CopiedLog] = field(default_factory=list)
    is_log_left_out: bool = False

    def fails(self, backup_id: str, storage: str, error: HoldfastError) -> None:
        """That storage cannot give that backup."""
        self.reasons[backup_id] = error.message
        self.tried.add((backup_id, storage))


async def run(context: JobContext, request: CopyRequest) -> CopyResult:
    """Copies, oldest first, so that what is shared moves once. What cannot be copied from one storage is tried from the next, and told.

    Raises: UsageError; StorageError, RepositoryError: also where nothing at all could be copied of what was to be.
    """
    if request.from_storage == request.to_storage:
        raise UsageError("a storage is not copied onto itself", hint="name another one with --to")
    target = await context.catalog.storages.get(request.to_storage)
    if request.from_storage:
        await context.catalog.storages.get(request.from_storage)
    began = context.clock.monotonic()
    tally = _Tally({each.backup_id: each for each in await _chosen(context, request)})
    context.emit(StepBegan(f"copy {len(tally.pending)} backups to {target.name}"))
    storages = await _storages(context, request)
    sources = await _logged(context, request, list(tally.pending.values()))
    if tally.pending or await log_copy.wanted(context, target.name, storages, sources):
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(
                open_repositories(context, [target], is_exclusive=False, limits=request.limits)
            )
            await _copy_all(context, storages, opened.opened[0], tally, request)
            tally.logs, failed = await log_copy.copy(
                context, list(storages.values()), opened.opened[0], sources, request.limits
            )
            tally.warnings += failed
            tally.is_log_left_out = bool(failed)
    left_out = [
        LeftOut(each, tally.reasons.get(each, "no storage that is switched on holds it"))
        for each in tally.pending
    ]
    for each in left_out:
        context.emit(Warned(f"backup {each.backup_id} is not copied: {each.reason}"))
    return CopyResult(
        job_id=context.job_id,
        status="incomplete" if left_out or tally.is_log_left_out else "completed",
        copied=tuple(tally.copied),
        skipped=tally.skipped,
        copied_bytes=tally.stored_bytes,
        duration_s=context.clock.monotonic() - began,
        warnings=tuple(tally.warnings),
        left_out=tuple(left_out),
        logs=tuple(tally.logs),
    )


async def _storages(context: JobContext, request: CopyRequest) -> dict[str, Storage]:
    """Those that are copied from, by name."""
    if request.from_storage:
        return {request.from_storage: await context.catalog.storages.get(request.from_storage)}
    return {each.name: each for each in await context.catalog.storages.all() if each.is_enabled}


async def _logged(context: JobContext, request: CopyRequest, chosen: Sequence[Backup]) -> list[str]:
    """The sources whose logs go along: of the backups that were named, or all."""
    logged = {each.source for each in await context.catalog.logs.heads()}
    if request.backups:
        logged &= {each.source for each in chosen}
    return sorted(logged)


async def _copy_all(
    context: JobContext, enabled: Mapping[str, Storage], into: Opened, tally: _Tally, request: CopyRequest
) -> None:
    """Raises: what the last storage said, where nothing was brought over of what was to be."""
    errors: list[HoldfastError] = []
    while (source := _best_source(tally, enabled, into.definition.name)) is not None:
        backups = [
            each
            for each in tally.pending.values()
            if snapshot_in(each, source.name) and (each.backup_id, source.name) not in tally.tried
        ]
        async with AsyncExitStack() as stack:
            opening = open_repositories(
                context, [source], is_exclusive=False, limits=request.limits, is_reading=True
            )
            try:
                first = (await stack.enter_async_context(opening)).opened[0]
            except HoldfastError as error:
                errors.append(error)
                for each in backups:
                    tally.fails(each.backup_id, source.name, error)
                continue
            _say_if_cut_otherwise(context, first, into, tally)
            if request.is_all:
                await _count_unknown(context, first, tally)
            await _copy_from(context, first, into, backups, tally)
    if errors and not tally.copied and not tally.skipped:
        raise errors[-1]


def _best_source(tally: _Tally, enabled: Mapping[str, Storage], target: str) -> Storage | None:
    """The storage that holds most of what is still to be copied."""
    counts = dict.fromkeys(enabled, 0)
    for each in tally.pending.values():
        for copy in each.copies:
            is_usable = copy.snapshot_id and (each.backup_id, copy.storage) not in tally.tried
            if is_usable and copy.storage in counts and copy.storage != target:
                counts[copy.storage] += 1
    best = max(counts, key=lambda name: counts[name], default="")
    return enabled[best] if best and counts[best] else None


async def _copy_from(
    context: JobContext, first: Opened, into: Opened, backups: Iterable[Backup], tally: _Tally
) -> None:
    source = first.definition.name
    by_snapshot: dict[str, Backup] = {}
    named: list[Named] = []
    for each in backups:
        snapshot_id = snapshot_in(each, source)
        try:
            named.append(Named(snapshot_id, await first.repository.load_snapshot(snapshot_id)))
        except (DamagedError, ObjectMissingError) as error:
            tally.fails(each.backup_id, source, error)
        else:
            by_snapshot[snapshot_id] = each

    def on_damaged(damaged: Named, error: DamagedError) -> None:
        tally.fails(by_snapshot[damaged.id].backup_id, source, error)

    done = await copying.copy(
        first.repository,
        (into.repository, into.lock),
        named,
        rules=Rules(IDENTITY, on_damaged),
        emit=context.emit,
    )
    tally.stored_bytes += done.stored_bytes
    snapshots = {each.id: each.snapshot for each in named}
    for brought in done.snapshots:
        backup, copy = by_snapshot[brought.source_id], Copy(into.definition.name, brought.target_id)
        is_whole = not tag_value(snapshots[brought.source_id], STATUS_TAG)
        await context.catalog.backups.add_copy(backup.backup_id, copy, is_whole=is_whole)
        del tally.pending[backup.backup_id]
        if brought.is_skipped:
            tally.skipped += 1
        else:
            tally.copied.append(copy)


def _say_if_cut_otherwise(context: JobContext, first: Opened, into: Opened, tally: _Tally) -> None:
    """What is copied is not cut anew: where the storages cut in different ways, it shares no long piece with what lies there."""
    if first.repository.config.chunker_polynomial != into.repository.config.chunker_polynomial:
        tally.warnings.append(
            f"{first.definition.name} and {into.definition.name} cut files in different ways: nothing is cut anew, so that of files over "
            "512 KiB nothing is shared with backups that were not copied"
        )
        context.emit(Warned(tally.warnings[-1]))


async def _count_unknown(context: JobContext, first: Opened, tally: _Tally) -> None:
    """Says what `--all` leaves out: snapshots of restic's or of another home, which no backup of the catalog is."""
    names = await first.repository.names(Kind.SNAPSHOT)
    known = await context.catalog.backups.by_snapshots(first.definition.name, names)
    count = 0
    for name in set(names) - set(known):
        with suppress(DamagedError, ObjectMissingError):
            snapshot = await first.repository.load_snapshot(name)
            count += OWN_TAG not in snapshot.tags and not tag_value(snapshot, LOGS_TAG)
    if count:
        tally.warnings.append(
            f"snapshots in {first.definition.name} that are not copied: {count} of restic's or another home's"
        )
        context.emit(Warned(tally.warnings[-1]))


async def _chosen(context: JobContext, request: CopyRequest) -> Sequence[Backup]:
    """The backups that were asked for, oldest first. Raises: UsageError where the storage lacks one that was named."""
    source = request.from_storage
    if request.is_missing:
        kept = await context.catalog.backups.missing(request.to_storage)
        if source:
            kept = [each for each in kept if snapshot_in(each, source)]
    elif request.is_all:
        found = await context.catalog.backups.page(BackupFilter(storage=source), limit=-1)
        kept = [each for each in found if snapshot_in(each, source)]
        if not kept:
            context.emit(Warned(f"{source} holds no backup"))
    else:
        kept = [await context.catalog.backups.find(each) for each in dict.fromkeys(request.backups)]
        for each in kept:
            if source and not snapshot_in(each, source):
                raise UsageError(
                    f"{source} does not hold backup {each.backup_id}",
                    hint=f"holdfast show {each.backup_id} says where it is",
                )
    return sorted(kept, key=lambda each: each.created_at)


def snapshot_in(backup: Backup, storage: str) -> str:
    """The id of a backup's snapshot in that storage; empty where it has none."""
    return next((copy.snapshot_id for copy in backup.copies if copy.storage == storage), "")
