"""What past drills tell of the next one, and drills as they are typed."""

from __future__ import annotations

import datetime

import pytest

from engine.cli import drill as drill_verb
from engine.cli.command import Parser
from engine.model.drills import PastDrill, estimate
from engine.model.instants import STARTING
from engine.model.plan_steps import drill_words
from engine.model.requests import DrillRequest

_AT = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)


def _past(
    rto_s: float, *, status: str = "passed", level: str = "server", size_bytes: int | None = 1000
) -> PastDrill:
    return PastDrill("1", "shop", _AT, status, level, "2", rto_s, None, size_bytes=size_bytes)


def test_nothing_is_promised_where_no_drill_passed() -> None:
    """A number out of the air would be believed."""
    assert estimate([_past(9, status="failed")], 1000) == (None, 0)


def test_the_estimate_is_the_median_scaled_by_size() -> None:
    """Twice the data takes about twice the time."""
    assert estimate([_past(10), _past(30), _past(20)], 2000) == (40, 3)


def test_other_levels_and_other_sizes_tell_nothing() -> None:
    """Reading bytes says nothing of loading a server, a thousandth of the data nothing of all of it."""
    past = [_past(10), _past(1, level="bytes"), _past(99, size_bytes=1), _past(12, size_bytes=None)]
    assert estimate(past, 1000) == (11, 2)


def test_without_a_drill_of_the_nearest_level_the_next_one_tells() -> None:
    """A replay is most like another replay, then like a server that was started."""
    past = [_past(1, level="bytes"), _past(12), _past(30, level="database")]
    assert estimate(past, 1000, STARTING) == (12, 1)
    assert estimate([*past, _past(20, level="point-in-time")], 1000, STARTING) == (20, 1)
    assert estimate(past[:1], 1000, STARTING) == (None, 0)


@pytest.mark.parametrize(
    "request_",
    [
        DrillRequest("shop"),
        DrillRequest("shop", "4abc", "server", "drill01", "main", 900.0, (("", "SELECT 1", "1"),)),
        DrillRequest(
            "shop", keep_s=7200.0, scenario="blind", seed=0, by=("Ann", "Bo B"), note="-x", checks=(("a", "SELECT 'b'", "c d"),)
        ),
    ],
    ids=["plain", "where and how", "who and why"],
)  # fmt: skip
def test_a_drill_as_it_is_typed_is_that_drill(request_: DrillRequest) -> None:
    """What the console shows as the equal command line must be equal."""
    parser = Parser("drill", "rehearse")
    drill_verb._declare(parser)
    typed = drill_verb._request(parser.parse_args(drill_words(request_)), "shop")
    assert typed == request_
