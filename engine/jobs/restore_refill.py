"""restore in place, of a server in which nothing can be swapped: it is emptied, and filled again.

First the dump is read whole and held against the server, which is not changed; then a safety backup is taken of what the server holds; only then
is it emptied. A restore that fails after that, or is cancelled, is undone from the safety backup at once; `rollback` does it later, `discard`
lets the safety backup go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.errors import HoldfastError, RefusedError, RestoreError, UsageError
from engine.events import Noted, Progress, StepBegan, Warned
from engine.jobs import hooks, safety
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_backup, open_on_host
from engine.jobs.hooks import HookLog
from engine.model.backup import Backup, Scope
from engine.model.definitions import Source
from engine.model.job import Job
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.model.requests import Limits, RestoreRequest, RollbackRequest
from engine.model.results import RestoredDatabase, RestoreResult, RollbackResult
from engine.sources.refill import Refill, RefillableSource, RefillPlan


@dataclass(frozen=True, slots=True)
class _Filling:
    """A dump that was held against the server, and can be loaded."""

    context: JobContext
    opened: DatabaseBackup
    facts: DatabaseFacts
    refill: Refill
    plan: RefillPlan

    async def replace(self) -> Sequence[CheckResult]:
        """Empties the server, and loads. Raises: RestoreError where what is there then is not what was backed up; SourceError, HostError."""
        await self.refill.empty()
        await self.opened.read(self.facts.path, _counted(self.context, self.facts, self.refill.write))
        checks = await self.refill.finish()
        wrong = [each for each in checks if not each.passed]
        if wrong:
            raise RestoreError(
                f"{self.opened.source.name} did not come back as it was backed up: {wrong[0].check}: {wrong[0].actual} instead of {wrong[0].expected}",
                hint="stop what writes to the server meanwhile (--before-hook), and try again",
            )
        return checks


async def run(context: JobContext, request: RestoreRequest, backup: Backup) -> RestoreResult:
    """Restores, or says what it would do. Raises: UsageError, RefusedError, RestoreError, SourceError, HostError, RepositoryError."""
    began = context.clock.monotonic()
    _require_fitting(request)
    async with open_backup(context, backup, request.storage, request.limits) as opened:
        target = opened.source
        if request.target_source:
            target = await context.catalog.sources.get(request.target_source)
            _require_kind(target, opened.source)
        is_elsewhere = bool(request.target_source)
        async with _filling(context, opened, target, request.databases, is_elsewhere=is_elsewhere) as filling:
            _tell(context, filling.plan)
            log = HookLog()
            kept = ""
            checks: tuple[CheckResult, ...] = ()
            if not request.is_dry_run:
                async with hooks.around(context, request, target.host) as log:
                    if not request.is_safety_left_out:
                        why = (backup.backup_id, request.limits)
                        kept = await safety.take_whole(context, target, why)
                    context.emit(StepBegan(f"restore {target.name} in place"))
                    checks = tuple(await _restored(filling, target, request.databases, kept))
    return RestoreResult(
        job_id=context.job_id,
        status="completed" if log.is_well else "incomplete",
        restored_files=0 if request.is_dry_run else 1,
        restored_bytes=filling.facts.size_bytes,
        duration_s=context.clock.monotonic() - began,
        target=target.name,
        is_dry_run=request.is_dry_run,
        databases=(
            RestoredDatabase(
                filling.facts.name,
                ", ".join(_names(filling.plan.arriving)) or "nothing",
                size_bytes=filling.facts.size_bytes,
                duration_s=0.0 if request.is_dry_run else context.clock.monotonic() - began,
                checks=checks,
            ),
        ),
        hooks=tuple(log.results),
        safety_backup_id=kept,
        backup_id=backup.backup_id,
    )


async def roll_back(
    context: JobContext, request: RollbackRequest, job: Job, asked: RestoreRequest, source: Source
) -> RollbackResult:
    """Loads what the server held before the restore, or removes that safety backup. What it holds now is backed up first.

    Raises: UsageError where there is nothing to bring back; as `run`.
    """
    kept = safety.require(await safety.find(context, job.job_id, source.name), job)
    if request.is_discarding:
        return await safety.discard(context, kept, job)
    async with (
        open_backup(context, kept, "", request.limits) as opened,
        _filling(context, opened, source, asked.databases) as filling,
    ):
        now = await safety.take_whole(context, source, (kept.backup_id, request.limits))
        context.emit(StepBegan(f"bring back {source.name}"))
        await _restored(filling, source, asked.databases, now)
    return RollbackResult(
        context.job_id, "completed", job.job_id, tuple(_names(filling.plan.arriving)), safety_backup_id=now
    )


async def _restored(
    filling: _Filling, target: Source, databases: Sequence[str], safety_id: str
) -> Sequence[CheckResult]:
    """Replaces; undoes it where it failed. Without a safety backup (empty) what came is left."""
    try:
        return await filling.replace()
    except BaseException:
        if safety_id:
            await asyncio.shield(_undone(filling.context, target, databases, safety_id))
        raise


async def _undone(context: JobContext, target: Source, databases: Sequence[str], safety_id: str) -> None:
    """Loads what was there, over a connection of its own. Never raises a HoldfastError: the restore's own is the one that matters."""
    context.emit(StepBegan(f"roll {target.name} back"))
    try:
        kept = await context.catalog.backups.get(safety_id)
        async with (
            open_backup(context, kept, "", Limits()) as opened,
            _filling(context, opened, target, databases) as filling,
        ):
            await filling.replace()
    except HoldfastError as error:
        context.emit(
            Warned(
                f"{target.name} could not be rolled back: {error.message}; `holdfast rollback {context.job_id}` does it once that is mended"
            )
        )
        return
    context.emit(Warned(f"{target.name} is again what it was before the restore"))


@asynccontextmanager
async def _filling(
    context: JobContext,
    opened: DatabaseBackup,
    target: Source,
    databases: Sequence[str],
    *,
    is_elsewhere: bool = False,
) -> AsyncIterator[_Filling]:
    """The dump, read once and held against the server. Raises: UsageError for a backup of a part; RefusedError where the server cannot take
    it, or is on another machine; SourceError, HostError."""
    if opened.manifest.scope != Scope.ALL or len(opened.manifest.databases) != 1:
        raise UsageError(
            f"backup {opened.backup.backup_id} holds no dump that could be loaded",
            hint="restore it into a directory with --to DIR",
        )
    (facts,) = opened.manifest.databases
    async with open_on_host(context, target) as (source, host):
        assert isinstance(source, RefillableSource)
        found = (await host.facts()).hostname
        if not is_elsewhere and found != opened.snapshot.hostname:
            raise RefusedError(
                f"{target.host} is not the machine that the backup was taken of: it is {found}, and was {opened.snapshot.hostname}",
                hint=f"name it on purpose with --on {target.name}",
            )
        async with source.refill(facts, databases, int.from_bytes(os.urandom(4))) as refill:
            context.emit(StepBegan(f"read the backup of {opened.source.name}"))
            await opened.read(facts.path, _counted(context, facts, refill.measure))
            yield _Filling(context, opened, facts, refill, await refill.require_possible())


def _counted(
    context: JobContext, facts: DatabaseFacts, write: Callable[[bytes], Awaitable[None]]
) -> Callable[[bytes], Awaitable[None]]:
    done_bytes = 0

    async def counting(data: bytes) -> None:
        nonlocal done_bytes
        await write(data)
        done_bytes += len(data)
        context.emit(Progress("restore", done_bytes, current=facts.name))

    return counting


def _require_fitting(request: RestoreRequest) -> None:
    if request.include or request.exclude or request.is_deleting or request.is_verified:
        raise UsageError(
            "--include, --exclude, --delete and --verify are for files", hint="choose by --database"
        )
    if request.tables or request.masks or request.is_with_roles:
        raise UsageError(
            "--table, --mask and --roles are for databases with tables", hint="choose by --database"
        )


def _require_kind(target: Source, origin: Source) -> None:
    if target.kind != origin.kind:
        raise UsageError(f"{target.name} is of kind {target.kind}, and the backup of kind {origin.kind}")


def _tell(context: JobContext, plan: RefillPlan) -> None:
    going = {each.name: each.rows for each in plan.going.tables}
    coming = {each.name: each.rows for each in plan.arriving.tables}
    for name in sorted({*going, *coming}, key=lambda each: (len(each), each)):
        context.emit(Noted(f"{name}: {coming.get(name, 0)} keys come in the place of {going.get(name, 0)}"))


def _names(facts: DatabaseFacts) -> list[str]:
    return [each.name for each in facts.tables]
