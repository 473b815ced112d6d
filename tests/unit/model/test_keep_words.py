"""Keep rules as they are typed in one line."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.model.keep_words import parse


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("7d 4w 12m", {"keep_daily": 7, "keep_weekly": 4, "keep_monthly": 12}),
        ("24h, -1y", {"keep_hourly": 24, "keep_yearly": -1}),
        ("5 last", {"keep_last": 5}),
        ("last 5 within 30d", {"keep_last": 5, "keep_within": 30 * 86_400.0}),
        ("short", {"keep_preset": "short"}),
        ("long", {"keep_preset": "long"}),
        ("gfs minimum 3", {"keep_preset": "gfs", "keep_minimum": 3}),
        ("--keep-daily 7 keep-tag gold tag=blue", {"keep_daily": 7, "keep_tag": ("gold", "blue")}),
        ("at-most 50", {"keep_at_most": 50}),
    ],
)
def test_a_line_means_what_the_flags_of_the_command_line_say(text: str, options: dict[str, object]) -> None:
    """Counts with a letter, presets, and each flag by its name."""
    assert parse(text) == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lst 2", "there is no keep rule 'lst'"),
        ("7q", "there is no keep rule '7q'"),
        ("last", "last needs a value behind it"),
        ("--keep-dayly 7", "there is no keep rule '--keep-dayly'"),
        ("7d 8d", "daily is said twice"),
        ("last x", "last"),
        ("7", "there is no keep rule '7'"),
    ],
)
def test_what_is_no_rule_is_named(text: str, said: str) -> None:
    """While it is typed, and before anything is judged by it."""
    with pytest.raises(UsageError, match=said):
        parse(text)
