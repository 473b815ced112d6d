"""drill: a restore into a scratch target, checked, timed against its budget, recorded as evidence, then thrown away.

It calls the very code that a restore calls. What does not come back well is the result and not an error: the verdict is *failed* where
something was found wrong, *inconclusive* where the drill could not look, and only else *passed*.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack

from engine.errors import CatalogDamagedError, UsageError
from engine.events import Budgeted
from engine.jobs import (
    drill_cluster,
    drill_database,
    drill_files,
    drill_host,
    drill_instant,
    drill_parse,
    drill_scenarios,
    evidence,
    replay,
    values,
)
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, OpenCopy, open_backup, open_copy
from engine.jobs.drill_database import Hold
from engine.jobs.drill_keeping import Keeping, require_possible
from engine.jobs.drill_scenarios import Stage
from engine.jobs.drill_steps import DrillRecord, StepFailedError
from engine.jobs.replay import ReplayPlan
from engine.model.backup import Backup, Proof, ProofRecord, Scope
from engine.model.manifest import CheckResult
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult, KeptScratch, PreviousDrill
from engine.repository import check as checking
from engine.repository.check import CheckOptions
from engine.sources import registry as sources

LEVELS = ("bytes", "parse", "files", "database", "server", drill_instant.LEVEL)
_OF_DATABASES, _OF_FILES = ("bytes", "parse", "database", "server"), ("bytes", "files")


async def run(context: JobContext, request: DrillRequest) -> DrillResult:
    """Drills the backup that is named, or the newest of the source. Raises: UnknownNameError, UsageError; CatalogError."""
    began = context.clock.monotonic()
    require_known(request)
    if request.budget_s is not None:
        context.emit(Budgeted(request.budget_s))
    seed = request.seed if request.seed is not None else int.from_bytes(os.urandom(4))
    record = DrillRecord(context.clock, context.emit)
    planned = await drill_instant.chosen(context, request, seed, record) if is_to_instant(request) else None
    if planned is not None:
        request = dataclasses.replace(request, backup=planned.reach.base.backup_id, level=drill_instant.LEVEL)
    backup = await drill_scenarios.chosen(context, request, seed, record)
    if request.host:
        source = await context.catalog.sources.get(backup.source)
        await drill_host.require_possible(context, request, source.kind)
    previous = await _previous(context, backup.source)

    async def conclude(kept: Sequence[KeptScratch], until: datetime.datetime | None) -> DrillResult:
        result = dataclasses.replace(_result(context, request, backup, record, began), previous=previous)
        await _remember(context, request, held, result)
        return await evidence.write(
            context, request, backup, dataclasses.replace(result, kept=tuple(kept), kept_until=until), seed
        )

    held = backup
    keeping = Keeping(context, request, conclude)
    with contextlib.suppress(StepFailedError):
        async with drill_scenarios.staged(context, request, backup, record) as stage:
            held = dataclasses.replace(backup, copies=stage.backup.copies) if stage.is_at(context) else backup
            await _drilled(stage, seed, record, keeping.hold, planned)
    if keeping.result is not None:
        return await keeping.end(record.steps)
    return await conclude((), None)


def is_to_instant(request: DrillRequest) -> bool:
    """Whether a log is replayed. Raises: UsageError where several targets are named."""
    return replay.target_of(request).is_named or request.level == drill_instant.LEVEL


def require_known(request: DrillRequest) -> None:
    """Raises: UsageError for a level or a scenario that is none, or that goes without what else was asked for."""
    is_named = replay.target_of(request).is_named
    if request.is_before and not is_named:
        raise UsageError("--just-before goes with --at, --at-transaction or --at-point")
    if is_named and request.level not in ("", drill_instant.LEVEL):
        raise UsageError(f"a drill to an instant has no level {request.level}", hint="leave --level out")
    if is_to_instant(request) and (request.backup or request.scenario):
        raise UsageError(
            "a drill to an instant chooses its base by itself", hint="leave --backup and --scenario out"
        )
    if request.level and request.level not in LEVELS:
        raise UsageError(f"there is no level {request.level}", hint=f"levels: {', '.join(LEVELS)}")
    drill_scenarios.require_known(request)


def _result(
    context: JobContext, request: DrillRequest, backup: Backup, record: DrillRecord, began: float
) -> DrillResult:
    """What was found out so far."""
    now = context.clock.monotonic()
    rto_s = (now if record.proved_at is None else record.proved_at) - began
    if request.budget_s is not None:
        record.checks.append(
            CheckResult(
                "recovery time",
                f"at most {request.budget_s:g} s",
                f"{rto_s:.1f} s",
                rto_s <= request.budget_s,
            )
        )
    return DrillResult(
        job_id=context.job_id,
        status=record.verdict(),
        source=backup.source,
        backup_id=backup.backup_id,
        level=record.level or request.level,
        steps=tuple(record.steps),
        checks=tuple(record.checks),
        rto_s=rto_s,
        rpo_s=(context.clock.now() - (record.reached_at or backup.created_at)).total_seconds()
        - (now - began),
        budget_s=request.budget_s,
        report="",
        scenario=request.scenario,
        warnings=tuple(record.warnings),
    )


async def _drilled(
    stage: Stage, seed: int, record: DrillRecord, hold: Hold, planned: ReplayPlan | None = None
) -> None:
    context, request, backup = stage.context, stage.request, stage.backup
    source = await context.catalog.sources.get(backup.source)
    is_database = sources.is_database(source.kind)
    can_load = is_database and backup.scope in (Scope.ALL, Scope.SCHEMA)
    if planned is not None:
        await drill_instant.drill(context, request, backup, planned, record, hold)
        return
    levels = _OF_DATABASES if can_load else _OF_FILES if source.kind == "files" else ("bytes",)
    if request.level and request.level not in levels:
        part = (
            f", and backup {backup.backup_id} holds the {backup.scope.value} alone"
            if is_database and not can_load
            else ""
        )
        raise UsageError(
            f"{source.name} is of kind {source.kind}{part}: there is no level {request.level}",
            hint=f"its levels: {', '.join(levels)}",
        )
    require_possible(request, can_load=can_load)
    async with AsyncExitStack() as stack:
        if can_load and request.level != "bytes":
            with record.step("open the backup"):
                opened = await stack.enter_async_context(
                    open_backup(context, backup, request.storage, request.limits)
                )
            if request.host:
                request, opened = _elsewhere(request, opened, record)
            if opened.manifest.folder:
                await drill_cluster.drill(context, request, opened, record, hold)
            elif request.level == "parse":
                await drill_parse.drill(context, opened, record)
            else:
                await drill_database.drill(context, request, opened, record, hold)
            return
        with record.step("open the backup", is_proof=False):
            held = await open_copy(context, backup, request.storage, request.limits, stack)
        if request.level != "bytes" and source.kind == "files":
            await drill_files.drill(context, held.repository, held.snapshot, seed, record)
            return
        record.level = "bytes"
        with record.step("read every byte") as detail:
            await _read_all(context, held, record, detail)


def _elsewhere(
    request: DrillRequest, opened: DatabaseBackup, record: DrillRecord
) -> tuple[DrillRequest, DatabaseBackup]:
    """The drill on another host: where no throwaway server can be started it has no live one to turn to."""
    with record.step("leave the source's own host", is_proof=False) as detail:
        detail.append(f"the drill goes to {request.host}")
    source = drill_host.least(opened.source, request.host)
    return dataclasses.replace(request, level=request.level or "server"), dataclasses.replace(
        opened, source=source
    )


async def _read_all(context: JobContext, held: OpenCopy, record: DrillRecord, detail: list[str]) -> None:
    """Every blob of the snapshot, opened, decompressed and hashed."""
    options = CheckOptions(is_reading_data=True, snapshots=[held.copy.snapshot_id])
    found = await checking.check(held.repository, options, emit=context.emit)
    detail.append(f"{found.bytes_read} bytes of {found.packs_read} packs")
    actual = found.damaged[0].message if found.damaged else "none"
    record.checks.append(CheckResult("damage", "none", actual, not found.damaged))


async def _previous(context: JobContext, source: str) -> PreviousDrill | None:
    """The source's last drill, as its job's row has it; None where there was none, or none that can be understood."""
    job = await context.catalog.jobs.last_drill(source)
    if job is None or job.completed_at is None:
        return None
    try:
        last = values.from_object(DrillResult, job.result)
    except CatalogDamagedError:
        return None
    return PreviousDrill(
        last.job_id,
        job.completed_at,
        last.status,
        last.level,
        last.backup_id,
        last.rto_s,
        last.rpo_s,
        last.steps,
    )


async def _remember(context: JobContext, request: DrillRequest, backup: Backup, result: DrillResult) -> None:
    """Which rung the backup reached: a restore into a server or folder that was looked at is a drill, what was only read a verification."""
    if result.status == "inconclusive":
        return
    proof = Proof.VERIFIED if result.level in ("bytes", "parse") else Proof.DRILLED
    storages = [
        copy.storage for copy in backup.copies if copy.snapshot_id and request.storage in ("", copy.storage)
    ]
    is_passed = result.status == "passed"
    record = ProofRecord(
        backup.backup_id,
        storages[0] if storages else "",
        proof,
        context.clock.now(),
        is_passed,
        result.job_id,
        f"level {result.level or 'none'}",
        verb="drill",
    )
    await context.catalog.backups.record_proof(record)
