"""Instants: what a plan says, and what its estimate is made of."""

from __future__ import annotations

import datetime

from engine.model import instants
from engine.model.drills import PastDrill
from engine.model.instants import InstantPlan, Target

_THEN = datetime.datetime(2026, 5, 4, 14, 5, 30, tzinfo=datetime.UTC)


def _drill(status: str, level: str, rto_s: float, size_bytes: int | None) -> PastDrill:
    return PastDrill("job", "shop", _THEN, status, level, "base", rto_s, None, size_bytes=size_bytes)


def test_an_estimate_is_the_median_of_drills_of_the_nearest_level_that_passed() -> None:
    """What failed, what was only read, and a backup that is gone tell nothing."""
    drills = [
        _drill("passed", "point-in-time", 10, 100),
        _drill("passed", "point-in-time", 30, 100),
        _drill("passed", "point-in-time", 20, 100),
        _drill("failed", "point-in-time", 900, 100),
        _drill("passed", "point-in-time", 900, None),
        _drill("passed", "server", 900, 100),
    ]
    assert instants.estimate(drills, 200) == (40, 3)
    assert instants.estimate(drills[-1:], 200) == (1800, 1)
    assert instants.estimate([_drill("passed", "bytes", 1, 100)], 200) == (None, 0)


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
