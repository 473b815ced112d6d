"""What is at risk, and why: decided from what is known of each source and host, each concern with the command that mends it.

Without a schedule nobody said how often a source is to be backed up; its own past says how often it was.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from engine.model.alerts import Alert, AlertSettings, Condition, Silence
from engine.model.backup import Backup, BackupStatus, Proof
from engine.model.health import Health, ProofAttempt
from engine.model.log_watch import LogFacts, LogGlance
from engine.model.spans import days

SIZES = 6
"""So many tell at a glance whether the newest is as large as usual."""
LEAST_BACKUPS = 4
"""From so many on a source has a rhythm."""
_MISSED = 3
"""So many times the usual gap between two backups is too long."""
PATIENCE_S = 36 * 3600.0
"""Never sooner: backups made by hand come in bursts."""
_STALE_S = 30 * 86_400.0
_LATE = datetime.timedelta(hours=1)
"""So late a start may be; a schedule that starts nothing at its time excuses nothing."""
_SOON = datetime.timedelta(days=1)
"""What has no rhythm is old then."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that is at risk, or that could be better."""

    subject: str
    """`source NAME` or `host NAME`."""
    is_risk: bool
    reason: str
    remedy: str
    """A command line."""
    condition: Condition
    host: str = ""
    """The one that a source lies on."""
    job_id: str = ""
    """The job that showed it; empty where none did."""
    covered_by: str = ""
    """The subject whose concern says it already, `host web` that cannot be reached; empty where none does."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a source is to keep to; None where nobody said."""

    duration_s: float | None = None
    """Of a backup."""
    success_percent: float | None = None
    """Of the backups of 30 days."""
    recovery_point_s: float | None = None
    """How old the newest backup may be."""
    recovery_time_s: float | None = None
    """How long a drill may take."""


@dataclass(frozen=True, slots=True)
class LastDrill:
    """A source's newest drill that came to an end."""

    job_id: str
    rto_s: float
    budget_s: float | None


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A backup job that failed before any backup of it was begun."""

    job_id: str
    at: datetime.datetime
    error: str
    storages: Sequence[str] = ()
    """Where it was to go to, where a storage that did not answer is why."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which something could not be reached."""

    since: datetime.datetime
    until: datetime.datetime
    """Inclusive, as the other."""

    def holds(self, instant: datetime.datetime) -> bool:
        """Whether the instant lies in it."""
        return self.since <= instant <= self.until


@dataclass(frozen=True, slots=True)
class Silent:
    """What of a source's surroundings cannot be reached, and since when."""

    host: datetime.datetime | None = None
    storages: Mapping[str, datetime.datetime] = field(default_factory=dict)
    host_was: Absence | None = None
    """Where the host is reached now: when it was not, the last time."""
    storages_were: Mapping[str, Absence] = field(default_factory=dict)
    """The same of storages."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What schedules want of a source."""

    due_at: datetime.datetime | None = None
    """A backup was to begin at or after this instant, and had the time that it takes since; None where no schedule says."""
    is_retired: bool = False
    """Whether none is wanted any more: its host is out of service, or everything is paused. Its backups stay."""
    begins_at: datetime.datetime | None = None
    """When the first run of a schedule starts, or did where it is under way; None where there were others."""
    next_at: datetime.datetime | None = None
    """When the next one starts by itself."""
    is_log_shipped: bool = False
    """Whether a schedule ships its log."""
    log_within_s: float | None = None
    """So long ago the last look at its log may be; None where no schedule says, or those that do are paused."""


NOTHING_EXPECTED = Expectation()
UNASKED = Expectation(is_log_shipped=True)
"""Where nobody asked the schedules: nothing is said to be missing there."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source, for `concerns`."""

    name: str
    backups: Sequence[Backup]
    """Its newest, newest first, failed ones too; of all that it has, not of a part."""
    attempts: Sequence[ProofAttempt]
    """To prove any of its backups."""
    health: Health
    host: str = ""
    objectives: Objectives = field(default_factory=Objectives)
    last_drill: LastDrill | None = None
    failed_job: FailedJob | None = None
    """The newest one."""
    known_since: datetime.datetime | None = None
    """When a backup of it was first seen: retention may have removed it long ago."""
    expectation: Expectation = NOTHING_EXPECTED
    retired: str = ""
    """Why its host was retired; empty where it was not."""
    silent: Silent = field(default_factory=Silent)
    log: LogFacts | None = None
    """Of the log that is replayed onto its backups; None where none is shipped."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """What the last test of a host found there that no source takes."""

    host: str
    at: datetime.datetime
    what: Sequence[str]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source at a glance."""

    source: str
    host: str
    kind: str
    score: int
    """Its health: see health.py."""
    recoverable_to: datetime.datetime | None
    """The latest instant that can be reached: what its newest backup brings back, or its log; None where there is none."""
    last_status: BackupStatus | None
    proof: Proof | None
    """Of that backup."""
    proven_at: datetime.datetime | None
    copies: int
    """Storages that hold it."""
    retired: str = ""
    """Why its host was retired: nothing more is expected of it, and what it has is kept."""
    backup_id: str = ""
    """Of that backup, as the following; empty where there is none."""
    backup_kind: str = ""
    """full, incremental, differential."""
    size_bytes: int | None = None
    added_bytes: int | None = None
    recovery_point_s: float | None = None
    """So many seconds of changes would be lost now; None where there is no backup."""
    recovery_point_goal_s: float | None = None
    """How many may be, as its objective says; None where nobody said."""
    log: LogGlance | None = None
    """None where no log of it is shipped."""


@dataclass(frozen=True, slots=True)
class Paused:
    """What does not start by itself, and why."""

    schedule: str
    """Empty for all of them."""
    since: datetime.datetime
    until: datetime.datetime | None
    reason: str
    sources: Sequence[str] = ()
    """That the schedule names."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one instant."""

    at: datetime.datetime
    concerns: Sequence[Concern]
    """Risks first; also what another one covers."""
    sources: Sequence[SourceStatus]
    uncovered: int
    """Databases, servers and data folders that no source takes, on all hosts that were ever tested."""
    alerts: Sequence[Alert] = ()
    """Those that stand, as the last evaluation found them: who acknowledged which, and what is silenced."""
    pauses: Sequence[Paused] = ()
    """What does not start by itself at that instant."""
    silences: Sequence[Silence] = ()
    """Those that hold now, and those that maintenance windows make."""

    @property
    def own_concerns(self) -> Sequence[Concern]:
        """Without what follows from a host or a storage that cannot be reached, which is said once."""
        return [each for each in self.concerns if not each.covered_by]

    @property
    def is_at_risk(self) -> bool:
        """Whether any concern is a risk."""
        return any(each.is_risk for each in self.concerns)


def newest(backups: Sequence[Backup]) -> Backup | None:
    """The newest that can be restored, complete or not."""
    return next((each for each in backups if each.status is not BackupStatus.FAILED), None)


def lost_s(facts: SourceFacts, newest: Backup, now: datetime.datetime) -> float:
    """What would be lost now, in seconds of changes: since the newest backup that can be restored, or since what its log reaches."""
    age_s = max(0.0, (now - newest.created_at).total_seconds())
    by_log_s = facts.log.lost_s(now) if facts.log is not None else None
    return age_s if by_log_s is None else min(age_s, by_log_s)


def concerns(
    facts: SourceFacts, now: datetime.datetime, settings: AlertSettings | None = None
) -> list[Concern]:
    """All that its backups and proofs alone say of a source. What follows from a host or a storage that cannot be reached says so."""
    covered_by, excused = _failure_covered(facts), _excused(facts, now)
    return [
        _of_failure(each, covered_by, excused) if each.condition is Condition.FAILED else each
        for each in _concerns(facts, now, settings or AlertSettings())
    ]


def _of_failure(concern: Concern, covered_by: str, excused: str) -> Concern:
    if excused and not covered_by:
        return replace(concern, is_risk=False, reason=excused)
    return replace(concern, covered_by=covered_by)


def _failure_times(facts: SourceFacts) -> list[datetime.datetime]:
    failed, last = facts.failed_job, next(iter(facts.backups), None)
    times = [failed.at] if failed is not None else []
    return times + (
        [last.completed_at or last.created_at] if last and last.status is BackupStatus.FAILED else []
    )


def _excused(facts: SourceFacts, now: datetime.datetime) -> str:
    """What to say where its host, or its storage, was away when the last backup failed, and a schedule makes that good by itself."""
    times, next_at = _failure_times(facts), facts.expectation.next_at
    if not times or next_at is None or next_at + _LATE < now:
        return ""
    what, was = _was_away(facts, max(times))
    if was is None:
        return ""
    away = f"from {was.since:%Y-%m-%d %H:%M} to {was.until:%Y-%m-%d %H:%M} UTC"
    return f"it was missed while {what} could not be reached, {away}; its next run is at {next_at:%Y-%m-%d %H:%M} UTC"


def _was_away(facts: SourceFacts, at: datetime.datetime) -> tuple[str, Absence | None]:
    """What could not be reached when the last backup failed, and when; None where there is nothing of that."""
    was, failed = facts.silent.host_was, facts.failed_job
    if was is not None and was.holds(at):
        return f"host {facts.host}", was
    if failed is not None and failed.at == at:
        for name in failed.storages:
            storage_was = facts.silent.storages_were.get(name)
            if storage_was is not None and storage_was.holds(at):
                return f"storage {name}", storage_was
    return "", None


def _failure_covered(facts: SourceFacts) -> str:
    """What explains that its last backup failed: a host, or a storage, that cannot be reached since before then."""
    failed, silent = facts.failed_job, facts.silent
    times = _failure_times(facts)
    if not times:
        return ""
    if silent.host is not None and max(times) >= silent.host:
        return f"host {facts.host}"
    if failed is None or failed.at < max(times):
        return ""
    storages = [name for name in failed.storages if name in silent.storages]
    return next((f"storage {name}" for name in storages if failed.at >= silent.storages[name]), "")


def _concerns(facts: SourceFacts, now: datetime.datetime, settings: AlertSettings) -> list[Concern]:
    back_up = f"holdfast backup {facts.name}"
    restorable = newest(facts.backups)
    if facts.retired:
        return _of_retired(facts, restorable, now, settings)
    if restorable is None:
        return [] if facts.expectation.is_retired else [_without_any(facts, back_up, now)]
    found: list[Concern] = []
    last = facts.backups[0]
    failed = facts.failed_job
    if failed is not None and failed.at > last.created_at and not facts.expectation.is_retired:
        said = f"the last backup failed: {failed.error}"
        found.append(_concern(facts, Condition.FAILED, said, back_up, job_id=failed.job_id))
    elif last.status is not BackupStatus.COMPLETED and not _lacks_only_copies(last):
        is_failed = last.status is BackupStatus.FAILED
        said = f"the last backup {'failed' if is_failed else f'is {last.status.value}'}{_why(last)}"
        condition = Condition.FAILED if is_failed else Condition.INCOMPLETE
        found.append(_concern(facts, condition, said, back_up, job_id=last.job_id))
    if not _is_failure_due(facts, found) and (late := _lateness(facts, now)):
        found.append(_concern(facts, Condition.OVERDUE, late, back_up))
    found += _of_copies(facts, restorable)
    found += _of_proof(facts, restorable, now, settings)
    return found


def _of_retired(
    facts: SourceFacts, restorable: Backup | None, now: datetime.datetime, settings: AlertSettings
) -> list[Concern]:
    """Only what is wrong with what is kept: no new backup is expected."""
    if restorable is None:
        return []
    proofs = _of_proof(facts, restorable, now, settings)
    rotten = [each for each in proofs if each.condition is Condition.PROOF_FAILED]
    return _of_copies(facts, restorable) + rotten


def _of_copies(facts: SourceFacts, restorable: Backup) -> list[Concern]:
    found = []
    for copy in restorable.copies:
        if copy.snapshot_id:
            continue
        said = f"storage {copy.storage} has no copy of the newest backup"
        said += f": {copy.error}" if copy.error else ""
        remedy = f"holdfast copy --missing --to {copy.storage}"
        concern = _concern(facts, Condition.COPY_MISSING, said, remedy, job_id=restorable.job_id)
        since = facts.silent.storages.get(copy.storage)
        is_covered = since is not None and (restorable.completed_at or restorable.created_at) >= since
        found.append(replace(concern, covered_by=f"storage {copy.storage}") if is_covered else concern)
    return found


def _concern(
    facts: SourceFacts,
    condition: Condition,
    reason: str,
    remedy: str,
    *,
    is_risk: bool = True,
    job_id: str = "",
) -> Concern:
    return Concern(f"source {facts.name}", is_risk, reason, remedy, condition, facts.host, job_id)


def _without_any(facts: SourceFacts, remedy: str, now: datetime.datetime) -> Concern:
    if facts.backups:
        said = f"every backup failed{_why(facts.backups[0])}"
        return _concern(facts, Condition.FAILED, said, remedy, job_id=facts.backups[0].job_id)
    failed = facts.failed_job
    if failed is not None:
        said = f"every backup failed: {failed.error}"
        return _concern(facts, Condition.FAILED, said, remedy, job_id=failed.job_id)
    said, begins = "it was never backed up", facts.expectation.begins_at
    # Who has just written the schedule down need not be called; a month from now, or a day without an end, is another matter.
    is_soon = begins is not None and abs(begins - now) <= _SOON
    if begins is not None and is_soon:
        verb = "begins" if begins > now else "began"
        said += f"; its schedule {verb} at {begins:%Y-%m-%d %H:%M} UTC"
    return _concern(facts, Condition.OVERDUE, said, remedy, is_risk=not is_soon)


def of_host(uncovered: Uncovered) -> list[Concern]:
    """What to say of a host where something is left out."""
    if not uncovered.what:
        return []
    count = len(uncovered.what)
    first = uncovered.what[0] + (f" and {count - 1} more" if count > 1 else "")
    return [
        Concern(
            f"host {uncovered.host}",
            False,
            f"no source takes {first} (seen {uncovered.at.date().isoformat()})",
            f"holdfast host test {uncovered.host}",
            Condition.UNCOVERED,
            uncovered.host,
        )
    ]


def usual_gap_s(backups: Sequence[Backup]) -> float | None:
    """The median gap between successive backups that can be restored; None where there are too few to tell."""
    times = [each.created_at for each in backups if each.status is not BackupStatus.FAILED]
    if len(times) < LEAST_BACKUPS:
        return None
    return statistics.median((later - earlier).total_seconds() for later, earlier in pairwise(times))


def _why(backup: Backup) -> str:
    return f": {backup.warnings[0]}" if backup.warnings else ""


def _lacks_only_copies(backup: Backup) -> bool:
    """Whether all that was asked for is in it, and only some storage lacks it: to read the source again would mend nothing."""
    is_lacking = any(not copy.snapshot_id for copy in backup.copies)
    return backup.status is BackupStatus.INCOMPLETE and is_lacking and not backup.warnings


def _is_failure_due(facts: SourceFacts, found: Sequence[Concern]) -> bool:
    """Whether the backup that a schedule wants is the one that is said to have failed: that it is missing is no other concern."""
    due_at, last, failed = facts.expectation.due_at, facts.backups[0], facts.failed_job
    times = [failed.at] if failed is not None else []
    times += [last.completed_at or last.created_at] if last.status is BackupStatus.FAILED else []
    is_said = any(each.condition is Condition.FAILED for each in found)
    return is_said and due_at is not None and max(times, default=due_at) >= due_at


def _lateness(facts: SourceFacts, now: datetime.datetime) -> str:
    restorable = newest(facts.backups)
    assert restorable is not None
    if facts.expectation.is_retired:
        return ""
    age_s = (now - restorable.created_at).total_seconds()
    due_at = facts.expectation.due_at
    if due_at is not None:
        is_late = restorable.created_at < due_at <= now
        return f"the newest backup is {days(age_s)} old, and its schedule wanted one since" if is_late else ""
    gap_s = usual_gap_s(facts.backups)
    if gap_s is None:
        return f"the newest backup is {days(age_s)} old" if age_s > _STALE_S else ""
    if age_s <= max(_MISSED * gap_s, PATIENCE_S):
        return ""
    return f"the newest backup is {days(age_s)} old, where one usually came every {days(gap_s)}"


def _of_proof(
    facts: SourceFacts, restorable: Backup, now: datetime.datetime, settings: AlertSettings
) -> list[Concern]:
    drill = f"holdfast drill {facts.name}"
    last = max(facts.attempts, key=lambda each: (each.at, not each.is_passed), default=None)
    if last is not None and not last.is_passed:
        said = f"the last attempt to prove it {last.proof.value} failed"
        return [_concern(facts, Condition.PROOF_FAILED, said, drill)]
    # One that was first backed up a day ago had no time to be proved.
    proved_at = last.at if last is not None else min(facts.known_since or now, facts.backups[-1].created_at)
    age_s = (now - proved_at).total_seconds()
    if age_s > settings.unproven_days * 86_400:
        said = f"nothing of it was proved for {days(age_s)}"
        return [_concern(facts, Condition.UNPROVEN, said, drill)]
    if restorable.proof is Proof.TAKEN and not facts.attempts:
        return [_concern(facts, Condition.UNPROVEN, "no backup of it was ever proved", drill, is_risk=False)]
    if not any(each.proof is Proof.DRILLED for each in facts.attempts):
        return [_concern(facts, Condition.UNPROVEN, "its restore was never rehearsed", drill, is_risk=False)]
    return []
