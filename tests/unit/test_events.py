"""What a follower is told of a job that runs."""

from __future__ import annotations

import datetime

from engine.events import MOST_STEPS, Budgeted, JobProgress, Noted, Progress, StepBegan, StepEnded, Warned

NOW = datetime.datetime(2026, 11, 28, 14, tzinfo=datetime.UTC)


def test_a_step_that_begins_starts_its_amounts_afresh_and_leaves_what_was_before() -> None:
    """Whoever looks in half-way sees the whole story, and no bytes of another step."""
    told = JobProgress()
    for event in (
        Budgeted(60.0),
        StepBegan("load"),
        Progress("", done_bytes=5, total_bytes=9, current="a"),
        StepEnded("load", "ok", 1.5, "9 bytes"),
        StepBegan("check"),
    ):
        told = told.after(event, NOW)
    ended = StepEnded("load", "ok", 1.5, "9 bytes")
    assert told == JobProgress("check", NOW, (ended,), budget_s=60.0)
    assert told.after(Progress("", done_files=2), NOW).step == "check"


def test_what_is_for_the_log_alone_changes_nothing() -> None:
    """The row is written where something is new, and only then."""
    told = JobProgress("load", NOW)
    assert all(told.after(each, NOW) is told for each in (Warned("slow"), Noted("a line")))


def test_the_newest_steps_are_told_and_how_many_there_were_before_them() -> None:
    """A drill of a thousand databases writes its row a few times a second."""
    told = JobProgress()
    for number in range(MOST_STEPS + 7):
        told = told.after(StepEnded(str(number), "ok", 0.1, "x" * 10_000), NOW)
    assert (len(told.steps), told.steps_left_out, told.steps[0].step) == (MOST_STEPS, 7, "7")
    assert len(told.steps[0].detail) == 300
