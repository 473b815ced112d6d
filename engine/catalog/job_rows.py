"""Jobs as rows of the catalog."""

from __future__ import annotations

from engine.catalog.database import Row, to_instant, to_object, to_optional_instant
from engine.catalog.packing import pack
from engine.model.job import Job, JobStatus


def packed(verb: str, text: str | bytes) -> str | bytes:
    """Of a job that is over. Drills stay as they are: an index finds them by what their results say."""
    return text if verb == "drill" or text == "{}" or isinstance(text, bytes) else pack(text)


def job_of(row: Row) -> Job:
    """The job of a row of `get_job`."""
    job_id, verb, request, status, created_at, started_at, completed_at, owner, lease_until, *rest = row
    idempotency_key, progress, result, error, error_class, is_cancel_requested, *rest = rest
    priority, not_before, deadline, attempts, most_attempts = rest
    return Job(
        job_id,
        verb,
        to_object(request),
        JobStatus(status),
        to_instant(created_at),
        to_optional_instant(started_at),
        to_optional_instant(completed_at),
        owner,
        to_optional_instant(lease_until),
        idempotency_key,
        to_object(progress),
        to_object(result),
        error,
        error_class,
        bool(is_cancel_requested),
        priority,
        to_optional_instant(not_before),
        to_optional_instant(deadline),
        attempts,
        most_attempts,
    )
