"""What the views of the backups decide without a screen."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from engine.errors import UsageError
from engine.model.alerts import Condition
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy, Proof, Scope
from engine.model.reports import Bucket, SourceTrend, Trend, TrendReport
from engine.model.status import Concern, SourceStatus
from tests.fakes.clock import START
from tui.backup_work import until
from tui.panes import remedies
from tui.panes.backup_filter import parse
from tui.panes.history import marks
from tui.panes.source_rows import least_proved
from tui.panes.trends import trend_lines
from tui.text import fit_end

DAY = datetime.timedelta(days=1)
BACKUP = Backup(
    "7a", "shop", "db1", "full", BackupStatus.COMPLETED, START, START, 1, 1, 1, 0, 0, (Copy("near", "ab" * 32),)
)  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", BackupFilter(source="shop")),
        ("nightly dump", BackupFilter(source="shop", text="nightly dump")),
        ("tag:nightly proof:drill", BackupFilter(source="shop", tag="nightly", proof=Proof.DRILLED)),
        ("status:fail type:inc", BackupFilter(source="shop", status=BackupStatus.FAILED, kind="incremental")),
        ("source:db1 kept", BackupFilter(source="db1", is_kept=True)),
        (
            "only:schema since:today x:y",
            BackupFilter(source="shop", scope=Scope.SCHEMA, since=START, text="x:y"),
        ),
        ("tag:", BackupFilter(source="shop")),
    ],
)
def test_a_filter_is_words_with_a_colon_and_any_other_text(typed: str, meant: BackupFilter) -> None:
    """A word that is being typed must not empty the list."""
    assert parse(typed, lambda _: START, BackupFilter(source="shop")) == meant


def test_a_filter_that_means_nothing_says_what_there_is() -> None:
    """proof:perfect matches nothing for ever."""
    with pytest.raises(UsageError, match="perfect is none of taken, readable"):
        parse("proof:perfect", lambda _: START)


@pytest.mark.parametrize(
    ("backup", "expected"),
    [
        (BACKUP, ""),
        (replace(BACKUP, is_protected=True, hold_reason="court", expires_at=START + DAY), "PHE"),
        (replace(BACKUP, expires_at=START), "x"),
        (replace(BACKUP, status=BackupStatus.INCOMPLETE, warnings=("a",), copies=(Copy("near", ""),)), "IW!"),
        (replace(BACKUP, scope=Scope.SCHEMA), "s"),
    ],
)
def test_marks_tell_what_a_backup_has_of_its_own(backup: Backup, expected: str) -> None:
    """Whoever deletes must see that it is held."""
    assert marks(backup, START) == expected


@pytest.mark.parametrize("condition", list(Condition))
def test_each_concern_has_a_remedy_in_few_words(condition: Condition) -> None:
    """A key that mends nothing is worse than none."""
    for subject in ("source shop", "schedule nightly"):
        words = remedies.words_of(Concern(subject, True, "why", "holdfast status", condition))
        assert 0 < len(words) <= 13


def _source(name: str, proof: Proof | None, days: int = 0, retired: str = "") -> SourceStatus:
    at = START - days * DAY if proof not in (None, Proof.TAKEN) else None
    newest = None if proof is None else START
    return SourceStatus(name, "db1", "files", 50, newest, None, proof, at, 1, retired)


def test_the_cursor_starts_on_the_source_that_is_proved_least() -> None:
    """Two keys then rehearse what needs it most: one without a backup cannot be rehearsed."""
    sources = [
        _source("none", None), _source("fresh", Proof.DRILLED, 1), _source("old", Proof.DRILLED, 9),
        _source("gone", Proof.TAKEN, retired="sold"),
    ]  # fmt: skip
    assert least_proved(sources) == "old"
    assert least_proved([*sources, _source("taken", Proof.TAKEN)]) == "taken"
    assert least_proved(sources[:1]) == "none"
    assert least_proved([]) == ""


def test_trends_are_plots_with_words() -> None:
    """A column a week, a gap where nothing ran."""
    weeks = [
        Bucket((START + week * 7 * DAY).date(), 1, duration, 1e6, 2e9, 1e6, None)
        for week, duration in enumerate((60.0, None, 60.0, 600.0))
    ]
    source = SourceTrend("shop", (Trend("duration_s", 60, 600, 0.5, "50 % more each week"),), weeks)
    lines = trend_lines(TrendReport(START, START + 28 * DAY, START, "week", (source,)), is_ascii=True)
    text = "\n".join(lines)
    assert "duration    - -#" in text
    assert "1m to 10m, mostly 1m" in text
    assert "50 % more each week" in text
    assert "recovery    nothing is known of it" in text


def test_what_is_left_of_a_link_is_told_until_it_is_over() -> None:
    """A link that leads nowhere must not look alive."""
    assert until(START, START + 2 * DAY) == "2d"
    assert until(START, START) == "over"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("/etc/a", 8, "/etc/a  "),
        ("/srv/shop/a", 6, "…hop/a"),
        ("/srv/漢字", 6, "…/漢字"),
        ("/srv/漢字", 5, "…漢字"),
        ("ab", 1, "…"),
    ],
)
def test_of_a_path_the_end_is_kept(text: str, width: int, shown: str) -> None:
    """Two rows that differ in their last letters must not look alike."""
    assert fit_end(text, width) == shown
