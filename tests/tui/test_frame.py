"""The frame round all panes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.world import World
from tests.tui.seat import Seat, open_console
from tui import app


async def test_an_empty_home_says_the_way_to_the_first_source(seat: Seat) -> None:
    """Who starts it for the first time must know the next key."""
    assert "there is no source yet" in await seat.sees("no source")


async def test_help_lists_the_keys_of_this_place_and_does_what_is_chosen(seat: Seat) -> None:
    """A key that was forgotten is found where it is needed."""
    await seat.press("question_mark")
    await seat.sees("Keys of this place", "-- this view: backups --", "back up now (there is no source yet)")
    await seat.press("enter")
    await seat.sees("off: nothing is wrong here")
    await seat.press("G")
    await seat.sees("id config.apply    at a shell: holdfast config apply")
    await seat.press("slash")
    await seat.type("schedules")
    await seat.press("enter")
    await seat.press("enter")
    await seat.sees("[2 Schedules]")
    await seat.press("question_mark")
    await seat.sees("-- this view: schedules --", ": finds all others")
    await seat.press("colon")
    await seat.sees("Commands")


async def test_an_action_that_makes_no_sense_says_why(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that does nothing in silence looks broken; what was told long ago goes with the next thing that is done."""
    await seat.press("b")
    await seat.sees("there is no source yet  ")
    await seat.press("2")
    await seat.sees("[2 Schedules]", "there is no source yet  ")
    monkeypatch.setattr(app, "_MESSAGE_S", 0.0)
    await seat.press("4")
    await seat.misses("there is no source yet  ")


async def test_a_window_that_was_small_says_all_again_when_it_is_large(world: World, tmp_path: Path) -> None:
    """A phone is turned, a pane of tmux is given room: where one is, and what the next key may be."""
    await world.add_files("tree", tmp_path)
    async with open_console(world.engine, size=(20, 5)) as seat:
        await seat.sees("! tree")
        assert "home > backups" not in seat.text
        await seat.pilot.resize_terminal(80, 24)
        await seat.sees("home > backups", "1 at risk", "enter open", "? help")


async def test_a_backup_by_one_key_is_done_by_a_real_worker(world: World, tmp_path: Path) -> None:
    """The console itself runs no job: whoever closes it loses nothing."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_storages("main")
    await world.add_files("tree", tmp_path / "tree")
    async with open_console(world.engine) as seat:
        await seat.sees("never backed up")
        await seat.press("b")
        await seat.sees("backing up tree")
        (job,) = await world.engine.jobs(verb="backup")
        async for _ in world.engine.follow_job(job.job_id):
            pass
        await seat.sees("today")
    assert (await world.engine.latest_backup("tree")).status == "completed"


async def test_a_console_that_is_read_only_changes_nothing(world: World, tmp_path: Path) -> None:
    """A screen on the wall, or a guest."""
    await world.add_files("tree", tmp_path)
    async with open_console(world.engine, is_read_only=True) as seat:
        await seat.sees("tree")
        await seat.press("b")
        await seat.sees("this console is read-only")
    assert await world.engine.jobs() == []


async def test_keys_that_come_in_one_burst_go_where_the_first_of_them_leads(
    world: World, tmp_path: Path
) -> None:
    """`/b` over a slow line is a filter, and no filter and a backup."""
    await world.add_files("tree", tmp_path)
    await world.add_files("bush", tmp_path)
    async with open_console(world.engine) as seat:
        await seat.sees("> bush")
        await seat.type("/bush")
        await seat.press("enter")
        await seat.sees("/bush")
        await seat.misses("  tree")
        await seat.type("Sjjx/j")
        await seat.sees("Sort by", "> ")
        await seat.press("escape", "escape")
        await seat.type("//:")
        await seat.sees("/:")
    assert await world.engine.jobs() == []
