"""Instants: what a plan says."""

from __future__ import annotations

import datetime

import pytest

from engine.model import instants
from engine.model.instants import InstantPlan, Target

_FRACTION = datetime.timedelta(microseconds=300_000)
_THEN = datetime.datetime(2026, 5, 4, 14, 5, 30, tzinfo=datetime.UTC)


def test_a_plan_says_where_all_of_it_comes_from_and_what_it_takes() -> None:
    """Base, storage, segments, sizes, room and time; where no drill measured that, how one does."""
    plan = InstantPlan(
        "shop",
        Target(transaction="731", is_before=True),
        "b4se",
        _THEN,
        3 << 20,
        "vault",
        2,
        32 << 20,
        _THEN,
        "db01",
        found_at=_THEN,
    )
    said = "\n".join(instants.lines(plan))
    for word in (
        "just before transaction 731",
        "b4se",
        "vault",
        "2 segments",
        "32.0 MiB",
        "35.0 MiB",
        "db01",
    ):
        assert word in said
    assert "holdfast drill shop --level point-in-time" in said


@pytest.mark.parametrize(
    ("target", "second", "is_before", "said"),
    [
        (Target(_THEN), 30, False, "all that was committed within"),
        (Target(_THEN, is_before=True), 30, True, "nothing of that second"),
        (Target(_THEN + _FRACTION), 30, True, "nothing of that second"),
        (Target(_THEN + _FRACTION, is_before=True), 30, True, "nothing of that second"),
    ],
)
def test_where_a_log_knows_whole_seconds_no_more_is_taken_than_was_asked_for(
    target: Target, second: int, is_before: bool, said: str
) -> None:
    """What of a second came before a part of it nobody can tell; which seconds are taken is said."""
    taken, words = instants.by_seconds(target)
    assert taken.at is not None
    assert (taken.at.second, taken.at.microsecond, taken.is_before) == (second, 0, is_before)
    assert said in words
    assert instants.by_seconds(Target(transaction="0-1-2")) == (Target(transaction="0-1-2"), "")
