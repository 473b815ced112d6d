"""How well a source is looked after: a score from 0 to 100 that a person can follow, part by part.

What proves most counts most: half of the points are for proof, so a source that was never drilled has at most 50. A proof that failed, grew
old or is missing never raises the score.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from engine.model.backup import BackupStatus, Proof
from engine.model.spans import days

NEVER_DRILLED_LIMIT = 50
FAILED_LIMIT = 25
"""While the newest attempt to prove anything failed."""
_DAY_S = 86_400.0
_FRESH_S, _STALE_S = 1.5 * _DAY_S, 30 * _DAY_S
"""A newest backup younger than the first has all points, one older than the second none."""
_PROOF_FRESH_S, _PROOF_STALE_S = 35 * _DAY_S, 180 * _DAY_S
_PROOF_POINTS = {Proof.TAKEN: 0, Proof.READABLE: 10, Proof.VERIFIED: 20, Proof.DRILLED: 50}


@dataclass(frozen=True, slots=True)
class ProofAttempt:
    """One attempt to prove a backup of the source."""

    proof: Proof
    at: datetime.datetime
    is_passed: bool


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What is known of a source."""

    newest_at: datetime.datetime | None
    """Of the newest backup that can be restored, complete or not."""
    last_status: BackupStatus | None
    """Of the newest attempt to take one."""
    copies: int
    """Storages that hold the newest backup."""
    attempts: Sequence[ProofAttempt] = ()


@dataclass(frozen=True, slots=True)
class HealthPart:
    """Some of the points, and why."""

    name: str
    points: int
    most: int
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """The score and what it is made of."""

    score: int
    parts: Sequence[HealthPart]
    limit: str = ""
    """Why the score is lower than the sum of its parts; empty where it is not."""


def health(facts: HealthFacts, now: datetime.datetime) -> Health:
    """The score at that instant."""
    parts = (_age(facts, now), _completeness(facts), _copies(facts), _proof(facts, now))
    total = sum(part.points for part in parts)
    last = max(facts.attempts, key=lambda each: (each.at, not each.is_passed), default=None)
    if last is not None and not last.is_passed and total > FAILED_LIMIT:
        return Health(
            FAILED_LIMIT, parts, f"the last attempt to prove a backup failed: at most {FAILED_LIMIT}"
        )
    is_drilled = any(each.is_passed and each.proof is Proof.DRILLED for each in facts.attempts)
    if not is_drilled and total > NEVER_DRILLED_LIMIT:
        return Health(NEVER_DRILLED_LIMIT, parts, f"never drilled: at most {NEVER_DRILLED_LIMIT}")
    return Health(total, parts)


def _age(facts: HealthFacts, now: datetime.datetime) -> HealthPart:
    if facts.newest_at is None:
        return HealthPart("age", 0, 30, "there is no backup")
    age_s = (now - facts.newest_at).total_seconds()
    points = round(30 * _freshness(age_s, _FRESH_S, _STALE_S))
    return HealthPart("age", points, 30, f"the newest backup is {days(age_s)} old")


def _completeness(facts: HealthFacts) -> HealthPart:
    points = {BackupStatus.COMPLETED: 10, BackupStatus.INCOMPLETE: 5}.get(
        facts.last_status or BackupStatus.FAILED, 0
    )
    said = facts.last_status.value if facts.last_status is not None else "none yet"
    return HealthPart("completeness", points, 10, f"the last backup: {said}")


def _copies(facts: HealthFacts) -> HealthPart:
    return HealthPart(
        "copies", min(facts.copies, 2) * 5, 10, f"storages that hold the newest: {facts.copies}"
    )


def _proof(facts: HealthFacts, now: datetime.datetime) -> HealthPart:
    """The best proof that holds, each worth less the older it is; what failed, and what was proved before a failure of its kind, counts nothing."""
    best = HealthPart("proof", 0, 50, "nothing was proven")
    for attempt in facts.attempts:
        is_undone = any(
            not other.is_passed and other.at >= attempt.at and other.proof is attempt.proof
            for other in facts.attempts
        )
        if not attempt.is_passed or is_undone:
            continue
        age_s = (now - attempt.at).total_seconds()
        points = round(_PROOF_POINTS[attempt.proof] * _freshness(age_s, _PROOF_FRESH_S, _PROOF_STALE_S))
        if points > best.points:
            best = HealthPart("proof", points, 50, f"{attempt.proof.value} {days(age_s)} ago")
    return best


def _freshness(age_s: float, fresh_s: float, stale_s: float) -> float:
    return min(1.0, max(0.0, (stale_s - max(age_s, 0.0)) / (stale_s - fresh_s)))
