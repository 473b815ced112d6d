"""backup: sources, read once, into one or several storages. One backup a source; one that fails does not stop the others."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from engine.errors import ConfigurationError, HoldfastError, RefusedError, UsageError
from engine.events import Noted, StepBegan, Warned
from engine.hosts import registry as hosts
from engine.hosts.registry import HostPool
from engine.jobs import adopting, backup_source, catalog_copies, host_load, presence
from engine.jobs.backup_source import Capture, Kept
from engine.jobs.context import JobContext
from engine.jobs.opening import OpenedSet, open_repositories
from engine.model import definitions
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy, Scope, labelled
from engine.model.definitions import LOCAL_HOST, Host, Source, retired_reason
from engine.model.logs import Base
from engine.model.names import new_id
from engine.model.requests import BackupRequest
from engine.model.results import BackupResult, SourceResult
from engine.repository import spill
from engine.repository.pool import Processes
from engine.repository.spill import Allowance, SpillOptions
from engine.scope import task_scope
from engine.sources import registry as sources

_LOOKED_AT = 400
"""Backups among which the last full one is looked for: a year of daily ones."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One source of the job, with its host."""

    source: Source
    host: Host
    backup_id: str
    last: Backup | None = None
    """The backup to decide against."""


async def run(
    context: JobContext, request: BackupRequest, defined: Mapping[str, Source] = MappingProxyType({})
) -> BackupResult:
    """Backs up. Raises where nothing at all could be kept; what failed in part is told in the result.

    A source of `defined` is read as it is there, and not as the catalog has it.
    """
    work = _in_use(
        context, [await _find(context, name, request, defined.get(name)) for name in request.sources]
    )
    storages = await chosen_storages(context, request.storages)
    work = [
        dataclasses.replace(each, last=await _last(context, each.source.name, request.kind, storages))
        for each in work
    ]
    spilling = spill_options(context)
    results = []
    errors = []
    async with AsyncExitStack() as stack:
        is_early = any(each.source.kind == "files" and each.last is None for each in work)
        processes = await stack.enter_async_context(Processes.start(is_early=is_early))
        pool = await stack.enter_async_context(hosts.open_pool(resolve_secret=context.secrets))
        async with task_scope() as early:
            # While keys are derived and locks waited for. Only the first: other hosts would have to wait while its source is read.
            early.create_task(pool.prepare(work[0].host))
            opened = await stack.enter_async_context(
                open_repositories(context, storages, is_exclusive=False, limits=request.limits)
            )
        for name, error in opened.failed:
            context.emit(Warned(f"storage {name} takes no part: {error.message}"))
        work = [await _with_lost(context, request, each, opened) for each in work]
        done = await _done_before(context, storages)
        if context.settings.catalog.copies:
            # Before anything is read: afterwards the index of all that was added would be held twice.
            await catalog_copies.keep(context, opened.opened)
        means = _Means(opened, pool, processes, spilling, _seed(context, opened))
        for each in work:
            if each.source.name in done:
                results.append(done[each.source.name])
                continue
            context.emit(StepBegan(f"back up {each.source.name}"))
            try:
                results.append(await _one(context, request, each, means))
            except HoldfastError as error:
                errors.append(error)
                results.append(await _failed(context, request, each, error))
    for name in means.reached:
        # Not before what waited for it is done: that its last backup failed would be told of each source meanwhile.
        await presence.host_answers(context.catalog, context.clock, name)
    if errors and len(errors) == len(work):
        raise errors[0]
    return BackupResult(context.job_id, _overall(results), tuple(results))


def spill_options(context: JobContext) -> SpillOptions | None:
    """Where packs of slow storages wait, as the administrator says; what killed jobs left there is removed. Raises: ConfigurationError."""
    settings = context.settings.spill
    folder = Path(settings.folder) if settings.folder else context.home.cache
    if not folder.is_dir():
        raise ConfigurationError(
            f"{context.home.settings}: spill.folder {folder} is not there", hint="make it, or leave it out"
        )
    spill.remove_leftovers(folder)
    if not settings.limit_bytes:
        return None
    return SpillOptions(folder, settings.limit_bytes, allowance=Allowance(settings.wait_s))


async def chosen_storages(context: JobContext, names: Sequence[str]) -> list[definitions.Storage]:
    """The storages of these names, or the default one. Raises: UnknownNameError; UsageError where there is none, or one is switched off."""
    if names:
        found = [await context.catalog.storages.get(name) for name in dict.fromkeys(names)]
    else:
        found = [each for each in await context.catalog.storages.all() if each.is_default]
    if not found:
        raise UsageError(
            "there is no default storage", hint="name one with --to, or add one with holdfast storage add"
        )
    for each in found:
        if not each.is_enabled:
            raise UsageError(
                f"storage {each.name} is switched off", hint=f"holdfast storage enable {each.name}"
            )
    return found


async def _find(context: JobContext, name: str, request: BackupRequest, defined: Source | None) -> _Work:
    backup_id = new_id(os.urandom)
    if request.stdin_filename:
        source = Source(name, "stdin", LOCAL_HOST, {"filename": request.stdin_filename})
    else:
        source = defined or await context.catalog.sources.get(name)
    _require_scope(source, request.scope)
    host = (
        Host(LOCAL_HOST, "local")
        if source.host == LOCAL_HOST
        else await context.catalog.hosts.get(source.host)
    )
    return _Work(source, host, backup_id)


def _in_use(context: JobContext, work: Sequence[_Work]) -> list[_Work]:
    """Without what lies on a retired host. Raises: RefusedError where nothing is left."""
    left = [each for each in work if not retired_reason(each.host)]
    for each in work:
        if not (reason := retired_reason(each.host)):
            continue
        said = f"{each.source.name} is not backed up: host {each.host.name} is retired: {reason}"
        if not left:
            raise RefusedError(said, hint=f"holdfast host unretire {each.host.name}")
        context.emit(Noted(said))
    return left


def _require_scope(source: Source, scope: Scope) -> None:
    """Raises: UsageError where a source of that kind has no such part."""
    known = sources.scopes(source.kind)
    if scope is Scope.ALL or scope in known:
        return
    parts = ", ".join(sorted(each.value for each in known)) or "none"
    raise UsageError(
        f"{source.name} is of kind {source.kind}, of which no backup of the {scope.value} alone can be made",
        hint=f"parts of that kind: {parts}",
    )


@dataclass(frozen=True, slots=True)
class _Means:
    """What the sources of a job share."""

    opened: OpenedSet
    pool: HostPool
    processes: Processes
    spill: SpillOptions | None
    chunker_seed: int | None
    reached: set[str] = field(default_factory=set)
    """Hosts that answered."""


def _seed(context: JobContext, opened: OpenedSet) -> int | None:
    """What all is cut by, where the storages' repositories were made to cut in different ways; else None.

    That of the default storage, or of the first by name, in whatever order they were named: with another cutting each time, all that is longer
    than a chunk would be stored anew each time.
    """
    repositories = {each.definition.name: each.repository for each in opened.opened}
    if len({each.config.chunker_polynomial for each in repositories.values()}) < 2:
        return None
    defaults = [each.definition.name for each in opened.opened if each.definition.is_default]
    name = min(defaults or repositories)
    context.emit(
        Noted(f"{', '.join(sorted(repositories))} cut files in different ways: all is cut as for {name}")
    )
    return repositories[name].chunker_seed


async def _one(context: JobContext, request: BackupRequest, work: _Work, means: _Means) -> SourceResult:
    began = context.clock.monotonic()
    started_at = context.clock.now()
    async with presence.noting_failure(context.catalog, context.clock, work.host, context.job_id):
        host = await means.pool.host(work.host)
    means.reached.add(host.name)
    await host_load.write_down(context, host)
    capture = Capture(
        context,
        request,
        work.source,
        host,
        work.backup_id,
        started_at,
        work.last,
        means.spill,
        means.chunker_seed,
    )
    failed = [Copy(name, "", BackupStatus.FAILED, error.message) for name, error in means.opened.failed]

    async def keep(kept: Kept) -> None:
        """What is whole in one storage can be restored from then on, however long another takes."""
        await _finish(capture, kept, failed)

    kept = await backup_source.capture(capture, means.opened.opened, means.processes, keep)
    backup = await _finish(capture, kept, failed)
    return dataclasses.replace(
        _result(backup, context.clock.monotonic() - began), kind=backup.kind, notes=tuple(kept.notes)
    )


async def _finish(capture: Capture, kept: Kept, failed: Sequence[Copy]) -> Backup:
    """Writes down what there is."""
    catalog, backup = capture.context.catalog, _backup(capture, kept, failed)
    at = kept.base
    base = Base(backup.backup_id, at.position, at.consistent_at) if at is not None else None
    await catalog.backups.finish(backup, base)
    return backup


def _backup(capture: Capture, kept: Kept, failed: Sequence[Copy]) -> Backup:
    """`failed` are those that took no part at all."""
    context, request = capture.context, capture.request
    copies = (*kept.copies, *failed)
    is_whole = kept.is_whole and all(copy.status is BackupStatus.COMPLETED for copy in copies)
    return Backup(
        backup_id=capture.backup_id,
        source=capture.source.name,
        host=capture.source.host,
        kind=kept.kind,
        scope=request.scope,
        status=BackupStatus.COMPLETED if is_whole else BackupStatus.INCOMPLETE,
        created_at=capture.started_at,
        completed_at=context.clock.now(),
        size_bytes=kept.size_bytes,
        added_bytes=kept.added_bytes,
        files_new=kept.counts.files_new,
        files_changed=kept.counts.files_changed,
        files_unmodified=kept.counts.files_unmodified,
        copies=copies,
        warnings=kept.warnings,
        tags=labelled(request.tags, request.label),
        expires_at=request.expires_at,
        job_id=context.job_id,
    )


async def _with_lost(context: JobContext, request: BackupRequest, work: _Work, opened: OpenedSet) -> _Work:
    """The same, decided against what an earlier job took and could not write down, where there is such."""
    if not await adopting.adopt_lost(context, work.source.name, opened.opened):
        return work
    last = await _last(context, work.source.name, request.kind, [each.definition for each in opened.opened])
    return dataclasses.replace(work, last=last)


async def _done_before(
    context: JobContext, storages: Sequence[definitions.Storage]
) -> Mapping[str, SourceResult]:
    """By source, what an earlier attempt of this very job has made already, in all storages: that is not made twice."""
    if context.attempt <= 1:
        return {}
    wanted = {each.name for each in storages}
    return {
        backup.source: _result(backup, 0.0)
        for backup in await context.catalog.backups.of_job(context.job_id)
        if wanted <= {copy.storage for copy in backup.copies if copy.snapshot_id}
    }


async def _last(
    context: JobContext, source: str, kind: str, storages: Sequence[definitions.Storage]
) -> Backup | None:
    """The newest backup to decide against that all of these storages hold, else the newest of any; of full ones alone for a differential."""
    names = {each.name for each in storages}
    newest = None
    for backup in await context.catalog.backups.page(BackupFilter(source=source), limit=_LOOKED_AT):
        if backup.status is BackupStatus.FAILED or (kind == "differential" and backup.kind != "full"):
            continue
        if names <= {copy.storage for copy in backup.copies if copy.snapshot_id}:
            return backup
        newest = newest or backup
    return newest


async def _failed(
    context: JobContext, request: BackupRequest, work: _Work, error: HoldfastError
) -> SourceResult:
    now = context.clock.now()
    failed = Backup(
        backup_id=work.backup_id, source=work.source.name, host=work.source.host, kind=request.kind, status=BackupStatus.FAILED,
        created_at=now, completed_at=now, size_bytes=0, added_bytes=0, files_new=0, files_changed=0, files_unmodified=0,
        copies=(), warnings=(error.message,), tags=labelled(request.tags, request.label), job_id=context.job_id, scope=request.scope,
    )  # fmt: skip
    await context.catalog.backups.add(failed)
    return _result(failed, 0.0, error.message)


def _result(backup: Backup, duration_s: float, error: str = "") -> SourceResult:
    return SourceResult(
        backup_id=backup.backup_id,
        source=backup.source,
        status=backup.status.value,
        started_at=backup.created_at,
        completed_at=backup.completed_at or backup.created_at,
        duration_s=duration_s,
        size_bytes=backup.size_bytes,
        added_bytes=backup.added_bytes,
        files_new=backup.files_new,
        files_changed=backup.files_changed,
        files_unmodified=backup.files_unmodified,
        storages=backup.copies,
        warnings=backup.warnings,
        error=error,
    )


def _overall(results: Sequence[SourceResult]) -> str:
    is_complete = all(each.status == BackupStatus.COMPLETED for each in results)
    return (BackupStatus.COMPLETED if is_complete else BackupStatus.INCOMPLETE).value
