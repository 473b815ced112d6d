"""Restores and drills as they are prepared and looked back at. What opens a repository is loaded on use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.errors import HoldfastError
from engine.jobs import left_restores, values
from engine.jobs.left_restores import LeftRestore
from engine.model import drills
from engine.model.drills import DrillStanding, PastDrill, UnderWay, Undoable, Ways
from engine.model.job import Job, JobStatus
from engine.model.manifest import Manifest
from engine.model.objectives import objectives_of
from engine.model.requests import Limits
from engine.model.results import RestoredDatabase, RestoreResult
from engine.service.parts import Methods
from engine.sources import registry as sources

_LOOKED_AT: Final = 200
"""Restores among which those are looked for that can be undone."""
_BRINGING: Final = frozenset(("drill", "restore", "rollback", "plan"))


class RestoreMethods(Methods):
    """What can be brought back, how, and how well that was rehearsed."""

    async def drill_standings(self) -> Sequence[DrillStanding]:
        """Every source with its newest backup and its last drill. Connects to nothing."""
        last = await self._parts.catalog.standing.last_drills()
        newest = await self._parts.catalog.backups.newest_in_storages()
        return [
            DrillStanding(
                each.name,
                each.kind,
                each.host,
                max(newest.get(each.name, {}).values(), default=None),
                last.get(each.name),
                objectives_of(each).recovery_time_s,
            )
            for each in await self._parts.catalog.sources.all()
        ]

    async def past_drills(self, source: str, *, limit: int = 10) -> Sequence[PastDrill]:
        """The newest drills of a source that came to an end, newest first."""
        return await self._parts.catalog.standing.past_drills(source, limit)

    async def ways(self, source: str) -> Ways:
        """What can be done with backups of a source. Raises: UnknownNameError."""
        definition = await self._parts.catalog.sources.get(source)
        kind = definition.kind
        traits = sources.traits_of(kind)
        is_database = traits is not None and traits.is_database
        return Ways(
            is_database=is_database,
            is_loading=is_database and traits is not None and traits.can_load,
            is_refilled=sources.is_refillable(kind),
            is_files=kind == "files",
            is_by_table=is_database and traits is not None and traits.can_load and not traits.is_whole,
            has_tablespaces=bool(definition.options.get("physical")) and sources.is_placeable(kind),
            load_hint=traits.load_hint if traits is not None else "",
        )

    async def manifest(self, backup: str) -> Manifest | None:
        """What the backup of a database says that it holds; None where it is no such backup. Raises: UnknownNameError, StorageError, DamagedError."""
        found = await self._parts.catalog.backups.find(backup)
        source = await self._parts.catalog.sources.get(found.source)
        if not sources.is_database(source.kind):
            return None
        from engine.jobs.database_backup import open_backup

        async with open_backup(self._parts.context(), found, "", Limits()) as opened:
            return opened.manifest

    @staticmethod
    def pattern_of(path: str) -> str:
        """The pattern, for a restore's `include`, that means exactly this path of a backup."""
        from engine.repository.patterns import escape

        return escape(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    async def under_way(self) -> Sequence[UnderWay]:
        """Drills, restores and plans that wait or run, the newest first."""
        found = []
        for status in (JobStatus.RUNNING, JobStatus.QUEUED):
            jobs = await self._parts.catalog.jobs.page(status=status, limit=-1)
            found += [UnderWay(job, await self._brought_back(job)) for job in jobs if job.verb in _BRINGING]
        return found

    async def undoable_restores(self) -> Sequence[Undoable]:
        """Restores in place whose rollback or discard nobody asked for yet, newest first."""
        jobs = self._parts.catalog.jobs
        over = {
            str(each.request.get("restore_job"))
            for each in await jobs.page(verb="rollback", limit=_LOOKED_AT)
            if each.status in (JobStatus.COMPLETED, JobStatus.RUNNING, JobStatus.QUEUED)
        }
        found = []
        left = {each.job_id: each for each in await left_restores.left(self._parts.catalog)}
        for job in await jobs.page(verb="restore", limit=_LOOKED_AT):
            result = _left(left[job.job_id]) if job.job_id in left else _restored(job)
            if result is not None and job.job_id not in over and drills.can_be_undone(result):
                names = await self._brought_back(job)
                found.append(
                    Undoable(
                        job.job_id, names[0] if names else "", job.completed_at or job.created_at, result
                    )
                )
        return found

    async def _brought_back(self, job: Job) -> Sequence[str]:
        """The sources that a job is about; none where what it names is gone."""
        asked = job.request
        catalog = self._parts.catalog
        try:
            match job.verb:
                case "drill" | "restore" if asked.get("source"):
                    return [str(asked["source"])]
                case "restore" if asked.get("source"):
                    return [str(asked["source"])]
                case "restore":
                    return [(await catalog.backups.find(str(asked["backup"]))).source]
                case "plan":
                    return [each.source for each in (await catalog.plans.get(str(asked["plan"]))).steps]
                case "rollback":
                    return await self._brought_back(await catalog.jobs.get(str(asked["restore_job"])))
        except HoldfastError:
            pass
        return []


def _left(record: LeftRestore) -> RestoreResult:
    """As it would be of one that came to its end."""
    whole = RestoredDatabase(f"the server of {record.source}", record.data, record.aside)
    return RestoreResult(
        record.job_id, "incomplete", 0, 0, 0.0, f"{record.source}: {record.data}", databases=(whole,)
    )


def _restored(job: Job) -> RestoreResult | None:
    if not job.result:
        return None
    try:
        return values.from_object(RestoreResult, job.result)
    except HoldfastError:
        return None
