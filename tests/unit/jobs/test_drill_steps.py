"""The verdict of a drill: what was found wrong fails it, what could not be looked at is never called passed."""

from __future__ import annotations

import pytest

from engine import errors
from engine.errors import HoldfastError
from engine.events import ignore
from engine.jobs.drill_steps import SAYS_NOTHING, DrillRecord, StepFailedError
from engine.model.manifest import CheckResult
from tests.fakes.clock import FakeClock

RIGHT, WRONG = CheckResult("rows", "1", "1", True), CheckResult("rows", "1", "2", False)


def _record(*checks: CheckResult) -> DrillRecord:
    return DrillRecord(FakeClock(), ignore, checks=list(checks))


def _failing(record: DrillRecord, error: HoldfastError, *, is_proof: bool = True) -> DrillRecord:
    with pytest.raises(StepFailedError), record.step("restore", is_proof=is_proof):
        raise error
    return record


@pytest.mark.parametrize("error", SAYS_NOTHING)
def test_what_kept_the_drill_from_looking_says_nothing_of_the_backup(error: type[HoldfastError]) -> None:
    """A network that failed at night must not make a good backup a bad one, nor the other way round."""
    assert _failing(_record(RIGHT), error()).verdict() == "inconclusive"
    assert _failing(_record(WRONG), error()).verdict() == "failed"


@pytest.mark.parametrize("error", [errors.SourceError, errors.IncompleteDumpError, errors.DamagedError, errors.RestoreError])  # fmt: skip
def test_what_the_backup_itself_raised_fails_the_drill(error: type[HoldfastError]) -> None:
    """But not where the step proves nothing."""
    assert _failing(_record(RIGHT), error()).verdict() == "failed"
    assert _failing(_record(RIGHT), error(), is_proof=False).verdict() == "inconclusive"


def test_a_drill_that_looked_at_nothing_proves_nothing() -> None:
    """Every step ended well, and no check was made."""
    record = _record()
    with record.step("open"):
        pass
    assert (record.verdict(), _record(RIGHT).verdict(), _record(RIGHT, WRONG).verdict()) == (
        "inconclusive",
        "passed",
        "failed",
    )


def test_the_recovery_time_ends_with_the_last_proof() -> None:
    """Tidying up is nobody's wait."""
    clock = FakeClock()
    record = DrillRecord(clock, ignore)
    with record.step("restore"):
        clock.advance(3)
    proved_at = record.proved_at
    with record.step("tear down", is_proof=False):
        clock.advance(5)
    assert (record.proved_at, proved_at) == (proved_at, clock.monotonic() - 5)
