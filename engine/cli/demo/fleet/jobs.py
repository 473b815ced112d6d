"""The jobs that a schedule of the fleet left, as they stand in the catalog: what was asked, what came of it, what they told while they ran. Pure."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any, Final

from engine.catalog import shortening
from engine.catalog.bulk import Done, Proved
from engine.cli.demo.fleet.roster import MIB, Kept
from engine.jobs import ticking, values
from engine.model import names
from engine.model.amounts import size
from engine.model.backup import Backup, BackupStatus, Proof, ProofRecord
from engine.model.job import Job, JobStatus
from engine.model.manifest import CheckResult
from engine.model.requests import BackupRequest, DrillRequest, PruneRequest, RestoreRequest, VerifyRequest
from engine.model.results import (
    BackupResult,
    DrillResult,
    DrillStep,
    PruneResult,
    RestoreResult,
    SourceResult,
    VerifyResult,
)
from engine.model.schedules import RunOutcome, Schedule, ScheduledRun
from engine.model.spans import span

_RESTORE_RATE: Final = 85 * MIB
_LEVELS: Final = {"files": "files", "redis": "server"}


def _job(  # noqa: PLR0913 -- a job
    verb: str, job_id: str, request: object, schedule: Schedule | None, began: datetime.datetime, took_s: float,
    status: JobStatus = JobStatus.COMPLETED, result: dict[str, Any] | None = None, error: str = "", key: str = "",
) -> Job:  # fmt: skip
    """What all jobs have."""
    asked = values.to_object(request)
    return Job(
        job_id, verb, {**asked, "schedule": schedule.name} if schedule else asked, status, began, began,
        began + datetime.timedelta(seconds=took_s), idempotency_key=key, result=result or {}, error=error,
        error_class="HostUnreachableError" if error else "",
    )  # fmt: skip


def _run(
    schedule: Schedule, planned: datetime.datetime, part: str, job: Job, *, is_well: bool = True
) -> ScheduledRun:
    outcome = RunOutcome(job.status.value) if is_well else RunOutcome.FAILED
    return ScheduledRun(schedule.name, planned, part, outcome, job.error, job.job_id, planned)


def backup(  # noqa: PLR0913 -- a backup, and all that it came of
    dice: random.Random,
    schedule: Schedule,
    planned: datetime.datetime,
    kept: Kept,
    taken: Backup,
    error: str,
    *,
    is_run: bool,
) -> Done:
    """A source's part of a run of a backup schedule."""
    assert taken.completed_at is not None
    took_s = (taken.completed_at - taken.created_at).total_seconds()
    result = SourceResult(
        taken.backup_id, taken.source, taken.status.value, taken.created_at, taken.completed_at, took_s, taken.size_bytes,
        taken.added_bytes, taken.files_new, taken.files_changed, taken.files_unmodified, taken.copies, taken.warnings, error,
    )  # fmt: skip
    known = {(taken.backup_id, each.storage): each.snapshot_id for each in taken.copies}
    told = values.to_object(BackupResult(taken.job_id, taken.status.value, (result,)))
    job = _job(
        "backup", taken.job_id, BackupRequest((kept.name,), schedule.storages), schedule, taken.created_at, took_s,
        JobStatus(taken.status.value), {} if error else shortening.shorten(taken.job_id, told, known), error,
        ticking.key_of(schedule.name, planned, f"{kept.host} {kept.name}"),
    )  # fmt: skip
    log = [("person", f"backing up {kept.name} on {kept.host}")]
    if error:
        log += [("warning", "attempt 1 of 4 failed; the next one follows in 2 minutes"), ("error", error)]
    else:
        log += [
            ("expert", f"{kept.kind}: {taken.files_changed} of {kept.files} files changed since the last backup"),
            *(("warning", each) for each in taken.warnings),
            *(("warning", f"{each.storage}: {each.error}") for each in taken.copies if each.error),
            ("person", f"{size(taken.size_bytes)} read, {size(taken.added_bytes)} added in {span(took_s)}"),
        ]  # fmt: skip
    run = _run(schedule, planned, kept.host, job) if is_run else None
    is_gone = taken.status is BackupStatus.FAILED and not error
    return Done(job, () if is_gone else (taken,), run=run, log=log)


def drill(  # noqa: PLR0913 -- a drill, and all that it came of
    dice: random.Random,
    schedule: Schedule,
    planned: datetime.datetime,
    kept: Kept,
    backup: Backup,
    *,
    is_passed: bool,
    is_over: bool,
) -> Done:
    """A source's part of a run of a drill schedule."""
    budget_s = float(str(schedule.options["budget"]))
    fetch_s = backup.size_bytes / _RESTORE_RATE * dice.uniform(0.93, 1.1)
    if is_over:
        fetch_s = budget_s * 1.17
    rest_s = dice.uniform(4, 20)
    level = _LEVELS.get(kept.kind, "database")
    steps = _steps(kept, fetch_s, rest_s, is_passed=is_passed)
    checks = [CheckResult("rows of 14 tables", "as in the manifest", "as in the manifest", True)] if level == "database" else []  # fmt: skip
    if not is_passed:
        checks.append(CheckResult("SELECT count(*) > 0 FROM pages", "t", "f", False))
    rto_s = sum(each.duration_s for each in steps)
    job_id = names.new_id(dice.randbytes)
    result = DrillResult(
        job_id, "passed" if is_passed else "failed", kept.name, backup.backup_id, level, steps, tuple(checks), rto_s,
        (planned - backup.created_at).total_seconds(), budget_s, "",
    )  # fmt: skip
    request = DrillRequest(kept.name, budget_s=budget_s)
    job = _job("drill", job_id, request, schedule, planned, rto_s, result=values.to_object(result),
               key=ticking.key_of(schedule.name, planned, kept.name))  # fmt: skip
    rung = Proof.DRILLED
    detail = f"level {level}" if is_passed else "a check came out otherwise: SELECT count(*) > 0 FROM pages"
    record = ProofRecord(backup.backup_id, backup.copies[0].storage, rung, planned + datetime.timedelta(seconds=rto_s), is_passed, job_id, detail, "drill")  # fmt: skip
    log = [("person", f"{each.step}: {each.status} in {span(each.duration_s)}") for each in steps]
    return Done(job, proofs=(Proved(kept.name, record),), run=_run(schedule, planned, kept.name, job, is_well=is_passed), log=log)  # fmt: skip


def _steps(kept: Kept, fetch_s: float, rest_s: float, *, is_passed: bool) -> tuple[DrillStep, ...]:
    last = "ok" if is_passed else "failed"
    if kept.kind == "files":
        return (
            DrillStep("open the backup", "ok", rest_s * 0.1),
            DrillStep("restore", "ok", fetch_s, f"{kept.files} files"),
            DrillStep("compare", last, rest_s * 0.9),
        )
    return (
        DrillStep("open the backup", "ok", rest_s * 0.1),
        DrillStep("start a throwaway server", "ok", rest_s * 0.3),
        DrillStep("restore", "ok", fetch_s),
        DrillStep("compare with the manifest", "ok", rest_s * 0.4),
        DrillStep("checks", last, rest_s * 0.2),
    )


def verify(
    dice: random.Random,
    schedule: Schedule,
    planned: datetime.datetime,
    storage: str,
    backups: Sequence[Backup],
) -> Done:
    """A storage's part of a run of a verification."""
    job_id, packs = names.new_id(dice.randbytes), dice.randrange(2_000, 2_600)
    took_s = packs * 16 / 90 * dice.uniform(0.95, 1.1)
    result = VerifyResult(job_id, "passed", storage, packs, packs * 16 * MIB, took_s)
    job = _job("verify", job_id, VerifyRequest(storage=storage, slice_percent=5.0), schedule, planned, took_s,
               result=values.to_object(result), key=ticking.key_of(schedule.name, planned, storage))  # fmt: skip
    at = planned + datetime.timedelta(seconds=took_s)
    proofs = [
        Proved(each.source, ProofRecord(each.backup_id, storage, Proof.VERIFIED, at, True, job_id, "all of its packs were read"))
        for each in backups
    ]  # fmt: skip
    log = [("person", f"{packs} packs read of {storage}, none damaged")]
    return Done(job, proofs=proofs, run=_run(schedule, planned, storage, job), log=log)


def prune(dice: random.Random, schedule: Schedule, planned: datetime.datetime, storage: str) -> Done:
    """A storage's part of a run of a prune."""
    job_id, packs = names.new_id(dice.randbytes), dice.randrange(300, 900)
    took_s = packs * 0.4
    freed = packs * 16 * MIB
    result = PruneResult(
        job_id, "completed", storage, packs, packs // 9, freed, freed * 6 // 5, freed // 5, took_s
    )
    job = _job("prune", job_id, PruneRequest(storage), schedule, planned, took_s, result=values.to_object(result),
               key=ticking.key_of(schedule.name, planned, storage))  # fmt: skip
    log = [("person", f"{packs} packs deleted of {storage}, {size(freed)} freed")]
    return Done(job, run=_run(schedule, planned, storage, job), log=log)


def restore(dice: random.Random, backup: Backup) -> Done:
    """Somebody needed something back."""
    began = backup.created_at + datetime.timedelta(hours=dice.uniform(4, 14))
    count = dice.randrange(1, 400)
    job_id, took_s = names.new_id(dice.randbytes), dice.uniform(3, 90)
    result = RestoreResult(job_id, "completed", count, count * MIB, took_s, "/srv/restored", backup_id=backup.backup_id)  # fmt: skip
    job = _job("restore", job_id, RestoreRequest(backup.backup_id, "/srv/restored"), None, began, took_s, result=values.to_object(result))  # fmt: skip
    return Done(job, log=[("person", f"{count} files restored to /srv/restored")])
