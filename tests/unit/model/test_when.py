"""WHEN: what a person writes for an instant."""

from __future__ import annotations

import contextlib
import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model import when

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)


def berlin(instant: datetime.datetime) -> datetime.timezone:
    """What a machine in Berlin says."""
    return datetime.timezone(instant.astimezone(BERLIN).utcoffset() or datetime.timedelta())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20 14:05", "2026-11-20T14:05:00+01:00"),
        ("2026-07-20 14:05", "2026-07-20T14:05:00+02:00"),
        ("2026-11-20", "2026-11-20T00:00:00+01:00"),
        ("2026-11-20T14:05:30.25", "2026-11-20T14:05:30.250000+01:00"),
        ("2026-11-20 14:05 UTC", "2026-11-20T14:05:00+00:00"),
        ("2026-11-20T14:05Z", "2026-11-20T14:05:00+00:00"),
        ("2026-11-20 14:05 +0530", "2026-11-20T14:05:00+05:30"),
        ("2026-11-20 14:05-08:00", "2026-11-20T14:05:00-08:00"),
        ("2026-11-20 14:05 America/New_York", "2026-11-20T14:05:00-05:00"),
        ("2h ago", "2026-11-21T06:00:00+00:00"),
        ("1d 12h ago", "2026-11-19T20:00:00+00:00"),
        ("3 days ago", "2026-11-18T08:00:00+00:00"),
        ("in 30d", "2026-12-21T08:00:00+00:00"),
        ("now", "2026-11-21T08:00:00+00:00"),
        ("today", "2026-11-21T00:00:00+01:00"),
        ("yesterday", "2026-11-20T00:00:00+01:00"),
        ("08:59", "2026-11-21T08:59:00+01:00"),
        ("9:00:00.5", "2026-11-20T09:00:00.500000+01:00"),
        ("today 14:05", "2026-11-21T14:05:00+01:00"),
        ("yesterday 14:05:30", "2026-11-20T14:05:30+01:00"),
        ("2026-10-25 02:30", "2026-10-25T02:30:00+02:00"),
    ],
)
def test_an_instant_is_understood_as_it_is_meant(text: str, expected: str) -> None:
    """A restore as of the wrong hour is the wrong restore."""
    assert when.parse(text, NOW, berlin) == datetime.datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ago",
        "2 ago",
        "soon",
        "25:00",
        "today 9",
        "yesterday14:05",
        "2026-13-01",
        "2026-11-20 25:00",
        "20.11.2026",
        "2026-11-20 14:05 Nowhere/Land",
        "2026-11-20 14:05 ../../etc/passwd",
        "2026-11-20 14:05+25:00",
        "5 fortnights ago",
        "2h 3 ago",
        "999999999y ago",
        "2026-03-29 02:30",
        "2026-03-29 02:30 Europe/Berlin",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """A guess would be taken for what was meant."""
    with pytest.raises(UsageError):
        when.parse(text, NOW, berlin)


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_what_python_writes_is_read_back(instant: datetime.datetime) -> None:
    """Scripts hand back the times that --json gave them."""
    assert when.parse(instant.isoformat(), NOW, berlin) == instant


@given(st.text(max_size=30))
def test_no_text_ends_in_anything_but_an_instant_or_a_refusal(text: str) -> None:
    """A traceback helps nobody who mistyped."""
    with contextlib.suppress(UsageError):
        assert when.parse(text, NOW, berlin).tzinfo is not None


@pytest.mark.parametrize(
    ("text", "hours"), [("2d", 48), ("in 2d", 48), ("90 min", 1.5), ("1d 12h", 36), ("2H", 2), ("now", 0)]
)
def test_a_span_alone_counts_from_now_where_what_is_meant_lies_ahead(text: str, hours: float) -> None:
    """Nobody says in how long a link shall end with the word in."""
    now = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    assert when.parse_ahead(text, now, lambda _at: datetime.UTC) == now + datetime.timedelta(hours=hours)


def test_what_is_no_instant_ahead_is_refused_with_an_example_of_one() -> None:
    """An hour ago would be no help."""
    now = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    with pytest.raises(UsageError, match="'soon' is no instant to come") as refused:
        when.parse_ahead("soon", now, lambda _at: datetime.UTC)
    assert refused.value.hint == "say 2d, or 2026-11-20 14:05"


def test_a_time_alone_is_the_next_one_where_what_is_meant_lies_ahead() -> None:
    """A pause until 14:05 ends today, and one until 08:00 tomorrow."""
    assert when.parse_ahead("14:05", NOW, berlin) == datetime.datetime.fromisoformat(
        "2026-11-21T14:05:00+01:00"
    )
    assert when.parse_ahead("08:00", NOW, berlin) == datetime.datetime.fromisoformat(
        "2026-11-22T08:00:00+01:00"
    )
