"""Schedules by the command line: written down, previewed, run, paused and looked at, in processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.cli.dispatch import dispatch
from engine.clock import SystemClock
from engine.errors import CommandFailedError, UsageError
from engine.jobs import scheduled
from engine.jobs.known import Known
from engine.model.requests import BackupRequest
from engine.model.schedules import Action, Hooks, RunOutcome, Schedule, Timing
from engine.notify import Notifier
from tests.jobs.command_line import PASSWORD, CommandLine, Ran
from tests.jobs.world import open_world

pytestmark = pytest.mark.slow


class Here:
    """The command line in this process: a line of it takes a hundredth of what a process does."""

    def __init__(self, home: Path, captured: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._captured = captured

    def run(self, *words: str) -> Ran:
        """Runs a line."""
        self._captured.readouterr()
        code = dispatch([*words, "--home", str(self._home)])
        out, err = self._captured.readouterr()
        return Ran(code, out, err)

    def done(self, *words: str) -> str:
        """What a line prints that must end well."""
        ran = self.run(*words)
        assert ran.code == 0, ran
        return ran.out

    def json(self, *words: str) -> dict[str, Any]:
        """Its result."""
        return Ran(0, self.done(*words, "--json"), "").result


@pytest.fixture
def here(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """A home with a storage and a source."""
    monkeypatch.setenv("PASSWORD_OF_MAIN", PASSWORD)
    made = Here(tmp_path / "home", capfd)
    place = ("--kind", "local", "--path", str(tmp_path / "main"), "--password", "env:PASSWORD_OF_MAIN")
    made.done("storage", "add", "main", *place)
    made.done("source", "add", "data", "--kind", "files", "--path", str(tmp_path))
    return made


class _Later(SystemClock):
    """The machine's clock, an hour ahead."""

    def now(self) -> datetime.datetime:
        """An hour from now."""
        return super().now() + datetime.timedelta(hours=1)


async def test_a_worker_runs_what_is_due_its_retention_and_what_follows_it(tmp_path: Path) -> None:
    """The night as it is: a worker, a real backup, what is too old forgotten, and the storage verified when both are over."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("one")
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("near")
        await world.add_files("site", tmp_path / "data")
        keep = {"keep_last": 1}
        nightly = Schedule(
            "nightly", rhythm="hourly", sources=("si*",), options=keep, timing=Timing(retries=0)
        )
        await world.engine.add_schedule(nightly)
        await world.engine.add_schedule(Schedule("proof", Action.VERIFY, after="nightly"))
        await world.one_backup("site")
    async with open_world(tmp_path / "world", _Later()) as world:
        worker = world.engine.worker(is_staying=False, tick=world.engine.next_tick, linger_s=1.2)
        assert await worker.work(Notifier(), world.heard.append) == 3
        runs = [*await world.engine.schedule_runs("nightly"), *await world.engine.schedule_runs("proof")]
        assert [(each.part, each.outcome) for each in runs] == [
            ("forget site", RunOutcome.COMPLETED), ("localhost", RunOutcome.COMPLETED), ("near", RunOutcome.COMPLETED)
        ]  # fmt: skip
        assert len(await world.engine.backups()) == 1


def test_a_schedule_runs_now_is_followed_by_its_retention_and_is_seen_by_those_that_look(
    tmp_path: Path,
) -> None:
    """One line at a terminal does what the night does: hooks, backup, forget, each a job that can be looked at."""
    line = CommandLine(tmp_path)
    line.set_up()
    seen = line.directory / "seen"
    hook = f'echo "$HOLDFAST_WHEN $HOLDFAST_SOURCES $HOLDFAST_OUTCOME" >> {seen}'
    line.done("schedule", "add", "nightly", "--cron", "daily at 02:00", "--timezone", "Europe/Berlin", "--source", "da*", "--to", "main",
              "--keep-last", "1", "--before-hook", hook, "--after-hook", hook)  # fmt: skip
    line.done("backup", "data")
    ran = line.json("schedule", "run", "nightly")
    assert (ran["status"], [each["verb"] for each in ran["jobs"]]) == ("completed", ["backup", "forget"])
    assert len(line.json("backups")["items"]) == 1
    with contextlib.closing(sqlite3.connect(line.home / "catalog.db")) as catalog:
        loads = catalog.execute("SELECT host, load FROM host_loads").fetchall()
    assert [(host, load >= 0) for host, load in loads] == [("localhost", True)]
    assert seen.read_text() == "before data \nafter data completed\n"
    shown = line.json("schedule", "show", "nightly")
    assert [(each["part"], each["outcome"]) for each in shown["runs"]] == [
        ("forget data", "completed"),
        ("localhost", "completed"),
    ]


async def test_a_schedule_keeps_a_report_that_the_audit_log_covers(tmp_path: Path) -> None:
    """The page that an auditor asks for each month is there without anybody thinking of it, and cannot be changed unseen."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("one")
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("near")
        await world.add_files("site", tmp_path / "data")
        await world.one_backup("site")
        monthly = Schedule("monthly", Action.REPORT, rhythm="monthly", options={"days": 7})
        await world.engine.add_schedule(monthly)
        wrong = dataclasses.replace(monthly, name="wrong", options={"report": "complianc"})
        with pytest.raises(UsageError, match="there is no report complianc"):
            await world.engine.add_schedule(wrong)
        (part,) = scheduled.parts_of(monthly, Known((), (), ""))
        await world.engine.enqueue(part.verb, part.request)
        worker = world.engine.worker(is_staying=False, linger_s=0.1)
        assert await worker.work(Notifier(), world.heard.append) == 1
        (page,) = world.engine.home.evidence.glob("report-compliance-*.json")
        (line,) = json.loads(page.read_text(encoding="utf-8"))["sources"]
        assert (line["source"], line["completed"]) == ("site", 1)
        assert await world.engine.verify_audit() == []
        page.write_text("changed", encoding="utf-8")
        assert [page.name in str(each) for each in await world.engine.verify_audit()] == [True]


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        (Hooks("echo no room; exit 7"), "ended with status 7: no room; nothing was changed"),
        (Hooks("exec sleep 600", timeout_s=0.2), "took longer than 0.2 seconds and was ended"),
    ],
    ids=["fails", "never ends"],
)
async def test_a_job_does_not_begin_where_the_hook_before_it_fails_or_never_ends(
    tmp_path: Path, hooks: Hooks, said: str
) -> None:
    """A database that could not be frozen is not backed up as if it were."""
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("near")
        await world.add_files("site", tmp_path)
        with pytest.raises(CommandFailedError, match=said):
            await world.engine.backup(BackupRequest(("site",), hooks=hooks))
        assert await world.engine.backups() == []


def test_a_preview_names_the_next_runs_with_their_offset_and_what_overlaps_them(here: Here) -> None:
    """Two backups of one host at two in the morning are seen before the night."""
    add = ("schedule", "add")
    here.done(
        *add, "usual", "--template", "--source", "data", "--timezone", "America/New_York", "--retries", "1"
    )
    here.done(*add, "nightly", "--from-template", "usual", "--cron", "0 2 * * *")
    here.done(*add, "also", "--from-template", "usual", "--cron", "5 2 * * *")
    here.done(
        *add, "proof", "--after", "nightly", "--action", "drill", "--source", "data", "--level", "bytes"
    )
    items = here.json("schedule", "preview", "nightly", "--count", "3")["items"]
    for each in items:
        at = datetime.datetime.fromisoformat(each["at"])
        assert (at.hour, at.minute, at.utcoffset()) in [(2, 0, datetime.timedelta(hours=-5)), (2, 0, datetime.timedelta(hours=-4)), (3, 0, datetime.timedelta(hours=-4))]  # fmt: skip
        assert (each["schedule"], each["action"], each["sources"]) == ("nightly", "backup", ["data"])
        # What follows it begins when it is over.
        assert [(other["host"], other["schedule"]) for other in each["overlaps"]] == [("localhost", "also")]
    here.done(
        "schedule",
        "edit",
        "also",
        "--keep-preset",
        "gfs",
        "--keep-within-daily",
        "30d",
        "--keep-at-most-size",
        "1G",
        "--keep-minimum",
        "2",
    )
    kept = here.json("schedule", "show", "also")["options"]
    assert kept == {
        "keep_preset": "gfs",
        "keep_within_daily": 2_592_000,
        "keep_at_most_size": 1 << 30,
        "keep_minimum": 2,
    }
    assert len(items) == 3
    text = here.done("schedule", "list")
    assert "after nightly" in text
    assert here.json("schedule", "show", "also")["timing"]["retries"] == 1
    assert "a template, which never runs" in here.run("schedule", "run", "usual").err


def test_who_writes_a_schedule_down_hears_when_it_runs_and_that_nothing_lives_that_would_start_it(
    here: Here,
) -> None:
    """Else it is found out a day later, by somebody who wonders where the backups are."""
    said = here.done("schedule", "add", "first", "--cron", "hourly", "--source", "data", "--timezone", "UTC")
    assert "schedule first is written down: hourly, UTC; next at " in said
    assert "no worker lives that would start it: `holdfast service install`" in said
    said = here.done("schedule", "add", "second", "--after", "first", "--action", "prune")
    assert said.splitlines()[0] == "schedule second is written down: after first"
    assert "no worker" not in here.done("schedule", "add", "usual", "--template", "--source", "data")


def test_what_could_never_run_is_refused_with_the_way_out_and_changes_nothing(here: Here) -> None:
    """A mistake shows when it is typed, not on the night that it is missed."""
    here.done("schedule", "add", "first", "--cron", "hourly", "--source", "data")
    here.done("schedule", "add", "second", "--after", "first", "--action", "prune")
    before = here.json("schedule", "list")["items"]
    for words, said in (
        (("add", "x", "--cron", "0 0 31 2 *", "--source", "data"), "never comes"),
        (("add", "x", "--cron", "dayly", "--source", "data"), "did you mean `daily`?"),
        (
            ("add", "x", "--cron", "daily", "--source", "data", "--timezone", "Europe/Berln"),
            "did you mean Europe/Berlin?",
        ),
        (("add", "x", "--cron", "daily", "--source", "dat"), "did you mean data?"),
        (("add", "x", "--cron", "daily", "--source", "data", "--to", "mian"), "did you mean main?"),
        (("add", "x", "--cron", "daily", "--source", "data", "--level", "bytes"), "has no option --level"),
        (("add", "x", "--source", "data"), "when should x run?"),
        (("add", "x", "--cron", "daily", "--source", "data", "--smart"), "needs a window"),
        (("add", "first", "--cron", "daily", "--source", "data"), "there is a schedule named first already"),
        (("edit", "first", "--after", "second"), "first after second after first"),
        (("edit", "first"), "nothing was said"),
        (("edit", "first", "--unset", "colour"), "no option 'colour'"),
        (("remove", "first", "--yes"), "second runs after first"),
        (("show", "frist"), "did you mean first?"),
        (("pause", "first", "--until", "2h ago"), "instant to come"),
    ):
        ran = here.run("schedule", *words)
        assert (ran.code, said in ran.err) == (2, True), (words, ran)
    assert here.json("schedule", "list")["items"] == before


def test_schedules_are_kept_in_the_file_of_the_fleet_and_checked_with_it(here: Here, tmp_path: Path) -> None:
    """The same fleet from one file: a schedule that changes there changes, one that could not run is told with its line."""
    here.done("schedule", "add", "nightly", "--cron", "daily at 02:00", "--source", "data", "--to", "main", "--keep-daily", "7", "--window", "01:00-05:00")  # fmt: skip
    here.done("schedule", "add", "clean", "--after", "nightly", "--action", "prune", "--to", "main")
    text = here.done("config", "export")
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    before = here.json("schedule", "list")["items"]
    here.done("config", "apply", str(file), "--yes")
    assert here.json("schedule", "list")["items"] == before
    file.write_text(text.replace("daily at 02:00", "daily at 03:00"))
    here.done("config", "apply", str(file), "--yes")
    assert here.json("schedule", "show", "nightly")["planned_at"][11:16] == "03:00"
    for wrong, said in (("dayly", "is no rhythm"), ("daily at 12:00", "never falls into its window")):
        file.write_text(text.replace("daily at 02:00", wrong))
        ran = here.run("config", "apply", str(file), "--yes")
        assert (ran.code, "fleet.toml, line" in ran.err, said in ran.err) == (2, True, True), ran


def test_a_tick_queues_what_is_due_once_and_a_pause_is_told(here: Here) -> None:
    """A timer that calls tick each minute is as good as a worker."""
    here.done("schedule", "add", "often", "--cron", "every minute", "--source", "data", "--timezone", "UTC")
    here.done("pause", "--until", "2h", "new disks")
    assert "new disks" in here.done("schedule", "list")
    due = here.json("schedule", "preview", "often", "--count", "1")["items"][0]["at"]
    assert due >= here.json("resume")["pause"]["until"]
    first = here.json("tick")
    assert first["next_at"] is not None
    here.done("schedule", "pause", "often", "--reason", "too often")
    (pause,) = here.run("status", "--json").result["pauses"]
    assert (pause["schedule"], pause["until"], pause["reason"]) == ("often", None, "too often")
    assert here.json("schedule", "show", "often")["pause"]["reason"] == "too often"
    assert here.json("schedule", "preview", "often")["items"] == []
    here.done("schedule", "resume", "often")
    here.done("schedule", "remove", "often", "--yes")
    assert here.json("tick")["queued"] == []


def test_who_removes_what_a_schedule_names_hears_of_it(here: Here) -> None:
    """Else it is heard when the next run fails at night."""
    here.done("schedule", "add", "nightly", "--cron", "daily", "--source", "data", "--to", "main")
    for noun, name in (("source", "data"), ("storage", "main")):
        ran = here.run(noun, "remove", name, "--yes")
        said = f"schedule nightly still names {noun} {name}: `holdfast schedule edit nightly`"
        assert (ran.code, said in ran.err) == (0, True), ran
