"""plan: several sources brought back in their order, or rehearsed as one drill; one clock, one verdict.

Each step is a job of its own, so that it can be rolled back by itself. Every backup is chosen before the first step begins. A step that
fails stops the plan unless it says otherwise; what was not reached is skipped, and says why.
"""

from __future__ import annotations

import dataclasses
import platform
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import engine
from engine import signature
from engine.errors import HoldfastError, InterruptedJobError, UsageError
from engine.events import Budgeted, StepBegan, StepEnded
from engine.jobs import drill, evidence_files, values
from engine.jobs.context import JobContext
from engine.model.backup import Backup
from engine.model.plans import Plan, PlanRequest, PlanResult, PlanStep, PlanStepResult
from engine.model.results import DrillResult, RestoreResult

Perform = Callable[[str, object], Awaitable[object]]
"""Runs a verb with its request as a job of its own, and gives its result."""
SCHEMA_VERSION = 1


def require_known(step: PlanStep) -> None:
    """Raises: UsageError where its drill would be refused whatever the backup is."""
    if step.scenario == "blind":
        raise UsageError(
            f"the step {step.source} has no blind drill: the plan chooses its backups",
            hint=f"holdfast drill {step.source} --scenario blind",
        )
    drill.require_known(step.drill(""))


async def run(context: JobContext, request: PlanRequest, perform: Perform) -> PlanResult:
    """Runs or rehearses it. What a step raises is its result. Raises: UnknownNameError, UsageError: then nothing was begun."""
    began = context.clock.monotonic()
    if request.is_drill and request.is_dry_run:
        raise UsageError("a drill changes nothing, so there is no dry run of it")
    plan = await context.catalog.plans.get(request.plan)
    chosen = [await context.catalog.backups.latest(step.source, request.at) for step in plan.steps]
    budget_s = request.budget_s if request.budget_s is not None else plan.budget_s
    if budget_s is not None:
        context.emit(Budgeted(budget_s))
    steps: list[PlanStepResult] = []
    stopped = ""
    for number, (step, backup) in enumerate(zip(plan.steps, chosen, strict=True), 1):
        name = f"step {number} of {len(plan.steps)}: {step.source}"
        if stopped:
            done = PlanStepResult(step.source, "skipped", backup.backup_id, 0.0, stopped)
        else:
            context.emit(StepBegan(name))
            done = await _step(context, request, step, backup, perform)
        context.emit(StepEnded(name, done.status, done.duration_s, done.detail))
        steps.append(done)
        if done.status == "failed" and not step.goes_on:
            stopped = f"step {number}, {step.source}, failed"
    rto_s = context.clock.monotonic() - began
    is_within = budget_s is None or rto_s <= budget_s
    result = PlanResult(
        job_id=context.job_id,
        status=verdict(steps, is_drill=request.is_drill, is_within_budget=is_within),
        plan=plan.name,
        is_drill=request.is_drill,
        steps=tuple(steps),
        rto_s=rto_s,
        budget_s=budget_s,
        is_within_budget=is_within,
        is_dry_run=request.is_dry_run,
    )
    return await _with_evidence(context, request, plan, result) if request.is_drill else result


def verdict(steps: Sequence[PlanStepResult], *, is_drill: bool, is_within_budget: bool) -> str:
    """One word for all of it. A rehearsal passes only where every step did, and in time."""
    failed = [each for each in steps if each.status == "failed"]
    if is_drill:
        if not is_within_budget or any(
            each.drill is None or each.drill.status == "failed" for each in failed
        ):
            return "failed"
        return "passed" if all(each.status == "ok" for each in steps) else "inconclusive"
    if not failed:
        is_whole = all(each.restore is None or each.restore.status == "completed" for each in steps)
        return "completed" if is_whole else "incomplete"
    return "incomplete" if any(each.status == "ok" for each in steps) and not _is_stopped(steps) else "failed"


def _is_stopped(steps: Sequence[PlanStepResult]) -> bool:
    return any(each.status == "skipped" for each in steps)


async def _step(
    context: JobContext, request: PlanRequest, step: PlanStep, backup: Backup, perform: Perform
) -> PlanStepResult:
    began = context.clock.monotonic()
    done = PlanStepResult(step.source, "ok", backup.backup_id, 0.0)
    try:
        if request.is_drill:
            asked_of = step.drill(backup.backup_id)
            wanted = dataclasses.replace(asked_of, by=request.by, note=request.note, limits=request.limits)
            drilled = cast("DrillResult", await perform("drill", wanted))
            done = dataclasses.replace(done, drill=drilled)
            if drilled.status != "passed":
                done = dataclasses.replace(done, status="failed", detail=f"its drill is {drilled.status}")
        else:
            asked = step.request(backup.backup_id, is_dry_run=request.is_dry_run, limits=request.limits)
            done = dataclasses.replace(done, restore=cast("RestoreResult", await perform("restore", asked)))
    except InterruptedJobError:
        raise
    except HoldfastError as error:
        done = dataclasses.replace(done, status="failed", detail=error.message)
    return dataclasses.replace(done, duration_s=context.clock.monotonic() - began)


async def _with_evidence(
    context: JobContext, request: PlanRequest, plan: Plan, result: PlanResult
) -> PlanResult:
    """One document for all of it, which names the plan, and each step's own by its digest."""
    public = signature.public_key(await evidence_files.signing_key(context))
    document: Mapping[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.status,
        "written_at": context.clock.now().isoformat(),
        "signed_by": signature.fingerprint(public),
        "plan": values.to_object(plan),
        "rehearsal": values.to_object(result),
        "by": list(request.by),
        "note": request.note,
        "machine": socket.gethostname(),
        "versions": {"holdfast": engine.__version__, "python": platform.python_version()},
    }
    kept = await evidence_files.keep(context, f"plan-{result.job_id}.json", evidence_files.encode(document))
    return dataclasses.replace(result, report=str(kept.path), report_sha256=kept.sha256)


def claim_of(result: PlanResult) -> str:
    """What an audit line says of a rehearsal's file of evidence; nothing of a run's."""
    if not result.report:
        return ""
    return evidence_files.claim_of([evidence_files.Kept(Path(result.report), result.report_sha256)])
