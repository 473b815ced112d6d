"""Where one stands on a timeline, and where one can go."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RestoreError, UsageError
from engine.model.instants import InstantPlan
from engine.model.instants import Target as Instant
from engine.model.logs import Base, LogPosition, LogRun, Reach
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.text import columns
from tui.panes import timeline as timelines
from tui.panes.timeline import Timeline

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


def at(minutes: float) -> datetime.datetime:
    """So many minutes after noon."""
    return NOON + datetime.timedelta(minutes=minutes)


def reach(begin: float, end: float) -> Reach:
    """From a base of that minute to another one."""
    base = Base(f"base{begin:g}", LogPosition("7301", "1", 1), at(begin), ("main",))
    return Reach(base, "main", at(begin), at(end), (LogRun("7301", "1", 2, 15, size_bytes=2**30),))


GAPPED = Timeline([reach(0, 10), reach(5, 10), reach(20, 30)])
LINES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), min_size=1, max_size=40).map(
    lambda drawn: Timeline([reach(begin, begin + length) for begin, length in drawn])
)


@given(LINES, st.integers(0, 600), st.integers(2, 120))
def test_the_strips_show_where_one_stands_whatever_lies_beside_it(
    timeline: Timeline, minute: int, width: int
) -> None:
    """Once, in a row as wide as was asked for."""
    bases, log = timelines.strips(timeline, timeline.nearest(at(minute)), width)
    assert (len(bases), len(log), log.count("#")) == (width, width, 1)
    assert "|" in bases


@given(LINES, st.integers(0, 600), st.sampled_from([-60, -1, 1, 60]))
def test_every_step_leads_to_what_can_be_reached_in_its_direction(
    timeline: Timeline, minute: int, seconds: int
) -> None:
    """Or nowhere, at the end."""
    here = timeline.nearest(at(minute))
    for there in (
        timeline.moved(here, datetime.timedelta(seconds=seconds)),
        timeline.stop(here, 1 if seconds > 0 else -1),
    ):
        if there is None:
            assert here == (timeline.ends_at if seconds > 0 else timeline.begins_at)
        else:
            assert timeline.nearest(there) == there
            assert (there > here) == (seconds > 0)
            assert timeline.reach(Instant(there)).begins_at <= there


def test_a_step_passes_over_a_gap() -> None:
    """From its one side to the other, in both directions."""
    minute = datetime.timedelta(minutes=1)
    assert GAPPED.moved(at(9.5), minute) == at(20)
    assert GAPPED.moved(at(20.5), -minute) == at(10)
    assert [GAPPED.stop(at(7), -1), GAPPED.stop(at(7), 1), GAPPED.stop(at(10), 1)] == [at(5), at(10), at(20)]
    _, log = timelines.strips(GAPPED, at(25), 31)
    assert log == "=" * 10 + "x" * 11 + "====#====>"


@pytest.mark.parametrize(
    ("minute", "why", "nearest"),
    [(-1, "before the oldest base", 0), (31, "behind the end of the log", 30), (14, "in a gap", 10)],
)
def test_what_cannot_be_reached_is_refused_with_the_reason(minute: float, why: str, nearest: float) -> None:
    """In a sentence that fits the row of messages; the nearest that can is known."""
    with pytest.raises(RestoreError, match=why) as refused:
        GAPPED.reach(Instant(at(minute)))
    assert columns(refused.value.message) < 80
    assert GAPPED.nearest(at(minute)) == at(nearest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:05", Instant(at(125))),
        ("just before 14:05", Instant(at(125), is_before=True)),
        ("before transaction 742", Instant(transaction="742", is_before=True)),
        ("point before deploy", Instant(point="before deploy")),
        ("end", Instant()),
    ],
)
def test_what_a_person_types_is_an_instant_a_transaction_or_a_point(text: str, expected: Instant) -> None:
    """With just before in front, where that is meant."""

    def instant_of(said: str) -> datetime.datetime:
        if said != "14:05":
            raise UsageError(said)
        return at(125)

    assert timelines.read(text, instant_of) == expected


def test_a_drill_goes_where_a_restore_goes() -> None:
    """To the very same; the end of the log is written down as it is now. A backup forgets all of it."""
    chosen = Instant(at(7), is_before=True)
    drill = timelines.drill_at(DrillRequest("shop"), GAPPED, chosen)
    assert (drill.at, drill.is_before) == (at(7), True)
    end = timelines.drill_at(drill, GAPPED, Instant())
    assert (end.at, end.is_before) == (at(30), False)
    named = [
        timelines.drill_at(drill, GAPPED, each)
        for each in (Instant(transaction="7", is_before=True), Instant(point="deploy"))
    ]
    assert [(each.at, each.at_transaction, each.at_point, each.is_before) for each in named] == [
        (None, "7", "", True),
        (None, "", "deploy", False),
    ]
    restore = timelines.restore_at(RestoreRequest("1abc", into="then"), "shop", chosen)
    assert (restore.source, restore.at, restore.is_before, restore.into) == ("shop", at(7), True, "then")
    assert timelines.of_backup(restore, "1abc") == RestoreRequest("1abc", into="then")


def test_what_going_there_takes_is_told_in_lines_that_fit() -> None:
    """Base, log, and from where."""
    plan = InstantPlan(
        "shop", Instant(), "base0123456", NOON, 2**30, "main", 14, 2**30, NOON, "db01", 400.0, 3
    )
    lines = timelines.replayed(plan, 900)
    assert lines[1] == "at most 14 segments of log, 1.0G, replayed on db01 (space 2.0G)"
    assert lines[2] == "about 6m40s of 15m00s, by 3 drills"
    assert all(columns(each) <= 73 for each in lines)
