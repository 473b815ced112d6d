"""Jobs: one execution of a verb, its progress and its outcome."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LOG_KEPT = datetime.timedelta(days=90)
"""How long the log lines of a job that completed are kept; those of all others stay as long as the job."""


class JobStatus(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process died, or its lease ran out."""
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Change(StrEnum):
    """What happened in the catalog meanwhile."""

    PROGRESS = "progress"
    """A job that runs came further, or its log grew."""
    STATE = "state"
    """Something was defined, changed or removed, or a job came, began or ended."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the catalog was at an instant; only the engine that gave it can say what changed since."""

    version: int
    state: str


@dataclass(frozen=True, slots=True)
class QueueRule:
    """When a job that waits for a worker has its turn, and how often it is tried."""

    priority: int = 0
    """The highest goes first, whatever came first."""
    not_before: datetime.datetime | None = None
    deadline: datetime.datetime | None = None
    """A job that has not begun by then fails."""
    most_attempts: int | None = None
    """Another attempt follows where the worker died, was stopped (which is not counted), or met a passing fault; with 1 never. None: as the
    settings say."""
    retry_s: int | None = None
    """Before the second attempt; four times as long before each further one, an hour at most. None: as the settings say."""


@dataclass(frozen=True, slots=True)
class Job:
    """One execution. `request` and `result` are JSON objects, so that a worker elsewhere can take the job up."""

    job_id: str
    verb: str
    request: Mapping[str, Any]
    status: JobStatus
    created_at: datetime.datetime
    started_at: datetime.datetime | None = None
    completed_at: datetime.datetime | None = None
    owner: str = ""
    """`host:boot id:pid:start time` of the process that runs it."""
    lease_until: datetime.datetime | None = None
    idempotency_key: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """While it runs, and of one that did not complete: an `events.JobProgress`; empty before anything was told."""
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    error_class: str = ""
    is_cancel_requested: bool = False
    priority: int = 0
    not_before: datetime.datetime | None = None
    deadline: datetime.datetime | None = None
    attempts: int = 0
    """That were begun."""
    most_attempts: int = 1
