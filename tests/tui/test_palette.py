"""The palette: everything from anywhere; and what `y` copies in each place, held against the command line."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from engine.cli import dispatch
from engine.model.alerts import Destination
from engine.model.definitions import Host
from engine.model.job import JobStatus
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.schedules import Schedule
from engine.model.secret import Secret
from tests.jobs.world import World
from tests.tui.seat import Seat, open_console
from tui.actions.places import NOUNS, PLACES
from tui.palette import going, used
from tui.panes.found import FoundView
from tui.panes.restore_point import PointView
from tui.panes.restore_text import Target
from tui.place import Place
from tui.preferences import Preferences, read_preferences

pytestmark = pytest.mark.slow


@pytest.fixture
async def seat(world: World, tmp_path: Path) -> AsyncIterator[Seat]:
    """Two sources, one with a backup, two storages."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_storages("main", "other")
    await world.add_files("tree", tmp_path / "tree")
    await world.add_files("bush", tmp_path / "tree")
    await world.one_backup("tree")
    async with open_console(world.engine) as opened:
        await opened.sees("> tree")
        yield opened


async def _say(seat: Seat, line: str) -> None:
    """Types a line into the palette, and enter."""
    await seat.press("colon")
    await seat.sees("Commands")
    await seat.type(line)
    await seat.press("enter")


async def test_a_line_is_done_from_anywhere_with_its_name(seat: Seat, world: World) -> None:
    """In a hurry nobody looks for the tab first."""
    await seat.press("4")
    await _say(seat, "backup bush --to other")
    await seat.sees("backing up bush to other")
    (job,) = await world.engine.jobs(verb="backup", status=None, limit=1)
    async for each in world.engine.follow_job(job.job_id):
        job = each
    assert (job.status, job.request["sources"], job.request["storages"]) == (
        JobStatus.COMPLETED,
        ["bush"],
        ["other"],
    )
    await _say(seat, f"log.times {job.job_id}")
    await seat.sees(f"job {job.job_id}, backup", "t times")
    await seat.press("y")
    await seat.sees("Copy", f"holdfast job log {job.job_id}")
    await seat.press("escape", "escape")
    await seat.misses("t times")
    await _say(seat, "open source/tree")
    await seat.sees("> backups > tree", "CREATED")
    await _say(seat, "go storage other")
    await seat.sees("[4 Storage]", "> other")
    await _say(seat, "drill tree --at 1y ago")
    await seat.sees("That did not work")
    await seat.press("escape")
    assert used.read(world.engine.home.directory)[:3] == ["go storage", "open source", "log.times"]


async def test_what_destroys_asks_for_what_and_then_in_its_own_dialog(seat: Seat, world: World) -> None:
    """Nothing goes by one enter too many."""
    await _say(seat, "storage remove")
    await seat.sees("storage remove main", "storage remove other")
    await seat.press("down", "down", "enter")
    await seat.sees("FORGET STORAGE other")
    await seat.type_name("nothing")
    await seat.press("escape")
    await seat.misses("FORGET")
    await _say(seat, "delete latest:tree")
    await seat.sees("DELETE")
    await seat.press("escape")
    await seat.sees("> backups > tree")
    assert len(await world.engine.storages()) == 2
    assert len(await world.engine.backups()) == 1


async def test_what_is_off_says_why_and_tab_completes(seat: Seat) -> None:
    """Greyed without a reason is a riddle."""
    await seat.press("colon")
    await seat.type("metrics")
    await seat.sees("a scraper or a timer reads it")
    await seat.press("enter")
    await seat.press("ctrl+u")
    await seat.type("back up which")
    await seat.press("tab")
    await seat.sees(": source.backup_as ", "source.backup_as bush")
    await seat.press("down", "tab")
    await seat.sees(": source.backup_as bush")
    await seat.press("escape")
    await _say(seat, "contents.share latest:tree")
    await seat.sees("choose one, then s: share it by a link")


async def test_keys_of_ones_own_work_and_are_shown_wherever_keys_are(world: World, tmp_path: Path) -> None:
    """Hints, help and palette that name the usual key would lie; a mistake is told by its line, and the usual key stands."""
    home = world.engine.home.directory
    (home / "console.toml").write_text(
        '[keys]\n"storage.new" = ["F7", "ctrl+t"]\n"source.backup" = "q"\n', encoding="ascii"
    )
    async with open_console(world.engine, preferences=read_preferences(home)) as seat:
        await seat.sees("console.toml, line 3: source.backup keeps its own keys")
        await seat.press("4")
        await seat.sees("f7 new")
        await _say(seat, "console.toml")
        await seat.sees("! console.toml, line 3: ", "for q is", "storage.new              f7 ctrl+t")
        await seat.press("escape", "colon")
        await seat.type("define a storage")
        await seat.sees("f7        define a storage")
        await seat.press("escape", "question_mark")
        await seat.sees("f7 ctrl+t          define a storage")
        await seat.press("escape", "ctrl+t")
        await seat.sees("kind")
        await seat.press("escape")


async def test_sentences_name_the_keys_that_do_it_now(world: World, tmp_path: Path) -> None:
    """At 3 in the morning nobody looks up that the key in the sentence was given to something else."""
    given = {
        "source.new": "f6", "source.backup": "f7", "storage.new": "f8", "host.new": "f9", "text.search": "f10", "tab.storage": "S",
        "list.sort": "f11", "drawer.jobs": "J", "restore.running": "f12", "point.running": "f12", "app.quit": "Q", "view.freeze": "Z",
    }  # fmt: skip
    await world.add_files("tree", tmp_path)
    preferences = Preferences("home", keys={action: (key,) for action, key in given.items()})
    async with open_console(world.engine, preferences=preferences) as seat:
        await seat.sees("S Storage", "f7 backup")
        await seat.press("V")
        await seat.sees("tree was never backed up: f7 does", "J jobs")
        await seat.press("escape")
        await seat.sees("this is the outermost view: Q leaves the console")
        await seat.press("Z")
        await seat.sees("nothing is read anew until Z is pressed again")
        await seat.press("Z", "S")
        await seat.sees("there is no storage yet: f8 defines one")
        await seat.press("H")
        await seat.sees("t logs in")
        await seat.press("3", "enter")
        await seat.sees("there is no backup of it yet: f7 in the backups takes one")


async def test_each_place_is_reached_and_what_it_copies_is_understood_by_the_command_line(
    seat: Seat, world: World, tmp_path: Path
) -> None:
    """A line that is pasted at a shell and refused there is worse than none."""
    engine = world.engine
    await engine.set_secret("token", Secret("json://127.0.0.1:9/x"))
    await engine.add_host(Host("web", "ssh", "backup@web.invalid"))
    await engine.add_schedule(
        Schedule("nightly", rhythm="daily at 02:00", sources=("tree",), options={"keep_daily": 3})
    )
    await engine.add_plan(
        Plan("all", (PlanStep("tree", RestoreRequest("", to=str(tmp_path / "it's back"))),))
    )
    await engine.add_destination(Destination("ops", "apprise", "vault:token"))
    console = seat.app
    names = {noun: [each.name for each in found] for noun, found in (await going.names(console)).items()}
    assert set(names) == set(NOUNS)
    reached: dict[str, Place] = {}
    for place, about in PLACES.items():
        if "" in about.here_alone or place in ("running", "log"):
            continue
        wanted = names[about.noun][-1:] if about.noun else []
        found = await going.reach(console, place, wanted)
        reached[place] = found
        assert place == found.PLACE
        _require_understood(found)
        await seat.pilot.pause()
        assert found.is_attached, place
    assert len(reached) >= 17
    point = cast("PointView", await going.reach(console, "point", ["tree"]))
    for target in Target:
        point.target = target
        _require_understood(point)
    await point.do_point_files()
    await point.do_point_pick()
    await seat.sees("no mark: t takes all of it", "> tmp/")
    _require_understood(console.main.pane.view)
    pane = await console.main.go("backups")
    await pane.push(FoundView("it's *.conf", "tree"))
    _require_understood(pane.view)
    await seat.press("0")
    await seat.sees("> backups ")
    _require_understood(pane.view)


def _require_understood(place: Place) -> None:
    """Its copyables: the last is the command line, and it parses."""
    offered = list(place.copyables())
    if not offered:
        return
    assert offered[-1][0] == "command", (place, offered)
    for label, text in offered:
        words = shlex.split(text)
        if words[:1] == ["holdfast"]:
            found = dispatch.take_apart(words[1:])
            dispatch.build_parser(found.verb, dispatch.load(found.verb)).parse_args(found.options)
        assert "" not in (label, text)
