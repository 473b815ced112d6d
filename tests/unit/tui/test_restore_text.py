"""What the views of restores say, out of values."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RestoreError, UsageError
from engine.events import JobProgress
from engine.model.backup import Backup, BackupStatus, Copy, Scope
from engine.model.drills import PastDrill, Ways
from engine.model.job import Job, JobStatus
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.text import columns
from tui.panes import restore_text, restore_work
from tui.panes.restore_text import Chosen, Target

_NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
_SQL = Ways(True, True, False, False)
_FILES = Ways(False, False, False, True)
_REDIS = Ways(True, False, True, False, load_hint="stop the server first")


def _backup(
    number: int, *, status: BackupStatus = BackupStatus.COMPLETED, scope: Scope = Scope.ALL
) -> Backup:
    at = _NOW - datetime.timedelta(hours=number)
    return Backup(
        f"{number}abc", "shop", "db01", "full", status, at, at, 2**30, 2**20, 1, 0, 0, (Copy("main", "0" * 64), Copy("far", "1" * 64)), scope=scope
    )  # fmt: skip


def _chosen(ways: Ways, restore: RestoreRequest | None = None, past: Sequence[PastDrill] = ()) -> Chosen:
    asked = restore or RestoreRequest("1abc")
    return Chosen(_backup(1), True, ways, "db01", DrillRequest("shop"), asked, past, ["main", "far"])


@pytest.mark.parametrize("level", ["", "bytes", "parse", "files", "database", "server", "point-in-time"])
def test_the_level_of_a_drill_is_read_whole_at_80_columns(level: str) -> None:
    """`point-i…` says nothing."""
    assert 0 < len(restore_text.level_word(level)) <= 8


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=80, unique=True), st.integers(1, 120))
def test_the_strip_shows_the_chosen_point_once_whatever_lies_beside_it(hours: list[int], width: int) -> None:
    """Hundreds of points share a column; the one that is chosen must be seen."""
    points = [_backup(each) for each in hours]
    strip = restore_text.strip(points, points[0].backup_id, width)
    assert len(strip) == width
    assert strip.count("#") == 1


def test_what_failed_or_holds_a_part_is_no_point() -> None:
    """One cannot go back to it."""
    assert restore_text.is_point(_backup(1))
    assert not restore_text.is_point(_backup(1, status=BackupStatus.FAILED))
    assert not restore_text.is_point(_backup(1, scope=Scope.SCHEMA))
    assert not restore_text.is_point(None)


@pytest.mark.parametrize("ways", [_SQL, _FILES, _REDIS], ids=["sql", "files", "redis"])
@pytest.mark.parametrize("target", Target)
def test_a_target_says_what_it_writes_to_or_why_it_cannot_be(target: Target, ways: Ways) -> None:
    """In lines that fit, with the command that does the same."""
    chosen = _chosen(ways)
    if restore_text.why_not(target, ways):
        assert target is Target.BESIDE
        return
    lines = restore_text.plan_lines(target, chosen)
    assert lines[0] == "fetch up to 1.0G from main, or else far"
    assert lines[-1].startswith("same as: holdfast ")
    assert any("writes to" in each.lower() or "written to" in each for each in lines)
    assert all(columns(f"       {each}") <= 80 for each in lines)
    assert columns(f"      >(x) {restore_text.target_words(target, chosen)}") <= 80


def test_a_live_restore_without_a_safety_backup_shouts() -> None:
    """It is the one that cannot be taken back."""
    request = RestoreRequest("1abc", is_in_place=True, is_safety_left_out=True)
    assert "NOTHING of it is kept" in restore_text.target_words(Target.LIVE, _chosen(_FILES, request))


def test_the_estimate_is_of_drills_that_passed() -> None:
    """A number out of the air would be believed."""
    past = [PastDrill("1", "shop", _NOW, "passed", "server", "2", 390.0, 900.0, 7, 0, 2**30)]
    assert "about 6m30s, by the drills that passed" in restore_text.plan_lines(
        Target.DRILL, _chosen(_SQL, past=past)
    )
    assert restore_text.last_line(past, _NOW).endswith("PASS 6m30s")
    assert "no drill has passed yet" in restore_text.plan_lines(Target.DRILL, _chosen(_SQL))[1]


def test_the_stopwatch_runs_against_the_budget() -> None:
    """And says where it is over."""
    began = _NOW - datetime.timedelta(minutes=10)
    job = Job("1a", "drill", {}, JobStatus.RUNNING, began, began)
    progress = JobProgress(step="restore shop", step_began_at=began, budget_s=1200.0)
    assert restore_text.stopwatch_line(job, progress, None, _NOW) == "[##########..........] 10m00s of 20m00s"
    late = dataclasses.replace(progress, budget_s=60.0)
    assert restore_text.stopwatch_line(job, late, None, _NOW).endswith("OVER BUDGET")
    assert "10m00s  restore shop" in restore_text.running_line(progress, _NOW)


def test_a_folder_without_room_or_that_is_a_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """One sentence, with the way out."""
    with pytest.raises(RestoreError, match="nothing was changed"):
        restore_work.require_room(str(tmp_path / "new"), 2**62)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        restore_work.require_room(str(tmp_path / "file"), 1)
    restore_work.require_room(str(tmp_path / "new"), 1)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("said", ["'/srv/a b'", "file:///srv/a%20b", "/srv/a\\ b", "/srv/a b"])
def test_a_path_is_understood_as_terminals_give_it(said: str) -> None:
    """Quoted, dropped, escaped, or as it is."""
    assert restore_work.local_path(said) == "/srv/a b"


def test_two_paths_are_no_folder() -> None:
    """Only one can be meant."""
    with pytest.raises(UsageError, match="one folder"):
        restore_work.local_path("/srv/a\n/srv/b")
