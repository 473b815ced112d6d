"""Tab 3: what is brought back beside, in place, and into folders, and undone again, by keys, through a real worker."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from engine.model.job import QueueRule
from engine.model.requests import RestoreRequest
from engine.model.secret import Secret
from engine.service import Engine
from tests.jobs.world import World
from tests.tui.brought_back import make_database, over, rows_of
from tests.tui.brought_back import shop as shop
from tests.tui.brought_back import storage as storage
from tests.tui.brought_back import tree as tree
from tests.tui.seat import Seat

pytestmark = pytest.mark.slow


async def test_a_database_is_brought_back_beside_what_is_live(shop: Path, world: World, seat: Seat) -> None:
    """Picked in a tree, planned by a worker, asked for; nothing that is there changes."""
    before = shop.read_bytes()
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("enter")
    await seat.sees("TARGET>(d)")
    await seat.press("p")
    await seat.sees("choose beside, live or files first")
    await seat.press("s", "p")
    await seat.sees("2 tables", "no mark")
    await seat.press("enter")
    await seat.sees("1 mark:")
    await seat.press("t")
    await seat.sees("only: shop.db")
    await seat.press("enter")
    await seat.sees("Restore shop beside")
    await seat.paste("shop_again")
    await seat.press("ctrl+s")
    await seat.sees("Restore shop to", "would restore")
    await seat.press("enter")
    await seat.answer("y")
    await seat.sees("restore of shop", "completed: restored")
    assert shop.read_bytes() == before
    (job,) = [each for each in await world.engine.jobs(verb="restore") if not each.request["is_dry_run"]]
    made = Path(job.result["databases"][0]["into"])
    assert rows_of(made if made.is_absolute() else shop.parent / made) == 3


async def _discard_at_the_guard(engine: Engine, seat: Seat) -> None:
    """A wrong passphrase is a sentence, and nothing goes; the right one lets it pass."""
    await engine.set_guard(Secret("correct horse"))
    await seat.press("X")
    await seat.sees("LET GO WHAT WAS LIVE", "is dropped")
    await seat.type_name("shop")
    await seat.sees("passphrase of the guard")
    await seat.paste("wrong horse")
    await seat.press("enter")
    await seat.sees("is guarded, and that is not the passphrase")
    await seat.press("escape", "X")
    await seat.sees("LET GO WHAT WAS LIVE")
    await seat.type_name("shop")
    await seat.sees("passphrase of the guard")
    await seat.paste("correct horse")
    await seat.press("enter")


async def test_a_live_restore_needs_the_name_and_is_rolled_back_and_discarded(
    shop: Path, world: World, seat: Seat
) -> None:
    """Plan first, then the name; afterwards both ways out have their keys."""
    make_database(shop, 5)
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("enter", "l", "enter")
    await seat.sees("REPLACE WHAT IS LIVE of shop", "would be kept", "It can be rolled back")
    await seat.type_name("tree")
    await seat.sees("that is not shop")
    assert rows_of(shop) == 5
    await seat.type_name("shop")
    await seat.sees("completed: restored", "u rolls it back")
    assert rows_of(shop) == 3
    await seat.press("u")
    await seat.sees("BRING BACK WHAT WAS LIVE")
    await seat.type_name("shop")
    await seat.sees("brought back")
    assert rows_of(shop) == 5
    await seat.press("escape", "escape")
    await seat.sees("TARGET")
    await seat.press("enter")
    await seat.sees("REPLACE WHAT IS LIVE")
    await seat.type_name("shop")
    await seat.sees("completed: restored")
    await seat.press("escape", "escape")
    await seat.sees("RECOVERABLE TO")
    await seat.press("u")
    await seat.sees("Restores that can be undone", "shop")
    await seat.press("enter")
    await seat.sees("u rolls it back")
    await _discard_at_the_guard(world.engine, seat)
    await seat.sees("removed what was put aside")
    assert rows_of(shop) == 3
    assert await world.engine.undoable_restores() == []


async def test_files_go_to_a_folder_that_was_dropped_into_the_terminal(
    tree: Path, world: World, seat: Seat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the newest by one key and a folder; an archive by one key."""
    monkeypatch.chdir(tmp_path)
    await seat.press("3")
    await seat.sees("tree")
    await seat.press("r")
    await seat.sees("restore tree into folder")
    await seat.press("ctrl+u")
    await seat.paste(f"file://{tmp_path}/all%20of%20it")
    await seat.press("enter")
    await seat.sees("completed: restored 2 files")
    there = tmp_path / "all of it" / str(tree).lstrip("/")
    assert (there / "sub" / "second [2]").read_text() == "two"
    await seat.press("enter")
    await seat.sees("restore: completed")
    await seat.press("escape", "q", "o")
    await seat.sees("downloaded, ")
    assert len(list(tmp_path.glob("tree-*.tar.zst"))) == 1


async def test_one_file_is_picked_in_the_tree_planned_and_brought_back(
    tree: Path, seat: Seat, tmp_path: Path
) -> None:
    """Marks stay while one goes through folders; a dry run changes nothing."""
    await seat.press("3")
    await seat.sees("tree")
    await seat.press("enter")
    await seat.sees("TARGET>(d)")
    await seat.press("s")
    await seat.sees("files have no name to lie beside")
    await seat.press("f", "p")
    await seat.sees("no mark")
    folder = ""
    for part in (*tree.parts[1:], "sub"):
        folder = f"{folder}/{part}"
        await seat.press("enter")
        await seat.sees(f"{folder[-20:]}   ")
    await seat.press("space", "backspace")
    await seat.sees("sub/", "1 marked", "1 mark:")
    await seat.press("t")
    await seat.sees("only:")
    await seat.press("e")
    await seat.sees("Restore tree into a folder")
    await seat.paste(str(tmp_path / "one"))
    await seat.press("ctrl+s")
    await seat.sees("room:", "writes to: this machine alone")
    await seat.press("n")
    await seat.sees("would restore 1 file,")
    await seat.press("escape")
    assert not (tmp_path / "one").exists()
    await seat.press("enter")
    await seat.sees("Restore tree to", "would restore 1 file,")
    await seat.answer("y")
    await seat.sees("completed: restored 1 file,")
    below = tmp_path / "one" / str(tree).lstrip("/")
    assert [each.name for each in below.rglob("*") if each.is_file()] == ["second [2]"]


async def test_a_restore_that_waits_is_found_and_ended_by_keys(
    tree: Path, world: World, seat: Seat, tmp_path: Path
) -> None:
    """`J` finds it, `x` asks and ends it; what it would have written is not there."""
    later = QueueRule(not_before=world.engine.now() + datetime.timedelta(hours=1))
    await world.engine.enqueue("restore", RestoreRequest("latest:tree", str(tmp_path / "never")), rule=later)
    await seat.press("3")
    await seat.sees("> restore of tree  queued")
    await seat.press("J")
    await seat.sees("waits for its turn for")
    await seat.press("escape", "enter")
    await seat.sees("waits for its turn for")
    await seat.press("escape", "J", "x")
    await seat.sees("End this restore?")
    await seat.press("enter")
    await seat.answer("y")
    await seat.sees("cancelled")
    assert await over(world.engine, "restore") == "cancelled"
    await seat.press("q", "E")
    await seat.sees("no drill has left evidence yet")
    assert not (tmp_path / "never").exists()


async def test_the_targets_are_gone_through_by_arrows_and_all_of_a_point_comes_here(
    tree: Path, seat: Seat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the source has not are passed over; marks can be taken away again."""
    monkeypatch.chdir(tmp_path)
    await seat.press("3")
    await seat.sees("tree")
    await seat.press("enter", "down")
    await seat.sees(">(l) live")
    await seat.press("up", "x")
    await seat.sees(">(x) export", "holdfast download")
    await seat.press("enter")
    await seat.sees("--format")
    await seat.press("ctrl+s")
    await seat.sees("downloaded, ")
    assert len(list(tmp_path.glob("tree-*.tar.zst"))) == 1
    await seat.press("d", "f", "G", "p")
    await seat.sees("no mark")
    await seat.press("space")
    await seat.sees("1 mark:")
    await seat.press("A")
    await seat.sees("no mark")
    await seat.press("t", "r")
    await seat.sees("restore tree into folder")
    await seat.press("ctrl+u")
    await seat.paste(str(tree / "first"))
    await seat.press("enter")
    await seat.sees("is a file")
    await seat.press("escape", "r", "ctrl+u")
    await seat.paste(str(tmp_path / "here"))
    await seat.press("enter")
    await seat.sees("completed: restored 2 files")
    assert (tmp_path / "here" / str(tree).lstrip("/") / "first").read_text() == "one"
