"""Jobs that are over: counted, and read a million at a time."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from engine.catalog.database import (
    Database,
    Value,
    to_instant,
    to_json,
    to_microseconds,
    to_optional_instant,
    to_optional_microseconds,
    to_text,
)
from engine.catalog.job_rows import packed
from engine.catalog.packing import unpack
from engine.model.job import Job, JobStatus


@dataclass(frozen=True, slots=True)
class JobCount:
    """Jobs of one verb in one state."""

    verb: str
    status: JobStatus
    count: int
    last_at: datetime.datetime | None
    """When the last of them ended; None for those that are not over."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that is over, as a report reads a million of them."""

    job_id: str
    verb: str
    status: JobStatus
    ended_at: datetime.datetime
    request: str
    """JSON, as `result`."""
    result: str
    error: str


class History:
    """What jobs left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ended(
        self, since: datetime.datetime, until: datetime.datetime, verbs: Sequence[str], *, page: int = 2_000
    ) -> AsyncIterator[EndedJob]:
        """The jobs of these verbs that were queued in that time and are over, oldest first, read in pages."""
        place, after_id = to_microseconds(since), ""
        chosen: dict[str, Value] = {
            "until": to_microseconds(until),
            "verbs": to_json(list(verbs)),
            "limit": page,
        }
        while rows := await self._database.fetch_all(
            "list_ended_jobs", since=place, after_id=after_id, **chosen
        ):
            for job_id, verb, status, created_at, completed_at, request, result, error in rows:
                at = to_instant(created_at if completed_at is None else completed_at)
                yield EndedJob(job_id, verb, JobStatus(status), at, unpack(request), unpack(result), error)
            place, after_id = rows[-1][3], rows[-1][0]

    async def counts(self) -> list[JobCount]:
        """How many jobs of each verb wait, run and ended how, since this catalog was made."""
        return [
            JobCount(verb, JobStatus(status), count, to_optional_instant(last_at))
            for verb, status, count, last_at in await self._database.fetch_all("count_jobs")
        ]


def row_of(job: Job) -> Mapping[str, Value]:
    """A job that is over, as a row."""
    return {
        "job_id": job.job_id,
        "verb": job.verb,
        "request": packed(job.verb, to_json(dict(job.request))),
        "status": job.status.value,
        "created_at": to_microseconds(job.created_at),
        "started_at": to_optional_microseconds(job.started_at),
        "completed_at": to_optional_microseconds(job.completed_at),
        "owner": "",
        "lease_until": None,
        "idempotency_key": job.idempotency_key,
        "progress": "{}",
        "result": packed(job.verb, to_json(dict(job.result))),
        "error": to_text(job.error),
        "error_class": job.error_class,
        "is_cancel_requested": job.is_cancel_requested,
    }
