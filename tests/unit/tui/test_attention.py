"""What stands on top of the backups."""

from __future__ import annotations

import datetime
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.model.alerts import Alert, Condition
from engine.model.status import Concern, Status
from tests.fakes.clock import START
from tui.panes import source_rows

FAILED = Concern("source shop", True, "the last backup failed", "holdfast backup shop", Condition.FAILED)
SLOW = Concern(
    "source crm", True, "the drill took too long", "holdfast evidence show", Condition.DRILL_OVER_BUDGET
)
COVERED = replace(FAILED, subject="source site", covered_by="host web")
SILENT = Concern("host web", True, "does not answer", "holdfast host test web", Condition.UNREACHABLE)
ADVICE = Concern("source wiki", False, "never drilled", "holdfast drill wiki", Condition.UNPROVEN)
SEEN = Concern("storage vault", True, "is nearly full", "holdfast prune vault", Condition.STORAGE_LOW)
ALERT = Alert(
    "1", SEEN.condition, SEEN.subject, True, "", "", START, START, acknowledged_at=START + datetime.timedelta(1), acknowledged_by="mira"
)  # fmt: skip


@given(st.permutations([FAILED, SLOW, COVERED, SILENT, ADVICE, SEEN]))
def test_what_cannot_wait_stands_first(found: list[Concern]) -> None:
    """Four rows are seen at 80x24: a slow drill must not hide a backup that failed, nor a source the host that explains it."""
    ordered = source_rows.sorted_concerns(Status(START, found, (), 0, [ALERT]))
    assert {each.subject for each in ordered[:2]} == {"source shop", "host web"}
    assert [each.subject for each in ordered[2:]] == [
        "source crm",
        "source wiki",
        "source site",
        "storage vault",
    ]


def test_how_many_are_at_risk_is_said_without_what_somebody_sees_to() -> None:
    """And without what another one explains; nothing is said where nothing is wrong."""
    status = Status(START, [FAILED, SLOW, COVERED, ADVICE, SEEN], (), 0, [ALERT])
    assert source_rows.note_of(status) == "2 at risk, 1 to see to"
    assert source_rows.note_of(replace(status, concerns=[SEEN])) == ""


def test_a_high_terminal_shows_more_of_what_is_at_risk() -> None:
    """What the sources leave over; a low one keeps most of its rows for them."""
    heights = [source_rows.attention_height(25, height, 31) for height in (5, 20, 36, 56)]
    assert heights == [1, 4, 4, 24]
    assert source_rows.attention_height(3, 56, 31) == 3
