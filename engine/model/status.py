"""What is at risk, and why: decided from what is known of each source and host, each concern with the command that mends it.

Without a schedule nobody said how often a source is to be backed up; its own past says how often it was.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.model.backup import Backup, BackupStatus, Proof
from engine.model.health import Health, ProofAttempt
from engine.model.spans import days

LEAST_BACKUPS = 4
"""From so many on a source has a rhythm."""
_MISSED = 3
"""So many times the usual gap between two backups is too long."""
_PATIENCE_S = 36 * 3600.0
"""Never sooner: backups made by hand come in bursts."""
_STALE_S = 30 * 86_400.0
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


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source, for `concerns`."""

    name: str
    backups: Sequence[Backup]
    """Its newest, newest first, failed ones too; of all that it has, not of a part."""
    attempts: Sequence[ProofAttempt]
    """To prove any of its backups."""
    health: Health


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
    """The instant that its newest backup brings back; None where there is none."""
    last_status: BackupStatus | None
    proof: Proof | None
    """Of that backup."""
    proven_at: datetime.datetime | None
    copies: int
    """Storages that hold it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one instant."""

    at: datetime.datetime
    concerns: Sequence[Concern]
    """Risks first."""
    sources: Sequence[SourceStatus]
    uncovered: int
    """Databases, servers and data folders that no source takes, on all hosts that were ever tested."""

    @property
    def is_at_risk(self) -> bool:
        """Whether any concern is a risk."""
        return any(each.is_risk for each in self.concerns)


def newest(backups: Sequence[Backup]) -> Backup | None:
    """The newest that can be restored, complete or not."""
    return next((each for each in backups if each.status is not BackupStatus.FAILED), None)


def concerns(facts: SourceFacts, now: datetime.datetime) -> list[Concern]:
    """All that there is to say of a source."""
    subject, back_up = f"source {facts.name}", f"holdfast backup {facts.name}"
    restorable = newest(facts.backups)
    if restorable is None:
        said = f"every backup failed{_why(facts.backups[0])}" if facts.backups else "it was never backed up"
        return [Concern(subject, is_risk=True, reason=said, remedy=back_up)]
    found = []
    last = facts.backups[0]
    if last.status is not BackupStatus.COMPLETED and not _lacks_only_copies(last):
        ended = "failed" if last.status is BackupStatus.FAILED else f"is {last.status.value}"
        found.append(Concern(subject, True, f"the last backup {ended}{_why(last)}", back_up))
    if late := _lateness(facts.backups, now):
        found.append(Concern(subject, True, late, back_up))
    found += [
        Concern(
            subject,
            True,
            f"storage {copy.storage} has no copy of the newest backup"
            + (f": {copy.error}" if copy.error else ""),
            f"holdfast copy --missing --to {copy.storage}",
        )
        for copy in restorable.copies
        if not copy.snapshot_id
    ]
    found += _of_proof(subject, facts, restorable)
    return found


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


def _lateness(backups: Sequence[Backup], now: datetime.datetime) -> str:
    restorable = newest(backups)
    assert restorable is not None
    age_s = (now - restorable.created_at).total_seconds()
    gap_s = usual_gap_s(backups)
    if gap_s is None:
        return f"the newest backup is {days(age_s)} old" if age_s > _STALE_S else ""
    if age_s <= max(_MISSED * gap_s, _PATIENCE_S):
        return ""
    return f"the newest backup is {days(age_s)} old, where one usually came every {days(gap_s)}"


def _of_proof(subject: str, facts: SourceFacts, restorable: Backup) -> list[Concern]:
    drill = f"holdfast drill {facts.name}"
    last = max(facts.attempts, key=lambda each: (each.at, not each.is_passed), default=None)
    if last is not None and not last.is_passed:
        return [Concern(subject, True, f"the last attempt to prove it {last.proof.value} failed", drill)]
    if restorable.proof is Proof.TAKEN and not facts.attempts:
        return [Concern(subject, False, "no backup of it was ever proved", drill)]
    if not any(each.proof is Proof.DRILLED for each in facts.attempts):
        return [Concern(subject, False, "its restore was never rehearsed", drill)]
    return []
