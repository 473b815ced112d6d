"""Doubts: what makes a forget stop and ask."""

from __future__ import annotations

import datetime

import pytest

from engine import doubts
from engine.model.results import Fate

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def fates(going: int, *, kept_by: str = "rule", newest: datetime.datetime = NOW - DAY) -> list[Fate]:
    """Of one source: one that stays, and so many older ones that go."""
    kept = Fate("0", "0", "shop", "near", newest, True, ("a reason",), kept_by)
    gone = [
        Fate(str(place), str(place), "shop", "near", newest - place * DAY, False, ("no rule keeps it",))
        for place in range(1, going + 1)
    ]
    return [kept, *gone]


@pytest.mark.parametrize(
    ("given", "earlier", "expected"),
    [
        (fates(30), (), []),
        (fates(4, kept_by="minimum"), (), []),
        (fates(5, kept_by="minimum"), (), ["emptying"]),
        (fates(5, kept_by="person"), (), ["emptying"]),
        (fates(30), (1, 1), []),
        (fates(30), (1, 1, 1), ["unusual"]),
        (fates(9), (1, 1, 1), []),
        (fates(30), (10, 1, 10), []),
        (fates(0, newest=NOW + 2 * DAY), (), ["future"]),
        (fates(0, newest=NOW + DAY), (), []),
        (fates(1, newest=NOW - 61 * DAY), (), ["clock"]),
        (fates(0, newest=NOW - 61 * DAY), (), []),
    ],
    ids=["a first clean-up", "a handful", "no rule keeps any", "none but a protected one", "too few runs to know", "far more than usual",
         "a few more than usual", "many are usual", "from the future", "a little ahead", "nothing came for months",
         "nothing came, nothing goes"],
)  # fmt: skip
def test_what_is_suspicious_is_named(
    given: list[Fate], earlier: tuple[int, ...], expected: list[str]
) -> None:
    """A wrong clock or a mistyped policy deletes nothing by itself, and a right one asks nobody."""
    newest = max(each.created_at for each in given)
    found = doubts.doubts("near", given, NOW, newest, {"shop": earlier})
    assert [each.name for each in found] == expected
    assert all("near" in each.message for each in found)


def test_another_source_that_goes_on_vouches_for_the_clock() -> None:
    """One host that was switched off in summer is no reason to ask."""
    given = fates(3, newest=NOW - 100 * DAY)
    assert doubts.doubts("near", given, NOW, NOW - DAY, {}) == []


def test_the_last_runs_are_remembered() -> None:
    """What is usual is what was so lately."""
    earlier = {"shop": [1] * doubts.KEPT_RUNS, "other": [2]}
    assert doubts.remembered(earlier, fates(7)) == {"shop": [*[1] * (doubts.KEPT_RUNS - 1), 7], "other": [2]}
