"""Keys that are typed faster than the console follows, as they come over a slow line: many in one packet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual import events

from tests.jobs.world import World
from tests.tui.seat import Seat, open_console
from tui.typed import LONGEST_S


@pytest.fixture
async def seat(world: World, tmp_path: Path) -> AsyncIterator[Seat]:
    """At the sources."""
    await world.add_storages("main")
    await world.add_files("tree", tmp_path)
    async with open_console(world.engine) as opened:
        await opened.sees("> tree")
        yield opened


def _at_once(seat: Seat, *keys: str) -> None:
    """Nobody waits for what a key does."""
    for key in keys:
        seat.app.post_message(events.Key(key, {"slash": "/"}.get(key, key if len(key) == 1 else None)))


async def test_a_key_is_done_on_the_tab_that_the_one_before_went_to(seat: Seat) -> None:
    """On the tab that was left, the second may do something quite different."""
    _at_once(seat, "4", "E")
    await seat.sees("Recovery kit of main")


async def test_a_key_waits_for_the_rows_that_the_one_before_opened(seat: Seat, world: World) -> None:
    """Enter, and at once what is done with the newest backup: "there is no backup here" would be a lie."""
    newest = await world.one_backup("tree")
    await seat.press("ctrl+r")
    await seat.sees("taken")
    _at_once(seat, "enter", "p")
    await seat.sees(f"backup {newest.backup_id} is protected")
    assert (await world.engine.show_backup(newest.backup_id)).is_protected


async def test_a_key_behind_the_one_that_saves_a_form_is_no_letter_of_it(seat: Seat, world: World) -> None:
    """Saved, and on to the next thing."""
    _at_once(seat, "2", "H")
    await seat.sees("Hold everything")
    _at_once(seat, *"audit", "ctrl+s", "4")
    await seat.sees("[4 Storage]")
    pause = await world.engine.present_pause()
    assert pause is not None
    assert pause.reason == "audit"


async def test_letters_reach_the_question_that_the_key_before_asked(seat: Seat) -> None:
    """`m` of a filter's text would else mend something."""
    _at_once(seat, "slash", *"mouse")
    await seat.sees("no row holds mouse")


async def test_what_is_deleted_was_typed_before(seat: Seat) -> None:
    """Whoever mistypes a word and corrects it at once must not lose what came after."""
    _at_once(seat, "slash", *"mouse", "ctrl+u", *"tref", "backspace", "e")
    await seat.sees("> tree", "/tree")


async def test_a_key_behind_the_enter_that_ends_a_question_is_no_letter_of_it(seat: Seat) -> None:
    """A filter, and what is done with what it found."""
    _at_once(seat, "slash", *"tree", "enter", "4")
    await seat.sees("[4 Storage]")
    await seat.press("1")
    await seat.sees("/tree", "> tree")


async def test_a_key_after_one_that_takes_long_is_not_held_for_long(seat: Seat) -> None:
    """A storage that does not answer must not make the keyboard dead."""
    seat.app.typed.longest_s = LONGEST_S
    _at_once(seat, "4", "T", "n")
    await seat.sees("New storage")


async def test_keys_go_on_where_what_was_opened_was_left(seat: Seat) -> None:
    """In and out again, and on to the next, in one go."""
    _at_once(seat, "4", "E", "escape", "2", "question_mark", "escape", "3")
    await seat.sees("[3 Restore]")
    await seat.misses("Keys of this place")
