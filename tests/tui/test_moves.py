"""What is done at every place: rows and pages moved through, marks, tabs, live updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.model.job import Change, JobStatus
from tests.jobs.world import World, open_world
from tests.tui.seat import Seat, WatchedApp, open_console
from tui.widgets.rows import RowList

pytestmark = pytest.mark.slow
SOURCES = 40


@pytest.fixture
async def many(world: World, tmp_path: Path) -> AsyncIterator[Seat]:
    """More sources than the screen has rows."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_storages("main")
    for number in range(SOURCES):
        await world.add_files(f"s{number:02}", tmp_path / "tree")
    async with open_console(world.engine) as opened:
        await opened.sees("> s00")
        yield opened


def _cursor(seat: Seat) -> str:
    """The name in the row under the cursor, as it is seen."""
    (row,) = [each for each in seat.rows if each.startswith(("> s", ">*s"))]
    return row[2:5]


async def test_rows_are_moved_through_by_halves_and_whole_pages(many: Seat) -> None:
    """Of hundreds, the one in the middle is a few keys away; no key goes beyond the ends."""
    seat = many
    seen = sum(each.startswith(("> s", "  s")) for each in seat.rows)
    half, page = seen // 2, seen - 1
    for keys, place in (
        ("ctrl+d", half),
        ("ctrl+u", 0),
        ("pagedown", page),
        ("ctrl+f", 2 * page),
        ("pageup", page),
        ("ctrl+b", 0),
        ("ctrl+u", 0),
        ("G", SOURCES - 1),
        ("ctrl+d", SOURCES - 1),
        ("ctrl+b", SOURCES - 1 - page),
        ("g", 0),
        ("j", 1),
        ("k", 0),
    ):
        await seat.press(keys)
        assert _cursor(seat) == f"s{place:02}", keys


async def test_marks_by_range_say_what_is_backed_up(many: Seat, world: World) -> None:
    """From here to there, all, none: the worker gets these and no others."""
    seat = many
    await seat.press("down", "space", "down", "down", "v")
    assert [each[2:5] for each in seat.rows if each[1:2] == "*"] == ["s01", "s02", "s03", "s04"]
    await seat.press("ctrl+backslash")
    assert [each for each in seat.rows if each[1:2] == "*"] == []
    await seat.press("g", "space", "down", "v", "b")
    await seat.sees("backing up")
    (job,) = await world.engine.jobs(verb="backup")
    async for now in world.engine.follow_job(job.job_id):
        job = now
    assert job.status is JobStatus.COMPLETED
    backups = await world.engine.backups()
    assert sorted(each.source for each in backups) == ["s00", "s01", "s02"]


async def test_all_columns_are_shown_where_they_are_asked_for(world: World, tmp_path: Path) -> None:
    """A narrow window leaves some out; `w` and then cut names are better than not to know."""
    await world.add_files("tree", tmp_path)
    async with open_console(world.engine, size=(60, 24)) as seat:
        head = next(each for each in (await seat.sees("> tree")).splitlines() if "SOURCE" in each)
        assert "KIND" not in head
        await seat.press("w")
        await seat.sees("KIND")
        await seat.press("w")
        await seat.misses("KIND")


async def test_rows_are_whole_from_the_first_picture_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list on a busy machine is drawn before it is told its size: a choice that reads `all of its data, an…` is no choice."""
    monkeypatch.setattr(RowList, "on_resize", lambda *_told: None)
    await world.add_storages("main")
    async with open_console(world.engine) as seat:
        await seat.press("4", "c")
        await seat.sees("all of its data, and make anew what is damaged, from other storages")


async def test_tabs_are_gone_to_by_their_digits_and_their_neighbours(seat: Seat) -> None:
    """From anywhere, with one key, and round the ends."""
    tabs = ("Backups", "Schedules", "Restore", "Storage")
    for key, place in (("2", 2), ("3", 3), ("4", 4), ("1", 1)):
        await seat.press(key)
        await seat.sees(f"> {tabs[place - 1].lower()}", f"[{place} {tabs[place - 1]}]")
    for key, place in (("]", 2), ("]", 3), ("]", 4), ("]", 1), ("[", 4), ("[", 3)):
        await seat.press({"]": "right_square_bracket", "[": "left_square_bracket"}[key])
        await seat.sees(f"[{place} {tabs[place - 1]}]")


async def test_a_page_is_moved_through_searched_and_cut(seat: Seat, tmp_path: Path) -> None:
    """A log of hours is read like any log: what is on top says where one is."""
    long = f"words {'and more ' * 20}end"
    lines = [*(f"line {number:03}" for number in range(100)), long]

    async def show() -> None:
        from tui.dialogs.reader import Reader

        await seat.app.ask(Reader("A page", lines))

    seat.app.run_guarded(show(), name="test")
    await seat.sees("line 000")
    height = sum("line " in each for each in seat.rows)

    def top() -> str:
        return next(each for each in seat.rows if "line " in each or "words" in each).strip("| ")

    for key, place in (
        ("j", 1), ("k", 0), ("pagedown", height - 1), ("pageup", 0), ("ctrl+d", height - 1), ("ctrl+b", 0),
    ):  # fmt: skip
        await seat.press(key)
        assert top() == f"line {place:03}", key
    await seat.press("G")
    await seat.sees("end")
    await seat.press("w")
    await seat.misses("end")
    await seat.press("w", "g")
    assert top() == "line 000"
    await seat.press("slash")
    await seat.type("line 05")
    await seat.press("enter")
    assert top() == "line 050"
    for key, place in (("n", 51), ("n", 52), ("N", 51)):
        await seat.press(key)
        assert top() == f"line {place:03}", key
    await seat.press("o")
    await seat.type(str(tmp_path / "page.txt"))
    await seat.press("enter")
    while not (tmp_path / "page.txt").exists():
        seat.drawn.clear()
        await seat.drawn.wait()
    assert (tmp_path / "page.txt").read_text() == "".join(f"{each}\n" for each in lines)


class _Following(WatchedApp):
    """Tells each time that it was told of a change."""

    told: asyncio.Event

    async def changed(self, change: Change) -> None:
        await super().changed(change)
        self.told.set()


async def test_a_frozen_screen_shows_nothing_new_until_it_goes_on(world: World, tmp_path: Path) -> None:
    """What is read aloud to somebody must not move; and it must go on for sure."""
    await world.add_files("old", tmp_path)
    told = asyncio.Event()

    def follow(*words: Any, **options: Any) -> WatchedApp:
        app = _Following(*words, **options)
        app.told = told
        return app

    async with open_console(world.engine, kind=follow) as seat, open_world(world.directory) as other:
        await seat.sees("> old")
        await other.add_files("seen", tmp_path)
        await seat.sees("seen")
        await seat.press("z")
        await seat.sees("frozen", "nothing is read anew")
        told.clear()
        await other.add_files("later", tmp_path)
        await told.wait()
        assert "later" not in seat.text
        await seat.press("ctrl+r")
        await seat.sees("read again", "later", "frozen")
        await other.add_files("after", tmp_path)
        await seat.press("z")
        await seat.sees("live again", "after")
        await other.add_files("last", tmp_path)
        await seat.sees("last")
        assert "frozen" not in seat.text
