"""Rhythms: what is understood, what is refused, and what both changes of the clocks make of it."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.schedule import rhythm
from engine.schedule.zones import wall_of, zone_of

BERLIN = zone_of("Europe/Berlin")
_MINUTE = datetime.timedelta(minutes=1)


def _at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def _walk(written: str, begin: str, end: str, zone: str = "Europe/Berlin") -> list[str]:
    """What it means between two instants of UTC, as the zone's clock shows it."""
    found = rhythm.parse(written).walk(_at(begin), zone_of(zone))
    until = _at(end)
    return [
        f"{each.astimezone(zone_of(zone)):%d %H:%M %z}"
        for each in itertools.takewhile(lambda each: each <= until, found)
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("daily at 02:30", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        ("daily at 01:59", ["28 01:59 +0100", "29 01:59 +0100", "30 01:59 +0200"]),
        ("0,15,30,45 2 * * *", ["28 02:00 +0100", "28 02:15 +0100", "28 02:30 +0100", "28 02:45 +0100", "29 03:00 +0200",
                                "30 02:00 +0200", "30 02:15 +0200", "30 02:30 +0200", "30 02:45 +0200"]),
        ("0 2,3 * * *", ["28 02:00 +0100", "28 03:00 +0100", "29 03:00 +0200", "30 02:00 +0200", "30 03:00 +0200"]),
    ],
    ids=["in the gap", "before it", "four in the gap are one", "one in the gap and one at its end are one"],
)  # fmt: skip
def test_a_fixed_hour_that_the_clocks_pass_over_runs_once_at_the_end_of_the_gap(
    written: str, expected: list[str]
) -> None:
    """A night without a backup is found out on the day that it is needed."""
    assert _walk(written, "2026-03-27 23:00", "2026-03-30 03:00") == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("daily at 02:30", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0 2,3 * * *", ["25 02:00 +0200", "25 03:00 +0100", "26 02:00 +0100", "26 03:00 +0100"]),
        (
            "every 6 hours",
            ["25 00:00 +0200", "25 06:00 +0100", "25 12:00 +0100", "25 18:00 +0100", "26 00:00 +0100"],
        ),
    ],
    ids=["in the fold", "and after it", "hours of the wall"],
)
def test_a_fixed_hour_that_comes_twice_runs_once(written: str, expected: list[str]) -> None:
    """croniter alone would run it twice."""
    assert _walk(written, "2026-10-24 21:59", "2026-10-26 03:00")[: len(expected)] == expected


def test_what_is_hourly_or_shorter_follows_real_time_through_both() -> None:
    """An hour without a shipment of logs is an hour that cannot be brought back."""
    spring = _walk("hourly", "2026-03-28 23:30", "2026-03-29 03:00")
    autumn = _walk("every 30 minutes", "2026-10-24 23:30", "2026-10-25 02:00")
    assert spring == ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200", "29 05:00 +0200"]
    assert autumn == [
        "25 02:00 +0200",
        "25 02:30 +0200",
        "25 02:00 +0100",
        "25 02:30 +0100",
        "25 03:00 +0100",
    ]


@pytest.mark.parametrize(
    ("written", "zone", "begin", "expected"),
    [
        ("daily at 02:15", "Australia/Lord_Howe", "2026-10-03 00:00", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("daily at 01:45", "Australia/Lord_Howe", "2026-04-04 00:00", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("hourly at :15", "Asia/Kathmandu", "2026-01-01 00:00", ["01 06:15 +0545", "01 07:15 +0545"]),
        ("daily at 12:00", "Pacific/Apia", "2011-12-29 23:00", ["31 00:00 +1400", "31 12:00 +1400"]),
        ("0 0 29 2 *", "UTC", "2096-03-01 00:00", ["29 00:00 +0000", "29 00:00 +0000"]),
        ("sunday 03:00", "UTC", "2026-11-28 00:00", ["29 03:00 +0000", "06 03:00 +0000"]),
        ("weekly on sunday at 03:00", "UTC", "2026-11-28 00:00", ["29 03:00 +0000", "06 03:00 +0000"]),
        ("mon, thu and sat at 3:30", "UTC", "2026-11-28 00:00", ["28 03:30 +0000", "30 03:30 +0000"]),
        ("monthly on the last day at noon", "UTC", "2026-02-01 00:00", ["28 12:00 +0000", "31 12:00 +0000"]),
        ("every 7 hours", "UTC", "2026-03-29 00:30", ["29 05:00 +0000", "29 12:00 +0000"]),
        ("every 2 days at 01:00", "UTC", "2026-03-29 00:30", ["29 01:00 +0000", "31 01:00 +0000"]),
        ("quarterly", "UTC", "2026-03-29 00:30", ["01 00:00 +0000", "01 00:00 +0000"]),
        ("@weekly", "UTC", "2026-11-28 00:00", ["29 00:00 +0000", "06 00:00 +0000"]),
        ("every day at midnight", "UTC", "2026-11-28 00:00", ["29 00:00 +0000", "30 00:00 +0000"]),
        ("weekends", "UTC", "2026-11-28 00:00", ["29 00:00 +0000", "05 00:00 +0000"]),
        ("weekdays at 22:00", "UTC", "2026-11-28 00:00", ["30 22:00 +0000", "01 22:00 +0000"]),
        ("yearly", "UTC", "2026-11-28 00:00", ["01 00:00 +0000", "01 00:00 +0000"]),
        ("every 24 hours", "UTC", "2026-11-28 00:00", ["29 00:00 +0000", "30 00:00 +0000"]),
        ("every 60 minutes", "UTC", "2026-11-28 00:00", ["28 01:00 +0000", "28 02:00 +0000"]),
        ("every 25 minutes", "UTC", "2026-11-28 00:00", ["28 00:25 +0000", "28 00:50 +0000"]),
    ],
)  # fmt: skip
def test_words_and_zones_mean_what_they_say(written: str, zone: str, begin: str, expected: list[str]) -> None:
    """A person writes the words once, and they run for years."""
    before = _at(begin) - datetime.timedelta(seconds=1)
    walked = itertools.islice(rhythm.parse(written).walk(before, zone_of(zone)), 30)
    found = [f"{each.astimezone(zone_of(zone)):%d %H:%M %z}" for each in walked if each > _at(begin)]
    assert found[:2] == expected


@pytest.mark.parametrize(
    ("written", "said", "hint"),
    [
        ("0 2 31 2 *", "never comes", "L"),
        ("0 0 30 feb *", "never comes", "L"),
        ("61 * * * *", "'61' in '61 * * * *' is no minute", "0-59"),
        ("0 24 * * *", "is no hour", "0-23"),
        ("0 2 * foo *", "is no month", "1-12"),
        ("R * * * *", "is no minute", "0-59"),
        ("0 2 * * * *", "has 6 fields", "minute, hour"),
        ("dayly at 02:00", "is no rhythm", "daily at 02:00"),
        ("evry 15 minutes", "is no rhythm", "every 15 minutes"),
        ("every 90 seconds", "counts seconds", "every minute"),
        ("", "is missing", "hourly"),
        ("daily at 24:00", "no time of the day", "23:59"),
        ("hourly at :75", "no minute 75", ":15"),
        ("monthly on the 31st", "not every month", "last day"),
        ("every 0 minutes", "no length", "15 minutes"),
        ("every 400 days", "more than a year", "yearly"),
        ("every 99999 hours", "more than a year", "yearly"),
        ("every 3 hours at 02:00", "one time of the day", "daily at"),
    ],
)
def test_a_rhythm_that_nobody_can_run_by_is_refused_and_says_the_way_out(
    written: str, said: str, hint: str
) -> None:
    """An impossible day shows when it is written, not on the day that does not come."""
    with pytest.raises(UsageError) as caught:
        rhythm.parse(written)
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("xx", "UTC"),
        ("../etc/x\0", ""),
    ],
)
def test_an_unknown_zone_comes_with_the_nearest_known_one(name: str, hint: str) -> None:
    """People write cities."""
    with pytest.raises(UsageError, match="no time zone") as caught:
        zone_of(name)
    assert hint in (caught.value.hint or "")


_FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/20", "5,45", "*", "59"]),
    st.sampled_from(["*", "2", "0-3", "*/2", "1,2,3", "23", "0-23"]),
    st.sampled_from(["*", "1", "29", "25-31", "L"]),
    st.sampled_from(["*", "3", "10", "3,10"]),
    st.sampled_from(["*", "0", "sun", "1-5"]),
)
_PLACES = st.sampled_from(
    [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "UTC",
        "America/Santiago",
    ]
)


def _matches(written: str) -> Callable[[datetime.datetime], bool]:
    """Whether a wall time is one of an expression's: days of month and week are either, where both are named."""
    fields, _ = croniter.expand(written)
    minutes, hours, days, months, weekdays = ([each for each in field if each != "*"] for field in fields)

    def is_day(wall: datetime.datetime) -> bool:
        last = (wall.replace(day=28) + datetime.timedelta(days=4)).replace(day=1) - datetime.timedelta(days=1)
        of_month = wall.day in days or ("l" in days and wall.day == last.day)
        of_week = wall.isoweekday() % 7 in weekdays
        return (
            (of_month or of_week)
            if days and weekdays
            else (of_month or not days) and (of_week or not weekdays)
        )

    return lambda wall: (
        (not minutes or wall.minute in minutes)
        and (not hours or wall.hour in hours)
        and (not months or wall.month in months)
        and is_day(wall)
    )


def _brute(
    written: str, zone: datetime.tzinfo, begin: datetime.datetime, minutes: int
) -> list[datetime.datetime]:
    """Minute by minute over real time, and for fixed hours over the wall's minutes, each where it is first shown or passed over."""
    matches = _matches(written)
    instants = [begin + _MINUTE * each for each in range(1, minutes + 1)]
    if rhythm.parse(written).is_real_time:
        return [each for each in instants if matches(wall_of(each, zone))]
    seen = wall_of(begin, zone)
    found = []
    for each in instants:
        # All minutes that the clock shows for the first time with this one: one, none in the fold, many at the end of a gap.
        fresh = []
        while seen < wall_of(each, zone):
            seen += _MINUTE
            fresh.append(seen)
        if any(map(matches, fresh)):
            found.append(each)
    return found


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(fields=_FIELDS, place=_PLACES, season=st.sampled_from(["2026-03-28", "2026-10-24", "2026-04-04", "2026-10-03", "2026-03-07", "2026-10-31", "2026-02-14"]), offset=st.integers(0, 1_000))  # fmt: skip
def test_a_rhythm_is_what_a_walk_minute_by_minute_finds(
    fields: tuple[str, ...], place: str, season: str, offset: int
) -> None:
    """Neither a gap nor a fold of any zone loses an instant or makes one of its own."""
    written, zone = " ".join(fields), zone_of(place)
    # The walk begins where no clock has just been put back, so that what it has seen is all that was shown.
    begin = _at(f"{season} 00:00") + _MINUTE * offset
    if wall_of(begin - datetime.timedelta(hours=3), zone) > wall_of(begin, zone) - datetime.timedelta(
        hours=3
    ):
        begin -= datetime.timedelta(hours=4)
    minutes = 2_000
    until = begin + _MINUTE * minutes
    try:
        walked = rhythm.parse(written).walk(begin, zone)
    except UsageError:
        return
    assert list(itertools.takewhile(lambda each: each <= until, walked)) == _brute(
        written, zone, begin, minutes
    )
