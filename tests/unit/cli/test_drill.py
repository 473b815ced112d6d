"""Checks as people type them."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.model.plan_steps import parse_check
from engine.model.results import DrillResult, DrillStep, PreviousDrill
from engine.model.told import compared
from tests.fakes.clock import START


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("SELECT 1=1", ("", "SELECT 1", "1")),
        ("SELECT count(*) FROM t WHERE a = 1=42", ("", "SELECT count(*) FROM t WHERE a = 1", "42")),
        ("shop: SELECT name FROM t=a b", ("shop", "SELECT name FROM t", "a b")),
        ("SELECT ': '=: ", ("", "SELECT ': '", ": ")),
        ("SELECT NULL=", ("", "SELECT NULL", "")),
    ],
    ids=["plain", "splits at the last", "one database", "a colon in the statement", "expects nothing"],
)
def test_a_check_is_split_where_the_contract_says(given: str, expected: tuple[str, str, str]) -> None:
    """A statement may hold the sign too."""
    assert parse_check(given) == expected


@pytest.mark.parametrize("given", ["SELECT 1", "=1", ""])
def test_what_is_no_check_is_refused(given: str) -> None:
    """A check that asserts nothing would always pass."""
    with pytest.raises(UsageError):
        parse_check(given)


def _last(rto_s: float, rpo_s: float, *steps: DrillStep) -> PreviousDrill:
    return PreviousDrill("1a", START, "failed", "bytes", "2a", rto_s, rpo_s, steps)


@pytest.mark.parametrize(
    ("rto_s", "rpo_s", "said"),
    [
        (2.0, 60.0, "failed in 1.0 s (now 1.0 s slower); it was 1 min 00 s old; level bytes"),
        (
            0.5,
            30.0,
            "failed in 1.0 s (now 0.5 s faster); it was 1 min 00 s old (now 30 s newer); level bytes",
        ),
        (1.04, 3660.0, "failed in 1.0 s; it was 1 min 00 s old (now 1 h 00 min older); level bytes"),
    ],
    ids=["slower", "faster", "older"],
)
def test_the_last_drill_stands_beside_this_one(rto_s: float, rpo_s: float, said: str) -> None:
    """Nobody remembers how long it took a quarter ago."""
    result = DrillResult("1b", "passed", "db", "2b", "server", (), (), rto_s, rpo_s, None, "")
    assert compared(result, _last(1.0, 60.0)) == said


def test_each_step_finds_its_own_of_the_last_time() -> None:
    """Two queries of one name are two; a step that is new has none."""
    one, two, three = (
        DrillStep(name, "ok", at) for name, at in (("query", 1.0), ("open", 2.0), ("query", 3.0))
    )
    found = _last(1.0, 60.0, one, two, three).before([two, one, one, one, DrillStep("new", "ok", 0.0)])
    assert found == [two, one, three, None, None]
