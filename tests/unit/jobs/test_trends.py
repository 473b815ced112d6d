"""What a row of figures amounts to in words."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.trends import weekly_change, words

DAY = datetime.timedelta(days=1)
BEGIN = datetime.date(2026, 9, 7)


def _points(values: list[float]) -> list[tuple[datetime.date, float]]:
    return [(BEGIN + number * DAY, value) for number, value in enumerate(values)]


@given(st.floats(1, 1e12), st.floats(-0.01, 0.01), st.integers(3, 60))
def test_a_straight_line_has_its_own_slope(middle: float, share: float, count: int) -> None:
    """As a share of its median, a week."""
    values = [middle * (1 + share * (number - (count - 1) / 2)) for number in range(count)]
    assert weekly_change(_points(values)) == pytest.approx(7 * share, abs=1e-9)


def test_one_odd_day_turns_nothing() -> None:
    """A host that was slow once is not a host that gets slower."""
    assert weekly_change(_points([10.0] * 10 + [900.0] + [10.0] * 10)) == 0


def test_too_few_figures_have_no_slope() -> None:
    """Two backups are no trend."""
    assert weekly_change(_points([1.0, 5.0])) is None
    assert weekly_change(_points([0.0] * 9)) is None
    assert words("duration_s", 30, 42, None) == "42 s, too few to tell"


def test_a_slope_is_said_in_words() -> None:
    """What a person wants to know is whether to do something."""
    assert words("size_bytes", 2**30, 2**31, 0.123) == "rises by 12 % a week, from 1.0 GiB to 2.0 GiB"
    assert words("throughput_bytes_s", 5e6, 3e6, -0.05) == "falls by 5 % a week, from 4.8 MiB/s to 2.9 MiB/s"
    assert words("recovery_s", 60, 61, 0.01) == "steady, about 1 min 01 s"
