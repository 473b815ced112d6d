"""What goes wrong under an open console: its catalog, a key that is held down, megabytes that are pasted, a job that ends while it is asked about."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.model.job import JobStatus
from engine.model.requests import CopyCatalogRequest
from tests.jobs.world import World
from tests.tui.homes import copy_home
from tests.tui.seat import Seat, open_console
from tests.tui.terminal import open_terminal
from tui.dialogs.base import Dialog

pytestmark = pytest.mark.slow


def _make_newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999999")


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"no database" * 1000)
    path.with_name("new").replace(path)


@pytest.mark.parametrize(
    ("spoil", "said"), [(_make_newer, "is of version 999999"), (_replace, "was removed or replaced")]
)
def test_a_catalog_that_is_another_one_ends_the_console(
    made_home: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """An update beside it, a restore of the home: what it would write from here on is lost, or does harm."""
    home = copy_home(made_home, tmp_path / "home")
    with open_terminal(home) as terminal:
        terminal.sees("> source-00", "filter")
        spoil(home / "catalog.db")
        assert terminal.wait() == 1
        assert terminal.is_restored
        shown = bytes(terminal.raw).rpartition(b"\x1b[?1049l")[2].decode()
        assert said in shown
        assert "hint: " in shown
        assert "Traceback" not in shown


def test_a_catalog_that_is_damaged_is_said_and_the_console_lives(made_home: Path, tmp_path: Path) -> None:
    """A disk that fails while somebody looks on."""
    home = copy_home(made_home, tmp_path / "home")
    with open_terminal(home) as terminal:
        terminal.sees("> source-00", "filter")
        path = home / "catalog.db"
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
        terminal.press("4")
        terminal.sees("That did not work", "is damaged", "holdfast recover")
        terminal.press("\r")
        terminal.misses("That did not work")
        terminal.press("q")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(home / "catalog.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


async def test_a_catalog_that_is_locked_for_long_is_said_and_asked_again(
    world: World, tmp_path: Path
) -> None:
    """Another program has it open: what is read is read, what would write says so, and works later."""
    await world.add_files("tree", tmp_path)
    await world.add_storages("main")
    await world.engine._parts.catalog._database._connection.execute("PRAGMA busy_timeout = 20")
    async with open_console(world.engine) as seat:
        await seat.sees("> tree")
        with _locked(world.engine.home.directory):
            await seat.press("b")
            await seat.sees("That did not work", "another program has it open")
            await seat.press("enter", "4")
            await seat.sees("> main")
        await seat.press("1", "p")
        await seat.misses("is locked")
        job = await world.engine.enqueue("copy_catalog", CopyCatalogRequest())
        await seat.press("9")
        await seat.sees(job.job_id[:12])


async def test_enter_held_down_answers_no_question(world: World, tmp_path: Path) -> None:
    """Somebody put a book on the keyboard: what costs waits for y, what destroys for its name, a form for one Enter that is meant."""
    await world.add_files("tree", tmp_path)
    job = await world.engine.enqueue("copy_catalog", CopyCatalogRequest())
    async with open_console(world.engine) as seat:
        await seat.sees("> tree")
        await seat.press("X")
        await seat.sees("Type tree and press enter")
        await _hold_enter(seat)
        await seat.press("escape", "9")
        await seat.sees(job.job_id[:12])
        await seat.press("x")
        await seat.sees("Cancel job")
        await _hold_enter(seat)
        await seat.press("escape", "9", "e")
        await seat.sees("ctrl+s")
        await _hold_enter(seat)
        await seat.sees("enter once more, or ctrl+s, saves")
        await seat.press("escape")
    assert [each.name for each in await world.engine.sources()] == ["tree"]
    assert (await world.engine.show_job(job.job_id)).status is JobStatus.QUEUED


async def _hold_enter(seat: Seat) -> None:
    seat.hear()
    dialog = seat.app.screen
    assert isinstance(dialog, Dialog)
    for _ in range(60):
        seat.app.simulate_key("enter")
    await seat.pilot.pause()
    assert seat.app.screen is dialog


async def test_megabytes_that_are_pasted_are_borne_by_a_filter_and_by_a_field(
    world: World, tmp_path: Path
) -> None:
    """A clipboard that held something else."""
    await world.add_files("tree", tmp_path)
    async with open_console(world.engine) as seat:
        await seat.sees("> tree")
        await seat.press("slash")
        await seat.paste("x\x1b[31m\n" * 300_000)
        await seat.sees("no row holds")
        await seat.press("escape")
        await seat.sees("> tree")
        await seat.press("e")
        await seat.sees("ctrl+s")
        await seat.paste("x" * 2_000_000)
        await seat.sees("only the first 100 lines")
        await seat.press("escape")
        await seat.misses("ctrl+s")
    assert (await world.engine.show_source("tree")).options["path"] == [str(tmp_path)]


async def test_a_job_that_ends_while_it_is_asked_about_is_said(world: World) -> None:
    """Its page, and the question whether it is to end, stand open."""
    one, other = [await world.engine.enqueue("copy_catalog", CopyCatalogRequest()) for _ in range(2)]
    async with open_console(world.engine) as seat:
        await seat.press("9")
        await seat.sees(other.job_id[:12])
        await seat.press("x")
        await seat.sees(f"Cancel job {other.job_id}")
        await world.engine.cancel_job(other.job_id)
        await seat.answer("y")
        await seat.misses("Cancel job")
        await seat.sees("is over")
        await seat.press("j", "enter")
        await seat.sees(f"job {one.job_id}")
        await world.engine.cancel_job(one.job_id)
        await seat.sees("cancelled")
        await seat.press("escape")
        await seat.misses("asked for")
