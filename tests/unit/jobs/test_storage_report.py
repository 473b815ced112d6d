"""How a storage grows, and how long its room lasts."""

from __future__ import annotations

import datetime

import pytest

from engine.jobs.storage_report import with_growth
from engine.model.storage_results import StorageUsage

_DAY = datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("added", "span", "free", "per_day", "days"),
    [
        (1000, 10 * _DAY, 5000, 100.0, 50.0),
        (1000, 10 * _DAY, None, 100.0, None),
        (0, 10 * _DAY, 5000, 0.0, None),
        (1000, _DAY, 5000, None, None),
        (1000, None, 5000, None, None),
    ],
    ids=["steady", "room unknown", "nothing new", "too young", "no backup"],
)
def test_growth_is_told_where_it_can_be(
    added: int, span: datetime.timedelta | None, free: int | None, per_day: float | None, days: float | None
) -> None:
    """A figure that is a guess of nothing would be believed."""
    found = with_growth(StorageUsage("s", 1, 1, 1.0, free, 3), added, span)
    assert (found.growth_bytes_per_day, found.days_until_full) == (per_day, days)
