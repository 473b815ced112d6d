"""Maintenance windows that come again: when they hold, through both changes of the clocks, and which are refused."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model.alerts import MaintenanceWindow, Silence
from engine.schedule import maintenance

HOUR = datetime.timedelta(hours=1)


def _at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


NOW = _at("2026-11-20 12:00")


def _window(every: str, hours: float = 4, **more: object) -> MaintenanceWindow:
    fields = {"timezone": "Europe/Berlin", **more}
    return MaintenanceWindow("patching", "host web*", every, hours * 3600, "new kernels", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("every", "instant", "held"),
    [
        ("sunday at 02:00", "2026-11-22 00:59", None),
        ("sunday 02:00", "2026-11-22 01:00", ("22 01:00", "22 05:00")),
        ("0 2 * * 0", "2026-11-22 04:59", ("22 01:00", "22 05:00")),
        ("sunday at 02:00", "2026-11-22 05:00", None),
        ("sunday at 02:00", "2026-11-23 03:00", None),
        ("daily at 22:00", "2026-11-21 00:30", ("20 21:00", "21 01:00")),
        ("sunday at 02:00", "2026-10-25 03:30", ("25 00:00", "25 04:00")),
        ("sunday at 01:00", "2026-03-29 03:30", ("29 00:00", "29 04:00")),
        ("sunday at 02:30", "2026-03-29 00:59", None),
        ("sunday at 02:30", "2026-03-29 04:59", ("29 01:00", "29 05:00")),
    ],
    ids=["before", "begins", "as cron", "over", "another day", "over midnight", "clocks back", "forward", "before the gap", "in the gap"],
)  # fmt: skip
def test_a_window_holds_for_its_span_by_the_clock_of_its_zone(
    every: str, instant: str, held: tuple[str, str] | None
) -> None:
    """Four hours are four hours, whatever the clocks do meanwhile."""
    found = maintenance.occurrence(_window(every), _at(instant))
    assert held == (found and (f"{found.begins_at:%d %H:%M}", f"{found.ends_at:%d %H:%M}"))


def test_a_window_holds_only_between_its_own_begin_and_end() -> None:
    """One that is announced for the next year silences nobody in this one."""
    begins, ends = _at("2026-11-20 22:00"), _at("2026-11-22 22:30")
    window = _window("daily at 22:00", begins_at=begins, ends_at=ends)
    assert maintenance.occurrence(window, begins - HOUR / 2) is None
    silence = maintenance.occurrence(window, begins)
    assert silence == Silence("patching", "host web*", "", begins, begins + 3 * HOUR, "new kernels")
    last = maintenance.occurrence(window, ends - HOUR)
    assert last is not None
    assert last.ends_at == ends
    assert maintenance.upcoming(window, begins - 2 * HOUR) == _at("2026-11-21 21:00")
    assert maintenance.upcoming(window, begins) == begins
    assert maintenance.upcoming(window, ends) is None
    assert maintenance.holding([silence], [window], begins) == [silence, silence]


@settings(max_examples=30)
@given(
    st.sampled_from(["daily at 02:30", "sunday 03:00", "hourly", "every 7 hours"]),
    st.integers(0, 366 * 24 * 60),
    st.floats(0.01, 0.9),
)
def test_a_window_holds_where_it_began_less_than_its_span_ago(every: str, minute: int, hours: float) -> None:
    """At any minute of a year with both changes of the clocks."""
    window, instant = _window(every, hours), _at("2026-01-01 00:00") + minute * HOUR / 60
    found = maintenance.occurrence(window, instant)
    begins = maintenance.upcoming(window, instant)
    assert begins is not None
    assert (found is not None) == (begins <= instant)
    assert found is None or found.begins_at <= instant < found.ends_at == begins + hours * HOUR


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (_window("daily at 02:00", 24), "would begin again before it is over"),
        (_window("monday and tuesday at 02:00", 24), "would begin again before it is over"),
        (_window("sunday at 02:00", 0), "needs a length"),
        (_window("sonday at 02:00"), "is no rhythm"),
        (_window("30 2 30 2 *"), "never comes"),
        (_window("daily", timezone="Europe/Berlim"), "no time zone"),
        (_window("daily", begins_at=NOW, ends_at=NOW), "ends before it begins"),
    ],
    ids=["no gap", "no gap on one day", "no length", "no rhythm", "no such day", "no zone", "no end"],
)
def test_a_window_that_never_comes_or_never_ends_is_refused(window: MaintenanceWindow, said: str) -> None:
    """Silence for ever is found out by nobody."""
    with pytest.raises(UsageError, match=said):
        maintenance.check(window, NOW)
