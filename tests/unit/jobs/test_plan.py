"""What a plan's verdict is, and what a step may say."""

from __future__ import annotations

import pytest

from engine.cli.plan import parse_step
from engine.errors import UsageError
from engine.jobs.plan import require_known, verdict
from engine.model.plans import PlanStepResult
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.results import DrillResult


def _step(status: str, drilled: str = "") -> PlanStepResult:
    drill = (
        DrillResult("j", drilled, "s", "b", "server", (), (), 1.0, 1.0, None, "report") if drilled else None
    )
    return PlanStepResult("s", status, "b", 1.0, drill=drill)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["ok", "ok"], "completed"),
        (["ok", "failed", "ok"], "incomplete"),
        (["ok", "failed", "skipped"], "failed"),
        (["failed", "failed"], "failed"),
    ],
)
def test_one_word_stands_for_all_of_a_run(steps: list[str], expected: str) -> None:
    """Whoever waits reads one word."""
    assert verdict([_step(each) for each in steps], is_drill=False, is_within_budget=True) == expected


@pytest.mark.parametrize(
    ("steps", "is_within", "expected"),
    [
        ([("ok", "passed"), ("ok", "passed")], True, "passed"),
        ([("ok", "passed")], False, "failed"),
        ([("failed", "failed"), ("skipped", "")], True, "failed"),
        ([("failed", "inconclusive"), ("skipped", "")], True, "inconclusive"),
        ([("failed", "")], True, "failed"),
    ],
)
def test_a_rehearsal_passes_only_where_every_step_did_and_in_time(
    steps: list[tuple[str, str]], is_within: bool, expected: str
) -> None:
    """What was not looked at is never called passed."""
    found = [_step(status, drilled) for status, drilled in steps]
    assert verdict(found, is_drill=True, is_within_budget=is_within) == expected


def test_a_step_is_a_source_and_the_options_of_its_restore() -> None:
    """A person knows them from `holdfast restore`."""
    step = parse_step("shop --into copy --table public.orders --go-on --check 'SELECT 1=1'")
    assert step.restore == RestoreRequest("", into="copy", tables=("public.orders",))
    assert (step.source, step.goes_on, step.checks) == ("shop", True, (("", "SELECT 1", "1"),))
    assert step.drill("b") == DrillRequest("shop", "b", checks=(("", "SELECT 1", "1"),))


def test_a_step_says_how_it_is_drilled() -> None:
    """The machine that is to take over is rehearsed, and not the one that burns."""
    step = parse_step(
        "shop --in-place --storage far --level parse --scenario catalog-gone --drill-host spare"
    )
    assert step.drill("b") == DrillRequest(
        "shop", "b", level="parse", host="spare", storage="far", scenario="catalog-gone"
    )
    require_known(step)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("--level high", "no level high"),
        ("--scenario flood", "no scenario flood"),
        ("--scenario blind", "has no blind drill"),
        ("--scenario kit-only --level database", "no live server"),
    ],
)
def test_a_drill_that_no_backup_allows_is_refused_when_it_is_written_down(how: str, said: str) -> None:
    """Not in the rehearsal that people came for."""
    with pytest.raises(UsageError, match=said):
        require_known(parse_step(f"shop --in-place {how}"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--in-place", "names no source"),
        ("shop", "--to"),
        ("shop --in-place --yes", "--yes is no option"),
        ("shop --to '/a", "cannot be read"),
        ("shop --to /a --database d", "goes with"),
    ],
)
def test_a_step_that_cannot_be_run_is_refused_when_it_is_written_down(given: str, said: str) -> None:
    """Not in the night when it is needed."""
    with pytest.raises(UsageError, match=said):
        parse_step(given)
