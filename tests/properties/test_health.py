"""The health score: what a person may trust of it, whatever the history."""

from __future__ import annotations

import dataclasses
import datetime

import hypothesis
from hypothesis import strategies as st

from engine.model.backup import BackupStatus, Proof
from engine.model.health import FAILED_LIMIT, NEVER_DRILLED_LIMIT, HealthFacts, ProofAttempt, health

NOW = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
AGES = st.integers(0, 400 * 24).map(lambda hours: NOW - datetime.timedelta(hours=hours))
ATTEMPTS = st.builds(ProofAttempt, proof=st.sampled_from(list(Proof)), at=AGES, is_passed=st.booleans())
FACTS = st.builds(
    HealthFacts,
    newest_at=st.none() | AGES,
    last_status=st.none() | st.sampled_from(list(BackupStatus)),
    copies=st.integers(0, 4),
    attempts=st.lists(ATTEMPTS, max_size=6).map(tuple),
)
SOUND = HealthFacts(NOW, BackupStatus.COMPLETED, 2, (ProofAttempt(Proof.DRILLED, NOW, True),))


@hypothesis.given(FACTS)
def test_the_score_is_what_its_parts_show(facts: HealthFacts) -> None:
    """A figure that cannot be followed is not believed."""
    found = health(facts, NOW)
    total = sum(part.points for part in found.parts)
    assert 0 <= found.score <= 100
    assert all(0 <= part.points <= part.most for part in found.parts)
    assert sum(part.most for part in found.parts) == 100
    assert found.score == total if not found.limit else found.score < total


@hypothesis.given(FACTS, ATTEMPTS)
def test_a_failed_proof_never_raises_the_score(facts: HealthFacts, attempt: ProofAttempt) -> None:
    """Whenever it was, and whatever it was to prove."""
    failed = dataclasses.replace(attempt, is_passed=False)
    worse = dataclasses.replace(facts, attempts=(*facts.attempts, failed))
    # Where an older failure was the last word, a failure changes nothing; where it was not, it can only cost.
    assert health(worse, NOW).score <= health(facts, NOW).score


@hypothesis.given(FACTS, st.data())
def test_a_missing_proof_never_raises_the_score(facts: HealthFacts, data: st.DataObject) -> None:
    """Losing evidence must not look like progress."""
    passed = [each for each in facts.attempts if each.is_passed]
    hypothesis.assume(passed)
    gone = data.draw(st.sampled_from(passed))
    left = list(facts.attempts)
    left.remove(gone)
    newest = max(facts.attempts, key=lambda each: each.at)
    hypothesis.assume(newest.is_passed)
    fewer = dataclasses.replace(facts, attempts=tuple(left))
    assert health(fewer, NOW).score <= health(facts, NOW).score


@hypothesis.given(FACTS, st.integers(1, 300))
def test_nothing_gets_better_by_waiting(facts: HealthFacts, days: int) -> None:
    """Backups and proofs age."""
    assert health(facts, NOW + datetime.timedelta(days=days)).score <= health(facts, NOW).score


@hypothesis.given(FACTS)
def test_what_was_never_drilled_has_half_at_the_most(facts: HealthFacts) -> None:
    """A restore that nobody rehearsed is a hope."""
    undrilled = tuple(each for each in facts.attempts if not (each.is_passed and each.proof is Proof.DRILLED))
    assert health(dataclasses.replace(facts, attempts=undrilled), NOW).score <= NEVER_DRILLED_LIMIT


def test_a_source_that_does_everything_right_has_all() -> None:
    """And one whose last drill failed has little, whatever it did before."""
    assert health(SOUND, NOW).score == 100
    failed = ProofAttempt(Proof.DRILLED, NOW, False)
    assert health(dataclasses.replace(SOUND, attempts=(*SOUND.attempts, failed)), NOW).score <= FAILED_LIMIT
