"""What is called a risk, and what is only advice."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import pytest

from engine.model.backup import Backup, BackupStatus, Copy, Proof
from engine.model.health import HealthFacts, ProofAttempt, health
from engine.model.status import Concern, Expectation, SourceFacts, Uncovered, concerns, of_host, usual_gap_s

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
DRILLED = ProofAttempt(Proof.DRILLED, NOW - HOUR, is_passed=True)


def _backup(age: datetime.timedelta, status: BackupStatus = BackupStatus.COMPLETED) -> Backup:
    at = NOW - age
    copies = (Copy("near", "ab" * 32),) if status is not BackupStatus.FAILED else ()
    return Backup("5aa", "shop", "db1", "full", status, at, at, 1, 1, 1, 0, 0, copies, proof=Proof.DRILLED)


def _daily(count: int, newest_age: datetime.timedelta = HOUR) -> list[Backup]:
    return [_backup(newest_age + day * 24 * HOUR) for day in range(count)]


def _concerns(backups: Sequence[Backup], *attempts: ProofAttempt) -> list[Concern]:
    return concerns(SourceFacts("shop", backups, attempts, health(HealthFacts(None, None, 0), NOW)), NOW)


def _risks(backups: Sequence[Backup], *attempts: ProofAttempt) -> list[str]:
    return [each.reason for each in _concerns(backups, *attempts) if each.is_risk]


def test_nothing_new_is_expected_of_a_retired_host_and_what_is_kept_still_counts() -> None:
    """A server that was switched off is no alarm; a backup of it that rots is one."""
    found = health(HealthFacts(None, None, 0), NOW)
    old = _daily(10, 400 * 24 * HOUR)
    failed = [_backup(HOUR, BackupStatus.FAILED), *old]
    rotten = ProofAttempt(Proof.VERIFIED, NOW - HOUR, is_passed=False)
    lacking = [dataclasses.replace(old[0], copies=(Copy("near", ""),)), *old]

    def reasons(backups: Sequence[Backup], *attempts: ProofAttempt) -> list[str]:
        facts = SourceFacts("shop", backups, attempts, found, retired="sold")
        return [each.reason for each in concerns(facts, NOW)]

    assert reasons([]) == reasons(old) == reasons(failed) == []
    assert reasons(old, rotten) == ["the last attempt to prove it verified failed"]
    assert reasons(lacking, DRILLED) == ["storage near has no copy of the newest backup"]


def test_a_source_that_is_looked_after_gives_no_concern() -> None:
    """A screen that is never empty is not read."""
    assert _concerns(_daily(10), DRILLED) == []


@pytest.mark.parametrize(
    ("backups", "reason"),
    [
        ([], "it was never backed up"),
        ([_backup(HOUR, BackupStatus.FAILED)], "every backup failed"),
        ([_backup(HOUR, BackupStatus.FAILED), *_daily(5)], "the last backup failed"),
        ([_backup(HOUR, BackupStatus.INCOMPLETE), *_daily(5)], "the last backup is incomplete"),
        (
            _daily(10, 100 * HOUR),
            "the newest backup is 4.2 days old, where one usually came every 24 hours",
        ),
        (_daily(2, 31 * 24 * HOUR), "the newest backup is 31.0 days old"),
    ],
)
def test_what_cannot_be_relied_on_is_a_risk(backups: list[Backup], reason: str) -> None:
    """Each for itself, and named."""
    assert _risks(backups, DRILLED) == [reason]


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "begins"), (24, "begins"), (-24, "began"), (25, ""), (-25, "")]
)
def test_a_source_that_its_schedule_backs_up_within_a_day_is_no_risk_yet(hours: int, said: str) -> None:
    """Nobody is called about what was just written down; a first backup in a month is too late, though."""
    found = health(HealthFacts(None, None, 0), NOW)
    facts = SourceFacts("shop", [], [], found, expectation=Expectation(begins_at=NOW + hours * HOUR))
    (concern,) = concerns(facts, NOW)
    assert (concern.is_risk, f"; its schedule {said} at" in concern.reason) == (not said, bool(said))


def test_a_warning_says_why_a_backup_is_incomplete() -> None:
    """Whoever reads it at night must not have to look further."""
    warned = dataclasses.replace(_backup(HOUR, BackupStatus.INCOMPLETE), warnings=("a table vanished",))
    assert _risks([warned, *_daily(5)], DRILLED) == ["the last backup is incomplete: a table vanished"]


def test_a_burst_of_backups_by_hand_is_no_rhythm_to_be_late_by() -> None:
    """Ten within the hour, then none for a day."""
    burst = [_backup(24 * HOUR + minute * HOUR / 60) for minute in range(10)]
    assert _risks(burst, DRILLED) == []
    assert usual_gap_s(burst) == 60


def test_a_storage_that_lacks_the_newest_is_a_risk_with_the_copy_that_mends_it() -> None:
    """Two storages were wanted for a reason."""
    lacking = Copy("far", "", BackupStatus.FAILED, "connection refused")
    taken = _backup(HOUR, BackupStatus.INCOMPLETE)
    backup = dataclasses.replace(taken, copies=(Copy("near", "ab" * 32), lacking))
    (concern,) = _concerns([backup, *_daily(5)], DRILLED)
    assert concern.reason == "storage far has no copy of the newest backup: connection refused"
    assert concern.remedy == "holdfast copy --missing --to far"


def test_the_last_word_on_proof_counts() -> None:
    """A drill that failed after one that passed."""
    failed = dataclasses.replace(DRILLED, at=NOW, is_passed=False)
    assert _risks(_daily(5), DRILLED, failed) == ["the last attempt to prove it drilled failed"]
    assert _risks(_daily(5), failed, dataclasses.replace(DRILLED, at=NOW + HOUR)) == []


@pytest.mark.parametrize(
    ("attempts", "advice"),
    [
        ([], "no backup of it was ever proved"),
        ([ProofAttempt(Proof.VERIFIED, NOW, is_passed=True)], "its restore was never rehearsed"),
    ],
)
def test_what_was_never_proved_is_advice(attempts: list[ProofAttempt], advice: str) -> None:
    """Not a risk by itself: exit code 4 from the first day on would be switched off."""
    taken = [dataclasses.replace(each, proof=Proof.TAKEN) for each in _daily(5)]
    (concern,) = _concerns(taken, *attempts)
    assert (concern.is_risk, concern.reason, concern.remedy) == (False, advice, "holdfast drill shop")


def test_what_no_source_takes_is_counted_with_its_date() -> None:
    """It may be long ago that anybody looked."""
    (concern,) = of_host(Uncovered("db1", NOW, ("postgres database a", "/srv", "/etc")))
    assert concern.reason == "no source takes postgres database a and 2 more (seen 2026-11-20)"
    assert of_host(Uncovered("db1", NOW, ())) == []
