"""A storage that moves, and a home that comes back from one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.requests import CopyCatalogRequest
from tests.jobs.world import World, open_world
from tests.servers.restic import PASSWORD
from tests.tui.seat import do, open_console
from tests.tui.test_wizards import put
from tui.dialogs import base, form

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits until it sees something, and for no person."""
    monkeypatch.setattr(base, "DEAF_S", 0.0)
    monkeypatch.setattr(form, "PATIENCE_S", 0.02)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose name fits on the screen."""
    with tempfile.TemporaryDirectory(prefix="hf", dir="/tmp") as made:
        yield Path(made)


async def test_a_storage_moves_with_all_that_it_holds(world: World, place: Path) -> None:
    """The disk is full, and a larger one is there."""
    (place / "file").write_text("content")
    await world.add_storages("main")
    await world.add_files("site", place / "file")
    backup = await world.one_backup("site")
    async with open_console(world.engine) as seat:
        await seat.press("4", "R")
        await seat.sees("Where does storage main move to?")
        await put(seat, "path", str(place / "larger"))
        await seat.sees("writable", f"holdfast storage move main --kind local --path {place}/larger")
        await seat.press("ctrl+s")
        await seat.sees("Storage main moved", "1 snapshot")
    assert (place / "larger" / "config").exists()
    assert (await world.engine.show_storage("main")).options["path"] == str(place / "larger")
    assert await world.restore(backup.backup_id, place / "back")


async def test_a_lost_home_comes_back_by_what_its_kit_says(world: World, place: Path) -> None:
    """The machine burned; the kit was printed."""
    (place / "file").write_text("content")
    await world.add_storages("main")
    await world.add_files("site", place / "file")
    await world.one_backup("site")
    await world.engine.copy_catalog(CopyCatalogRequest())
    async with open_world(place / "new") as new, open_console(new.engine, is_guiding=True) as seat:
        await seat.sees("Welcome to holdfast")
        await seat.press("ctrl+r")
        await seat.sees("Bring a lost home back")
        await seat.press("escape")
        await seat.misses("Bring a lost home back")
        await do(seat, "bring a lost home back")
        await seat.sees("Bring a lost home back")
        await put(seat, "path", str(place))
        await put(seat, "password", PASSWORD)
        await seat.sees("holdfast recover --storage-kind local", "--password -", "--name recovered")
        await seat.press("ctrl+s")
        await seat.sees("no repository lies there")
        await put(seat, "path", str(world.place("main")))
        await seat.press("ctrl+s")
        await seat.sees("The home is back", "1 backup found again")
        await seat.press("escape")
        await seat.sees("site")
        assert PASSWORD not in seat.text
        assert [each.name for each in await new.engine.sources()] == ["site"]
