"""Schedules as rows and lines."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import pytest

from engine.model.schedules import Action, Schedule
from engine.model.timetables import DayAhead, Lane
from tui.panes import schedule_facts as facts

NOW = datetime.datetime(2026, 11, 28, 15, 20, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock is that of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("rhythm", "words"),
    [
        ("30 20 * * *", "daily 20:30"), ("5 * * * *", "hourly :05"), ("*/5 * * * *", "every 5 min"), ("0 5 * * SUN", "sun 05:00"),
        ("0 5 * * 7", "sun 05:00"), ("0 2 1 * *", "day 1 02:00"), ("0 5 * * 1-5", "0 5 * * 1-5"), ("daily at 02:00", "daily at 02:00"),
        ("0 0 29 2 *", "0 0 29 2 *"),
    ],
)  # fmt: skip
def test_cron_that_says_something_simple_is_told_in_words(rhythm: str, words: str) -> None:
    """All else as it was written: better than half of it."""
    assert facts.when_words(Schedule("a", rhythm=rhythm)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "due"), (30, "in <1m"), (240, "in 4m"), (64_140, "in 17h49m"), (777_600, "in 9d0h"), (20_000_000, "in 231d")],
)  # fmt: skip
def test_the_time_until_the_next_start_fits_its_column(seconds: float, words: str) -> None:
    """Rounded down."""
    assert facts.ahead(NOW + datetime.timedelta(seconds=seconds), NOW) == words
    assert len(words) <= 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "-"), ({"keep_daily": 7, "keep_weekly": 4, "keep_monthly": 12}, "7d 4w 12m"), ({"keep_last": 3}, "3 last"),
        ({"keep_preset": "gfs", "keep_within": 86_400.0}, "gfs +"), ({"keep_tag": ("gold",)}, "others"), ({"keep_daily": -1}, "all daily"),
    ],
)  # fmt: skip
def test_rules_are_told_as_short_as_can_be(options: dict[str, int], words: str) -> None:
    """What the column has no room for is marked by a plus."""
    assert facts.keep_words(Schedule("a", options=options)) == words


def _day(*lanes: Lane) -> DayAhead:
    return DayAhead(NOW, NOW + 24 * HOUR, lanes)


def test_the_strip_has_a_letter_for_each_action_and_a_mark_for_what_meets(berlin: None) -> None:
    """A run that lasts is as long as it lasts; hours are those of this machine's clock."""
    backup = Lane("nightly", Action.BACKUP, (NOW + 5 * HOUR,), 7200.0, ())
    drill = Lane("drill", Action.DRILL, (NOW + HOUR, NOW + 2 * HOUR), 60.0, (NOW + 2 * HOUR,), ("db",))
    lines = facts.strip_lines(_day(backup, drill), 2, 80, 5, NOW)
    assert lines[0].index("18") == 16 + 2 * 2
    assert lines[1].startswith("drill")
    assert lines[1][16:].rstrip(".") == "..D.!"
    assert lines[2].startswith("nightly")
    assert lines[2][16:].rstrip(".") == "..........#==="
    assert lines[3] == "overlaps: none   missed 24 h: 2 (m)"
    assert all(len(line) <= 80 for line in lines)


def test_a_night_when_the_clock_is_set_back_shows_its_hours_as_they_come(berlin: None) -> None:
    """From 03:00 to 02:00 again: 03 stands four hours after midnight, and 06 three after that."""
    now = datetime.datetime(2026, 10, 24, 20, 0, tzinfo=datetime.UTC)
    head = facts.strip_lines(_day(), 0, 80, 5, now)[0][16:]
    assert head.index("06") - head.index("03") == 2 * 3
    assert head.index("03") - head.index("00") == 2 * 4


def test_more_schedules_than_there_is_room_for_are_counted() -> None:
    """Those where something meets come first."""
    lanes = [Lane(f"s{number}", Action.BACKUP, (NOW + HOUR,), 60.0, ()) for number in range(5)]
    meets = Lane("z", Action.BACKUP, (NOW + 9 * HOUR,), 60.0, (NOW + 9 * HOUR,), ("db",))
    lines = facts.strip_lines(_day(*lanes, meets), 0, 80, 3, NOW)
    assert lines[1].startswith("z ")
    assert lines[-1].endswith("3 more schedules")
