"""What came of drills, restores and plans, for people: the same on the command line and in the console. All lines are printable."""

from __future__ import annotations

from collections.abc import Iterator

from engine.model.plans import PlanResult, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.results import (
    DrillResult,
    MoveResult,
    PreviousDrill,
    Recovered,
    RestoreResult,
    RollbackResult,
)
from engine.model.spans import span
from engine.model.text import counted, instant, printable, size


def restored(result: RestoreResult) -> Iterator[str]:
    """What a restore did, or would do."""
    if result.databases:
        yield from _databases(result)
    else:
        yield from _files(result)
    if result.safety_backup_id:
        yield f"  what was there is kept as backup {result.safety_backup_id}"
        yield f"  holdfast rollback {result.job_id} brings it back; holdfast discard {result.job_id} lets it go"
    for hook in result.hooks:
        how = f"status {hook.status}" if hook.status is not None else "did not end"
        yield f"  hook {hook.when}: {how} in {span(hook.duration_s)}"
        for line in hook.output.splitlines() if hook.status != 0 else ():
            yield f"    {printable(line)}"


def _files(result: RestoreResult) -> Iterator[str]:
    would = "would restore" if result.is_dry_run else "restored"
    yield (
        f"{result.status}: {would} {counted(result.restored_files, 'file')}, {size(result.restored_bytes)}, "
        f"to {printable(result.target)} in {span(result.duration_s)}"
    )
    if result.skipped_files:
        yield f"  {counted(result.skipped_files, 'file')} left as they are"
    if result.deleted_files:
        yield f"  {result.deleted_files} files {'would be' if result.is_dry_run else 'were'} deleted"
    if result.warnings:
        yield f"  {counted(len(result.warnings), 'warning')}"
    if result.note:
        yield f"  {printable(result.note)}"


def _databases(result: RestoreResult) -> Iterator[str]:
    would = "would restore" if result.is_dry_run else "restored"
    for each in result.databases:
        took = f" in {span(each.duration_s)}" if each.duration_s else ""
        yield f"{result.status}: {would} {printable(each.name)}, {size(each.size_bytes)}, as {printable(each.into)}{took}"
        if each.checks:
            yield f"  {counted(len(each.checks), 'check')} against the manifest passed"
        if each.masked:
            yield f"  masked: {', '.join(printable(column) for column in each.masked)}"
        if each.aside:
            kept = "would be kept" if result.is_dry_run else "is kept"
            yield f"  what was live {kept} as {printable(each.aside)}"
    if any(each.aside for each in result.databases) and not result.is_dry_run:
        yield f"  holdfast rollback {result.job_id} swaps it back; holdfast discard {result.job_id} removes it"


def rolled_back(result: RollbackResult, *, is_discarding: bool) -> Iterator[str]:
    """What a rollback brought back, or a discard removed."""
    if result.databases:
        did = "removed what was put aside of" if is_discarding else "brought back"
        yield f"{did} {', '.join(printable(each) for each in result.databases)}"
    elif is_discarding:
        yield f"removed safety backup {result.safety_backup_id}"
    else:
        kept = (
            f"; what was there is kept as backup {result.safety_backup_id}" if result.safety_backup_id else ""
        )
        yield f"brought back {counted(result.restored_files, 'file')}{kept}"
    yield from (f"  {printable(each)}" for each in result.warnings)


def drill_verdict(result: DrillResult) -> str:
    """How a drill ended, in one line that begins with the verdict."""
    right = sum(each.passed for each in result.checks)
    budget = f" of {span(result.budget_s)}" if result.budget_s is not None else ""
    return (
        f"{result.status}: backup {result.backup_id} of {result.source}, level {result.level or 'none'}: "
        f"{right} of {counted(len(result.checks), 'check')} passed in {span(result.rto_s)}{budget}; it is {span(result.rpo_s)} old"
    )


def compared(result: DrillResult, last: PreviousDrill) -> str:
    """How the last drill ended, and what became of the two figures since."""
    took, old = result.rto_s - last.rto_s, result.rpo_s - last.rpo_s
    return (
        f"{last.status} in {span(last.rto_s)}{_difference(took, 'slower', 'faster')}; "
        f"it was {span(last.rpo_s)} old{_difference(old, 'older', 'newer')}"
        + ("" if last.level == result.level else f"; level {last.level or 'none'}")
    )


def _difference(seconds: float, more: str, less: str) -> str:
    if round(abs(seconds), 1) == 0:
        return ""
    return f" (now {span(abs(seconds))} {more if seconds > 0 else less})"


def plan_verdict(result: PlanResult) -> str:
    """How a plan ended, in one line that begins with the verdict."""
    budget = f" of {span(result.budget_s)}" if result.budget_s is not None else ""
    late = "" if result.is_within_budget else ", which is too long"
    done = sum(1 for each in result.steps if each.status == "ok")
    return (
        f"{result.status}: plan {result.plan}: {done} of {counted(len(result.steps), 'step')} "
        f"in {span(result.rto_s)}{budget}{late}"
    )


def plan_step(step: PlanStep) -> str:
    """What a step of a plan brings back, where to, and how it is rehearsed. May hold anything."""
    return f"{step.source} {_target(step.restore)}{_how(step)}"


def _target(request: RestoreRequest) -> str:
    if request.is_in_place:
        return "in place"
    if request.into:
        return f"into {request.into}"
    return f"to {request.host + ':' if request.host else ''}{request.to}"


def _how(step: PlanStep) -> str:
    said = ["goes on"] if step.goes_on else []
    said += [f"drilled at level {step.level}"] if step.level else []
    said += [f"drilled on {step.drill_host}"] if step.drill_host else []
    said += [f"drilled as if {step.scenario}"] if step.scenario else []
    return f" ({', '.join(said)})" if said else ""


def recovered(found: Recovered) -> list[str]:
    """What came back of a lost home, and what did not."""
    lines = [f"storage {found.storage}: {counted(len(found.backups), 'backup')} found again"]
    if found.catalog_at is not None:
        lines.append(f"the catalog is that of {instant(found.catalog_at)}, with all that was defined then")
        if not found.has_secrets:
            lines.append(
                "its secrets did not come back: say --vault-key, or set them anew by `holdfast vault set`"
            )
    if found.logs:
        lines.append(f"logs between backups found again: of {', '.join(found.logs)}")
    if found.sources:
        lines.append(f"sources that must be defined anew to be backed up again: {', '.join(found.sources)}")
    return lines


def moved(result: MoveResult) -> list[str]:
    """Where a storage lies now, and what is to be done next."""
    name = result.storage
    return [
        f"storage {name} is of kind {result.kind} now, at {printable(result.location)}: "
        f"{counted(result.snapshots, 'snapshot')}, {size(result.copied_bytes)} copied in {span(result.duration_s)}",
        f"the old place is left as it is: {printable(result.old_location)}",
        f"prove the new one: holdfast verify --storage {name} --read-data",
        f"print the recovery kit anew: holdfast storage recovery-kit {name}",
    ]
