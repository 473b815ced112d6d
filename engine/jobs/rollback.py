"""rollback and discard: what a restore in place put aside comes back, or goes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UsageError
from engine.events import StepBegan
from engine.jobs import left_restores, restore_in_place, restore_refill, restore_server, values
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_database_source
from engine.jobs.restore_database import aside_name
from engine.model.definitions import Source
from engine.model.job import Job
from engine.model.requests import RestoreRequest, RollbackRequest
from engine.model.results import RestoredDatabase, RestoreResult, RollbackResult
from engine.sources import registry as sources
from engine.sources.base import Database
from engine.sources.logs import WholePlace


async def run(context: JobContext, request: RollbackRequest) -> RollbackResult:
    """Does it for every database of the restore. Raises: UsageError where there is nothing aside; SourceError, HostError."""
    job = await context.catalog.jobs.get(request.restore_job)
    asked = values.from_object(RestoreRequest, job.request) if job.verb == "restore" else None
    if asked is not None and asked.is_in_place and job.status.is_final:
        source = await _source(context, asked)
        if source.kind == "files":
            return await restore_in_place.roll_back(context, request, job, asked, source)
        if sources.is_refillable(source.kind):
            return await restore_refill.roll_back(context, request, job, asked, source)
    if asked is not None and asked.is_whole_server:
        place = await _whole_place(context, job)
        if place is not None:
            return await restore_server.roll_back(context, request, job, asked.source, place)
    if asked is None or not job.result:
        raise UsageError(
            f"job {job.job_id} is no restore that was finished", hint="`holdfast jobs` lists all jobs"
        )
    restored = values.from_object(RestoreResult, job.result)
    aside = [each for each in restored.databases if each.aside]
    if not aside:
        raise UsageError(f"job {job.job_id} put nothing aside, so there is nothing to bring back")
    source = await _source(context, asked)
    async with open_database_source(context, source) as opened, opened.database() as database:
        _require_there(await database.names(), aside)
        warnings: list[str] = []
        for each in aside:
            if request.is_discarding:
                context.emit(StepBegan(f"remove {each.aside}"))
                await database.drop(each.aside)
            else:
                context.emit(StepBegan(f"bring back {each.into}"))
                warnings += await _swap_back(context, database, each)
    return RollbackResult(
        context.job_id, "completed", job.job_id, tuple(each.into for each in aside), tuple(warnings)
    )


async def _whole_place(context: JobContext, job: Job) -> WholePlace | None:
    """Where the folders of a server lie that the job put aside, or was about to; None where it is not over, or changed nothing."""
    if job.result:
        found = values.from_object(RestoreResult, job.result).databases
        return WholePlace(found[0].into, found[0].aside) if found else None
    record = await left_restores.of_job(context.catalog, job.job_id) if job.status.is_final else None
    return WholePlace(record.data, record.aside, is_left=True) if record is not None else None


async def _source(context: JobContext, asked: RestoreRequest) -> Source:
    name = asked.target_source or asked.source
    if not name:
        name = (await context.catalog.backups.find(asked.backup)).source
    return await context.catalog.sources.get(name)


async def _swap_back(context: JobContext, database: Database, restored: RestoredDatabase) -> list[str]:
    """What the restore brought is kept too, under a name of its own: it may have been written to since."""
    kept = aside_name(restored.into, context.clock.now(), "restored")
    warnings = await database.swap(restored.aside, restored.into, kept)
    return [*warnings, f"what the restore brought of {restored.into} is kept as {kept}"]


def _require_there(present: Sequence[str], aside: Sequence[RestoredDatabase]) -> None:
    missing = [each.aside for each in aside if each.aside not in present]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} is not there any more", hint="it was discarded or brought back already"
        )
