"""What was proved of sources: what stands of each, and what was tried in a period."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.catalog.database import Database, Row, to_instant, to_json, to_microseconds, to_object
from engine.model.backup import Proof, ProofRecord
from engine.model.health import ProofAttempt
from engine.model.job import JobStatus

if TYPE_CHECKING:
    from engine.model.drills import PastDrill


class ProofCount(NamedTuple):
    """Attempts of a period at one rung, of backups that are still there."""

    source: str
    proof: Proof
    is_passed: bool
    attempts: int
    last_at: datetime.datetime
    verb: str
    """Of the last one, as the job."""
    job_id: str


class FailedBackup(NamedTuple):
    """A backup job that failed or was interrupted: what is told of it."""

    job_id: str
    at: datetime.datetime
    error: str
    error_class: str
    request: Mapping[str, Any]


class Standing:
    """What the catalog knows of sources as they are now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def proved_storages(self) -> dict[str, datetime.datetime]:
        """When anything was last proved from a storage, and passed; by storage."""
        return {storage: to_instant(at) for storage, at in await self._database.fetch_all("proved_storages")}

    async def proofs(self, sources: Sequence[str]) -> dict[str, list[ProofRecord]]:
        """The newest attempts, one that passed and one that failed for each rung, to prove any backup that holds all of a source, whether
        that backup is still there or not; newest first, by source."""
        found: dict[str, list[ProofRecord]] = {}
        rows = await self._database.fetch_all("list_proof_standings", sources=to_json(list(sources)))
        for source, backup_id, storage, proof, at, is_passed, job_id, detail, verb in rows:
            record = ProofRecord(
                backup_id, storage, Proof(proof), to_instant(at), bool(is_passed), job_id, detail, verb
            )
            found.setdefault(source, []).append(record)
        return found

    async def failed_backups(self, limit: int) -> list[FailedBackup]:
        """The newest that failed, at most so many, and then the newest that were interrupted, at most so many; without what each came to."""
        found = []
        for status in (JobStatus.FAILED, JobStatus.INTERRUPTED):
            rows = await self._database.fetch_all("list_failed_backups", status=status.value, limit=limit)
            found += [
                FailedBackup(job_id, to_instant(at), error, error_class, to_object(request))
                for job_id, at, error, error_class, request in rows
            ]
        return found

    async def source_proofs(self, source: str = "") -> dict[str, list[ProofAttempt]]:
        """By source, or of one alone: the newest attempt of each kind and outcome to prove a backup that held all of it, newest first.

        Also where that backup is gone since.
        """
        found: dict[str, list[ProofAttempt]] = {}
        for name, proof, is_passed, at in await self._database.fetch_all("list_source_proofs", source=source):
            found.setdefault(name, []).append(ProofAttempt(Proof(proof), to_instant(at), bool(is_passed)))
        return found

    async def past_drills(self, source: str, limit: int) -> list[PastDrill]:
        """The newest drills of a source that came to an end, newest first."""
        rows = await self._database.fetch_all("past_drills", source=source, limit=limit)
        return [_past_drill(row) for row in rows]

    async def last_drills(self) -> dict[str, PastDrill]:
        """By source that is defined: its newest drill that came to an end."""
        return {row[1]: _past_drill(row) for row in await self._database.fetch_all("last_drills")}

    async def recent_sizes(self, count: int) -> dict[str, list[int]]:
        """By source that is defined: the sizes of its last backups of all of it that did not fail, oldest first."""
        found: dict[str, list[int]] = {}
        for source, size_bytes in await self._database.fetch_all("recent_sizes", count=count):
            found.setdefault(source, []).append(size_bytes)
        return found

    async def proved_in(self, since: datetime.datetime, until: datetime.datetime) -> list[ProofCount]:
        """What was tried to be proved in that time; `until` is not part of it."""
        rows = await self._database.fetch_all(
            "list_proofs_of_period", since=to_microseconds(since), until=to_microseconds(until)
        )
        return [
            ProofCount(source, Proof(proof), bool(is_passed), count, to_instant(at), verb, job_id)
            for source, proof, is_passed, count, at, verb, job_id in rows
        ]


def _past_drill(row: Row) -> PastDrill:
    from engine.model.drills import PastDrill  # with the results of all jobs

    job_id, source, at, status, level, backup_id, rto_s, budget_s, checks, failed, size_bytes = row
    return PastDrill(
        job_id,
        source,
        to_instant(at),
        status or "",
        level or "",
        backup_id or "",
        rto_s or 0.0,
        budget_s,
        checks or 0,
        failed or 0,
        size_bytes,
    )
