"""Wide terminals: what is chosen stands beside its list, and the log of what ran beside both; a narrow one reads and shows neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.schedules import Action, Schedule
from tests.jobs.world import World
from tests.tui.brought_back import shop as shop
from tests.tui.brought_back import storage as storage
from tests.tui.seat import open_console
from tui.widgets.detail import Detail

pytestmark = pytest.mark.slow


async def test_what_is_chosen_stands_beside_its_list_and_the_log_beside_both(
    shop: Path, world: World
) -> None:
    """In all tabs; the log is that of the last job. Made narrow, the list has all of the screen, and what moves reads nothing more."""
    await world.add_files("other", shop.parent)
    await world.engine.add_schedule(
        Schedule("nightly", Action.BACKUP, rhythm="30 20 * * *", sources=("shop",), options={"keep_daily": 7})
    )
    async with open_console(world.engine, size=(200, 50)) as seat:
        await seat.sees("health", "log of backup shop: completed")
        await seat.press("2")
        await seat.sees("next runs", "keep-daily", "next 24 h", "log of backup shop: completed")
        await seat.press("4")
        await seat.sees("lost main?")
        assert any("STORAGE" in row and "| main  local" in row for row in seat.rows)
        await seat.press("3")
        await seat.sees("a drill of it (D)", "same as: holdfast drill shop", "never drilled")
        await seat.press("j")
        await seat.sees("it has no backup: b in the backups takes one")
        await seat.pilot.resize_terminal(80, 24)
        await seat.misses("log of backup shop")
        await seat.press("k")
        detail = seat.app.main.pane.view.query_one(Detail)
        assert not detail.display
        assert "other  files on localhost" in detail.lines
        await seat.pilot.resize_terminal(160, 50)
        await seat.sees("same as: holdfast drill shop", "log of backup shop: completed")
        assert not any("drill shop" in row and "log of" in row for row in seat.rows), "it lies below"
