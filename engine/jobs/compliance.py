"""The compliance report: what was protected in a period, how often, where, proven when and by whom.

Backups are counted by the jobs that took them, read one after the other: retention takes backups out of the catalog, and jobs stay. Of each
source the instants of its backups are held, eight bytes each, and nothing else of a job.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import statistics
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgspec

import engine
from engine.catalog.history import EndedJob
from engine.errors import HoldfastError
from engine.jobs import compliance_points, evidence, evidence_files, evidence_records, uncovered
from engine.jobs.context import JobContext
from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.job import JobStatus
from engine.model.reports import (
    ComplianceReport,
    DrillLine,
    FailureLine,
    ProtectedSource,
    ToldLine,
    UncoveredLine,
)
from engine.model.results import EvidenceItem

VERBS: Final = ("backup", "drill", "verify", "restore", "copy", "forget", "prune", "plan", "copy_catalog")
"""Jobs whose failures a report tells."""
_FAILED: Final = (JobStatus.FAILED, JobStatus.INTERRUPTED)
_MOST_FAILURES: Final = 20_000
"""Different ones; beyond that, failures of a verb count together."""
_LADDER: Final = list(Proof)


@dataclass(frozen=True, slots=True)
class Period:
    """From an instant on, up to another."""

    since: datetime.datetime
    until: datetime.datetime


class CopyOf(msgspec.Struct):
    """A storage's part of a backup, as its job's result has it."""

    storage: str
    snapshot_id: str


class Taken(msgspec.Struct):
    """A source's part of a backup job."""

    source: str
    status: str
    started_at: datetime.datetime
    duration_s: float = 0.0
    size_bytes: int = 0
    added_bytes: int = 0
    storages: list[CopyOf] = []
    error: str = ""
    warnings: list[str] = []


class _BackupResult(msgspec.Struct):
    backups: list[Taken] = []


class _BackupRequest(msgspec.Struct):
    sources: list[str] = []
    scope: str = "all"


class Drilled(msgspec.Struct):
    """A drill's result."""

    source: str = ""
    status: str = ""
    level: str = ""
    rto_s: float = 0.0
    rpo_s: float = 0.0
    budget_s: float | None = None


class _Subject(msgspec.Struct):
    """Whatever a request says that a job is about."""

    sources: list[str] = []
    source: str = ""
    storage: str = ""
    to_storage: str = ""
    backup: str = ""
    plan: str = ""


_TAKEN = msgspec.json.Decoder(_BackupResult)
_ASKED = msgspec.json.Decoder(_BackupRequest)
_DRILLED = msgspec.json.Decoder(Drilled)
_SUBJECT = msgspec.json.Decoder(_Subject)


def taken_by(job: EndedJob) -> tuple[bool, list[Taken]]:
    """Whether a backup job was for all of its sources, and what came of each; where all failed the result says nothing, and its request who."""
    asked = _ASKED.decode(job.request)
    found = _TAKEN.decode(job.result).backups
    named = {each.source for each in found}
    lost = [
        Taken(name, "failed", job.ended_at, error=job.error)
        for name in asked.sources
        if name not in named and job.status in _FAILED
    ]
    return asked.scope == "all", [*found, *lost]


def drilled_by(job: EndedJob) -> Drilled:
    """What a drill's job says."""
    return _DRILLED.decode(job.result)


@dataclass(slots=True)
class _Tally:
    """One source, as jobs are read."""

    completed: int = 0
    incomplete: int = 0
    failed: int = 0
    times: array[float] = field(default_factory=lambda: array("d"))
    """Of backups that can be restored, in the order of their jobs."""
    size_bytes: int = 0
    storages: tuple[str, ...] = ()

    def take(self, taken: Taken) -> None:
        """Counts a backup of all of the source."""
        if taken.status == "failed":
            self.failed += 1
            return
        self.completed += taken.status == "completed"
        self.incomplete += taken.status != "completed"
        at = taken.started_at.timestamp()
        if not self.times or at >= self.times[-1]:
            self.size_bytes = taken.size_bytes
            self.storages = tuple(each.storage for each in taken.storages if each.snapshot_id)
        self.times.append(at)


class _Failures:
    """Failures by what they say."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], FailureLine] = {}

    def add(self, job: EndedJob, subject: str, error: str) -> None:
        """Counts one."""
        key = (job.verb, subject, error)
        if key not in self._found and len(self._found) >= _MOST_FAILURES:
            key = (job.verb, "", "failures of many kinds")
        before = self._found.get(key)
        first_at, count = (before.first_at, before.count) if before else (job.ended_at, 0)
        self._found[key] = FailureLine(*key, count + 1, first_at, job.ended_at, job.job_id)

    def lines(self) -> list[FailureLine]:
        """All, those that happened last first."""
        return sorted(self._found.values(), key=lambda each: (each.last_at, each.subject), reverse=True)


async def compile_report(
    context: JobContext,
    period: Period,
    *,
    told: Sequence[ToldLine] = (),
    rhythms: Mapping[str, str] | None = None,
) -> ComplianceReport:
    """Everything that the catalog knows of the period. `told` is who was told what; `rhythms` says by source how often it is to be backed up.

    Raises: CatalogError; DamagedError where the audit log cannot be read.
    """
    tallies: dict[str, _Tally] = {}
    failures = _Failures()
    drills: list[tuple[EndedJob, Drilled]] = []
    async for job in context.catalog.history.ended(period.since, period.until, VERBS):
        if job.verb == "backup":
            is_whole, found = taken_by(job)
            for each in found:
                if is_whole:
                    tallies.setdefault(each.source, _Tally()).take(each)
                if each.status == "failed":
                    failures.add(job, each.source, each.error or "; ".join(each.warnings[:1]))
            continue
        if job.verb == "drill" and job.status is JobStatus.COMPLETED:
            drills.append((job, drilled_by(job)))
        if job.status in _FAILED:
            failures.add(job, _subject(job), job.error)
    starters = await _starters(context)
    proofs = await _proofs(context, period, drills, starters)
    # What lies ahead is no time without a backup.
    until = min(period.until, context.clock.now())
    defined = {each.name: each for each in await context.catalog.sources.all()}
    lines = [
        _line(
            name,
            defined.get(name),
            tallies.get(name, _Tally()),
            proofs.get(name, _Proved()),
            until,
            (rhythms or {}).get(name, ""),
        )
        for name in sorted({*defined, *tallies, *proofs})
    ]
    known = await uncovered.known(context.catalog)
    return ComplianceReport(
        since=period.since,
        until=period.until,
        written_at=context.clock.now(),
        written_by=context.actor.user,
        machine=socket.gethostname(),
        version=engine.__version__,
        sources=tuple(lines),
        drills=tuple(await asyncio.to_thread(_drill_lines, context, drills, starters)),
        failures=tuple(failures.lines()),
        uncovered=tuple(UncoveredLine(each.host, what, each.at) for each in known for what in each.what),
        told=tuple(told),
        points=await compliance_points.lines(context, [drill for _, drill in drills]),
    )


def _subject(job: EndedJob) -> str:
    asked = _SUBJECT.decode(job.request)
    return next(
        filter(
            None,
            (
                ", ".join(asked.sources),
                asked.source,
                asked.storage,
                asked.to_storage,
                asked.backup,
                asked.plan,
            ),
        ),
        "",
    )


async def _starters(context: JobContext) -> dict[str, str]:
    """Who started each drill, by its job: the audit log's line of a drill names its evidence."""
    found = {}
    async for entry in context.audit.drills():
        for claim in evidence_files.claims(entry.sequence, entry.detail):
            found[claim.name.removeprefix("drill-").partition(".")[0]] = entry.actor.login or entry.actor.user
    return found


@dataclass(slots=True)
class _Proved:
    """What was proved of a source in the period."""

    proof: Proof = Proof.TAKEN
    at: datetime.datetime | None = None
    by: str = ""
    failed: int = 0

    def passed(self, proof: Proof, at: datetime.datetime, by: str) -> None:
        """Keeps the highest rung, and its last time."""
        mine, theirs = _LADDER.index(self.proof), _LADDER.index(proof)
        if theirs > mine or (theirs == mine and (self.at is None or at >= self.at)):
            self.proof, self.at, self.by = proof, at, by


async def _proofs(
    context: JobContext,
    period: Period,
    drills: Sequence[tuple[EndedJob, Drilled]],
    starters: Mapping[str, str],
) -> dict[str, _Proved]:
    """By source. Backups that were proved may be gone: then what stands of the source, and the drills' own jobs, tell of it."""
    found: dict[str, _Proved] = {}

    def by(verb: str, job_id: str) -> str:
        who = starters.get(job_id)
        return f"{verb} {job_id}".strip() + (f" by {who}" if who else "")

    for each in await context.catalog.standing.proved_in(period.since, period.until):
        proved = found.setdefault(each.source, _Proved())
        if each.is_passed:
            proved.passed(each.proof, each.last_at, by(each.verb, each.job_id))
        else:
            proved.failed += each.attempts
    names = [each.name for each in await context.catalog.sources.all()]
    for source, records in (await context.catalog.standing.proofs(names)).items():
        for record in records:
            if record.is_passed and period.since <= record.proven_at < period.until:
                found.setdefault(source, _Proved()).passed(
                    record.proof, record.proven_at, by(record.verb, record.job_id)
                )
    for job, drill in drills:
        if drill.status == "passed":
            proof = Proof.VERIFIED if drill.level in ("bytes", "parse") else Proof.DRILLED
            found.setdefault(drill.source, _Proved()).passed(proof, job.ended_at, by("drill", job.job_id))
    return found


def _line(
    name: str, source: Source | None, tally: _Tally, proved: _Proved, until: datetime.datetime, rhythm: str
) -> ProtectedSource:
    times = sorted(tally.times)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    longest = max([*gaps, until.timestamp() - times[-1]]) if times else None
    return ProtectedSource(
        source=name,
        host=source.host if source is not None else "",
        kind=source.kind if source is not None else "",
        is_defined=source is not None,
        rhythm=rhythm,
        completed=tally.completed,
        incomplete=tally.incomplete,
        failed=tally.failed,
        newest_at=datetime.datetime.fromtimestamp(times[-1], datetime.UTC) if times else None,
        size_bytes=tally.size_bytes,
        storages=tally.storages,
        usual_gap_s=statistics.median(gaps) if gaps else None,
        longest_gap_s=longest,
        proof="" if proved.at is None else proved.proof.value,
        proven_at=proved.at,
        proven_by=proved.by,
        failed_proofs=proved.failed,
    )


def _drill_lines(
    context: JobContext, drills: Iterable[tuple[EndedJob, Drilled]], starters: Mapping[str, str]
) -> list[DrillLine]:
    """For a thread: it reads the evidence of each."""
    lines = []
    for job, drill in drills:
        item = _evidence(context, job.job_id)
        lines.append(
            DrillLine(
                at=job.ended_at,
                source=drill.source,
                job_id=job.job_id,
                status=drill.status,
                level=drill.level,
                rto_s=drill.rto_s,
                budget_s=drill.budget_s,
                rpo_s=drill.rpo_s,
                by=starters.get(job.job_id, ""),
                took_part=tuple(item.by) if item is not None else (),
                signed_off_by=tuple(each.by for each in item.sign_offs) if item is not None else (),
            )
        )
    return lines


def _evidence(context: JobContext, job_id: str) -> EvidenceItem | None:
    path = context.home.evidence / evidence.name_of(job_id)
    try:
        return evidence_records.item(path) if path.exists() else None
    except HoldfastError:
        return None  # damaged: `evidence list` says so
