"""Values as people read them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import text
from engine.model.spans import span


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1_288_490_189, "1.2 GiB"),
        (1000 * 2**20, "1.0 GiB"),
        (2**70, "1024 EiB"),
        (None, "?"),
    ],
)
def test_a_size_is_short_and_in_binary_units(count: int | None, expected: str) -> None:
    """A column of whole bytes cannot be read."""
    assert text.size(count) == expected


@given(st.integers(0, 2**63))
def test_no_size_is_wider_than_its_column(count: int) -> None:
    """A table of 80 columns depends on it."""
    assert len(text.size(count)) <= 8


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, expected: str) -> None:
    """How long is still to wait is read at a glance."""
    assert span(seconds) == expected


def test_an_age_never_lies_in_the_future() -> None:
    """Two machines' clocks differ by some seconds."""
    now = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
    ages = [
        text.age(now - datetime.timedelta(seconds=seconds), now)
        for seconds in (-5, 59, 60, 7200, 90_000, 200_000)
    ]
    assert ages == ["0 s", "59 s", "1 min", "2 h", "25 h", "2 d"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain näme €", "plain näme €"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\xff"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_a_hostile_name_cannot_drive_the_terminal(name: str, expected: str) -> None:
    """Whoever can name a file on a host must not command the terminal of who lists it."""
    assert text.printable(name) == expected


@given(st.text(max_size=60))
def test_what_is_printed_holds_printable_characters_only(name: str) -> None:
    """Escapes, bells and changes of direction come in many forms."""
    assert text.printable(name).isprintable()


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_shortened_text_fits(name: str, width: int) -> None:
    """A table whose rows break over two lines is none."""
    shown = text.printable(name)
    short = text.shortened(shown, width)
    assert text.columns(short) <= width
    assert shown == short or short.endswith("…")
