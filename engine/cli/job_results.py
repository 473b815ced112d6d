"""What came of a job, told from its row as the verb itself would have told it, and with the exit code that it would have had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine import errors
from engine.cli import (
    backup,
    diagnostics,
    download,
    drill,
    erase,
    keeping,
    logs,
    plan,
    restore,
    rollback,
    share,
    storage,
    upkeep,
)
from engine.cli.command import Call
from engine.cli.output import Output
from engine.errors import HoldfastError
from engine.model import text
from engine.model.job import Job, JobStatus
from engine.model.plans import PlanResult
from engine.model.reports import ReportResult
from engine.model.results import DrillResult, RollbackResult


def _tell_report(output: Output, result: ReportResult) -> None:
    for each in result.files:
        output.line(f"kept as {text.printable(each.path)}")


_TELL: Final[Mapping[str, Callable[[Output, Any], None]]] = {
    "backup": backup.tell,
    "ship": logs.tell,
    "restore": restore.tell,
    "verify": upkeep.tell_verify,
    "forget": upkeep.tell_forget,
    "delete": keeping.tell_delete,
    "prune": upkeep.tell_prune,
    "copy": upkeep.tell_copy,
    "storage move": storage.tell_move,
    "erase": erase.tell,
    "download": download.tell,
    "share": share.tell,
    "copy_catalog": keeping.tell_copy_catalog,
    "recover": keeping.tell_recover,
    "report": _tell_report,
}


def tell(call: Call, job: Job, *, steps_told: int = 0) -> None:
    """For people; nothing where the job gave nothing. Of the steps of a drill or a plan the first so many are told already."""
    match call.engine.result_of(job):
        case None:
            return
        case DrillResult() as result:
            drill.tell(call.output, result, steps_told=steps_told)
        case PlanResult() as result:
            plan.tell(call.output, result, steps_told=steps_told)
        case RollbackResult() as result:
            rollback.tell(call.output, result, is_discarding=bool(job.request.get("is_discarding")))
        case result:
            _TELL[job.verb](call.output, result)


def exit_of(job: Job) -> int:
    """As the verb's own: of a job that failed that of its error, of a proof that of what it found."""
    if job.status is JobStatus.FAILED:
        known = getattr(errors, job.error_class, HoldfastError)
        return int(getattr(known, "exit_code", diagnostics.FAILED))
    if job.status not in (JobStatus.COMPLETED, JobStatus.INCOMPLETE):
        return diagnostics.exit_of(job.status.value)
    status = str(job.result.get("status", job.status.value))
    is_drill = job.verb == "drill" or bool(job.request.get("is_drill"))
    if is_drill:
        return diagnostics.DONE if status == "passed" else diagnostics.PROOF_FAILED
    return diagnostics.exit_of(status)
