"""Reports on a period: what is protected and proved, and how figures develop. Rows of tables, in the order in which they are shown."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProtectedSource:
    """One source over the period."""

    source: str
    host: str
    kind: str
    is_defined: bool
    """Whether it is still to be backed up."""
    rhythm: str
    """How often it is to be backed up, in the words of its schedules; empty where none says."""
    completed: int
    incomplete: int
    failed: int
    newest_at: datetime.datetime | None
    """Of the newest backup of the period that can be restored; the following are that one's."""
    size_bytes: int
    storages: Sequence[str]
    usual_gap_s: float | None
    """The median from one backup that can be restored to the next."""
    longest_gap_s: float | None
    """The longest time without a new one, up to the period's end."""
    proof: str
    """The highest rung that any of its backups reached in the period: readable, verified, drilled; empty for none."""
    proven_at: datetime.datetime | None
    proven_by: str
    """The verb and job, and who started it where that is known."""
    failed_proofs: int
    """Attempts of the period that failed."""


@dataclass(frozen=True, slots=True)
class DrillLine:
    """One drill of the period."""

    at: datetime.datetime
    source: str
    job_id: str
    status: str
    level: str
    rto_s: float
    budget_s: float | None
    rpo_s: float
    by: str
    """Who started it, as the audit log has it."""
    took_part: Sequence[str]
    signed_off_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class PointLine:
    """A source that can be brought back to any instant of a span, as it was when the report was written."""

    source: str
    recoverable_from: datetime.datetime | None
    """By the host's clock, as the next one; None where there is no base."""
    recoverable_to: datetime.datetime | None
    lost_s: float | None
    """What would have been lost then, in seconds of changes."""
    goal_s: float | None
    """What may be, as its objective says; None where nobody said."""
    gaps: int
    """Places within that span that cannot be reached."""
    drills: int
    """To instants, in the period."""
    passed: int
    longest_rto_s: float | None
    """Of those that passed, as the next one."""
    longest_rpo_s: float | None


@dataclass(frozen=True, slots=True)
class FailureLine:
    """A failure, with how often it happened in the period."""

    verb: str
    subject: str
    error: str
    count: int
    first_at: datetime.datetime
    last_at: datetime.datetime
    job_id: str
    """Of the last time."""


@dataclass(frozen=True, slots=True)
class UncoveredLine:
    """Something that a host holds and no source takes."""

    host: str
    what: str
    seen_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class ToldLine:
    """That somebody was told of something."""

    at: datetime.datetime
    who: str
    """The destination's name, or the person's."""
    subject: str
    what: str
    is_delivered: bool = True


@dataclass(frozen=True, slots=True)
class ComplianceReport:
    """What was protected in a period, how often, where, proven when and by whom."""

    since: datetime.datetime
    until: datetime.datetime
    """Before that instant."""
    written_at: datetime.datetime
    written_by: str
    machine: str
    version: str
    """Of holdfast."""
    sources: Sequence[ProtectedSource]
    drills: Sequence[DrillLine]
    failures: Sequence[FailureLine]
    uncovered: Sequence[UncoveredLine]
    told: Sequence[ToldLine]
    points: Sequence[PointLine] = ()


@dataclass(frozen=True, slots=True)
class Bucket:
    """One source's figures of one day or week; None where there were none."""

    begins: datetime.date
    backups: int
    duration_s: float | None
    """The mean, as the others, of backups that can be restored."""
    throughput_bytes_s: float | None
    size_bytes: float | None
    added_bytes: float | None
    recovery_s: float | None
    """Of drills that passed, and of restores."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How a figure develops."""

    figure: str
    """duration_s, throughput_bytes_s, size_bytes, recovery_s."""
    first: float | None
    last: float | None
    change_a_week: float | None
    """As a share of its median: 0.1 is ten percent more each week; None where there are too few to tell."""
    words: str


@dataclass(frozen=True, slots=True)
class SourceTrend:
    """One source's figures over the period."""

    source: str
    trends: Sequence[Trend]
    buckets: Sequence[Bucket]


@dataclass(frozen=True, slots=True)
class TrendReport:
    """How durations, throughput, sizes and recovery times develop."""

    since: datetime.datetime
    until: datetime.datetime
    written_at: datetime.datetime
    by: str
    """day or week."""
    sources: Sequence[SourceTrend]


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report's file among the evidence."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What a report's job gives back."""

    job_id: str
    status: str
    files: Sequence[KeptReport]
    claim: str
    """What the audit log says of them: their digests."""
