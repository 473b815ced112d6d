"""restore: a backup's files into a directory, from the first of its storages that has them whole."""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.errors import PathMissingError, UsageError
from engine.events import Noted, StepBegan, Warned
from engine.format.snapshot import Snapshot
from engine.jobs import restore_database
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_copy
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult
from engine.repository import restore as restoring
from engine.repository import restore_pool
from engine.repository.patterns import Selection
from engine.repository.repository import Repository
from engine.repository.restore import RestoreOptions, Tally
from engine.repository.restore_plan import PlanTotals, plan_restore

_NAMED = 100
"""So many files that failed are named in the warnings."""
_PREVIEWED = 1000
"""So many paths of a dry run are lines of the job's log, which the catalog keeps."""


async def run(context: JobContext, request: RestoreRequest) -> RestoreResult:
    """Restores, or says what it would do. Raises: UnknownNameError, PathMissingError, RestoreError, StorageError, RepositoryError."""
    if request.into or request.is_in_place:
        return await restore_database.run(context, request)
    if not request.to:
        raise UsageError("nothing says where to restore to", hint="--to DIR, --into NAME or --in-place")
    backup = await context.catalog.backups.find(request.backup)
    began = context.clock.monotonic()
    options = RestoreOptions(
        target=request.to,
        selection=Selection.parse(request.include, request.exclude),
        overwrite=_overwrite(request.overwrite),
        is_deleting=request.is_deleting,
        is_verifying=request.is_verified,
    )
    context.emit(StepBegan(f"restore {backup.source}"))
    async with AsyncExitStack() as stack:
        if request.is_dry_run:
            opened = await open_copy(context, backup, request.storage, request.limits, stack)
            tally = await _preview(context, opened.repository, opened.snapshot, options)
        else:
            # Early: they load while keys are derived.
            channels = await stack.enter_async_context(restore_pool.start_processes())
            opened = await open_copy(context, backup, request.storage, request.limits, stack)
            tally = await restoring.restore(
                opened.repository, opened.snapshot, options, emit=context.emit, channels=channels
            )
    if request.include and _is_nothing(tally):
        raise PathMissingError(
            f"backup {backup.backup_id} holds nothing of {', '.join(request.include)}",
            hint=f"holdfast ls --recursive {backup.backup_id} lists what it holds",
        )
    return _result(context, request, tally, context.clock.monotonic() - began)


def _is_nothing(tally: Tally) -> bool:
    """Whether there was nothing that a restore could have done, or could not."""
    return not (
        tally.restored_files
        or tally.unchanged_files
        or tally.kept_files
        or tally.directories
        or tally.deleted
        or tally.failure_count
    )


async def _preview(
    context: JobContext, repository: Repository, snapshot: Snapshot, options: RestoreOptions
) -> Tally:
    """What would be done, as figures of files, as a restore counts them; the first paths are lines of the log."""
    totals = PlanTotals()
    directories = logged = 0
    async for planned in plan_restore(repository, snapshot, options):
        if planned.type != "dir" or planned.action == "delete":
            totals.add(planned)
        else:
            directories += 1
        logged += 1
        if logged > _PREVIEWED:
            continue
        path = planned.path.decode("utf-8", "backslashreplace")
        context.emit(Noted(f"would {planned.action} /{path} ({planned.size_bytes} bytes)"))
    return Tally(
        restored_files=totals.creates + totals.replaces,
        kept_files=totals.keeps,
        directories=directories,
        deleted=totals.deletes,
        done_bytes=totals.write_bytes,
    )


def _overwrite(text: str) -> restoring.Overwrite:
    return "if-changed" if text == "if-changed" else "never" if text == "never" else "always"


def _result(context: JobContext, request: RestoreRequest, tally: Tally, duration_s: float) -> RestoreResult:
    warnings = [
        f"/{failure.path.decode('utf-8', 'backslashreplace')}: {failure.message}"
        for failure in tally.failures[:_NAMED]
    ]
    if tally.failure_count > _NAMED:
        warnings.append(f"and {tally.failure_count - _NAMED} more files")
    for warning in warnings:
        context.emit(Warned(warning))
    return RestoreResult(
        job_id=context.job_id,
        status="completed" if tally.is_complete else "incomplete",
        restored_files=tally.restored_files,
        restored_bytes=tally.done_bytes,
        duration_s=duration_s,
        target=request.to,
        warnings=tuple(warnings),
        skipped_files=tally.unchanged_files + tally.kept_files,
        deleted_files=tally.deleted,
        is_dry_run=request.is_dry_run,
    )
