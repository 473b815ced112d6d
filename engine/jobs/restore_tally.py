"""What a restore of files would do, did, and says of it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import PathMissingError
from engine.events import Noted, Warned
from engine.jobs.context import JobContext
from engine.jobs.database_backup import OpenCopy
from engine.jobs.hooks import HookLog
from engine.jobs.host_tree import HostTree
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult
from engine.repository.added import Held
from engine.repository.restore_plan import PlanTotals, plan_restore
from engine.repository.restore_values import Overwrite, RestoreOptions, Tally

_NAMED = 100
"""So many files that failed are named in the warnings."""
_PREVIEWED = 1000
"""So many paths of a dry run are lines of the job's log, which the catalog keeps."""


def overwrite(text: str) -> Overwrite:
    """What the command line calls it; always, where it says nothing."""
    return "if-changed" if text == "if-changed" else "never" if text == "never" else "always"


async def preview(
    context: JobContext, opened: OpenCopy, options: RestoreOptions, there: HostTree | None = None
) -> Tally:
    """What would be done, as figures of files, as a restore counts them; the first paths are lines of the log.

    `there` is the directory of another host that it would go to. Raises: what it raises.
    """
    log = _Log(context)
    if there is not None:
        return await there.preview(Held(opened.repository, opened.snapshot), options, log.tell)
    totals = PlanTotals()
    directories = 0
    async for planned in plan_restore(opened.repository, opened.snapshot, options):
        if planned.type != "dir" or planned.action == "delete":
            totals.add(planned)
        else:
            directories += 1
        log.tell(planned.action, planned.path, planned.size_bytes)
    return Tally(
        restored_files=totals.creates + totals.replaces,
        kept_files=totals.keeps,
        directories=directories,
        deleted=totals.deletes,
        done_bytes=totals.write_bytes,
    )


@dataclass(slots=True)
class _Log:
    """The first paths of a preview."""

    context: JobContext
    lines: int = 0

    def tell(self, action: str, path: bytes, size_bytes: int) -> None:
        """One path."""
        self.lines += 1
        if self.lines <= _PREVIEWED:
            shown = path.decode("utf-8", "backslashreplace")
            self.context.emit(Noted(f"would {action} /{shown} ({size_bytes} bytes)"))


@dataclass(frozen=True, slots=True)
class Done:
    """A restore of files that is over."""

    backup_id: str
    target: str
    tally: Tally
    began: float
    """By the monotonic clock."""
    log: HookLog
    safety_backup_id: str = ""
    note: str = ""


def result(context: JobContext, request: RestoreRequest, done: Done) -> RestoreResult:
    """The result; its warnings are told. Raises: PathMissingError where nothing of what was named was there."""
    tally, backup_id = done.tally, done.backup_id
    if request.include and _is_nothing(tally):
        raise PathMissingError(
            f"backup {backup_id} holds nothing of {', '.join(request.include)}",
            hint=f"holdfast ls --recursive {backup_id} lists what it holds",
        )
    warnings = [
        f"/{failure.path.decode('utf-8', 'backslashreplace')}: {failure.message}" if failure.path else failure.message
        for failure in tally.failures[:_NAMED]
    ]  # fmt: skip
    if tally.failure_count > _NAMED:
        warnings.append(f"and {tally.failure_count - _NAMED} more files")
    for warning in warnings:
        context.emit(Warned(warning))
    return RestoreResult(
        job_id=context.job_id,
        status="completed" if tally.is_complete and done.log.is_well else "incomplete",
        restored_files=tally.restored_files,
        restored_bytes=tally.done_bytes,
        duration_s=context.clock.monotonic() - done.began,
        target=done.target,
        safety_backup_id=done.safety_backup_id,
        warnings=tuple(warnings),
        skipped_files=tally.unchanged_files + tally.kept_files,
        deleted_files=tally.deleted,
        is_dry_run=request.is_dry_run,
        hooks=tuple(done.log.results),
        backup_id=backup_id,
        note=done.note,
    )


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
