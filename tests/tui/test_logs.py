"""`L`: the log of the last job of whatever stands under the cursor; and an alert with its evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import HoldfastError
from engine.model.requests import BackupRequest, DrillRequest
from tests.jobs.world import World
from tests.tui.brought_back import over
from tests.tui.brought_back import shop as shop
from tests.tui.brought_back import storage as storage
from tests.tui.seat import Seat

pytestmark = pytest.mark.slow


async def test_the_log_of_the_last_job_is_one_key_away_wherever_there_is_one(
    shop: Path, world: World, seat: Seat
) -> None:
    """Of a source, a host, a storage, a restore's last drill, a piece of evidence."""
    await seat.sees("> shop")
    await seat.press("L")
    await seat.sees("backup: completed")
    await seat.press("escape")
    drill = await world.engine.drill(DrillRequest("shop"))
    log = f"job {drill.job_id}, drill: completed"
    for key, seen in (("", "> shop"), ("H", "localhost"), ("3", "PASS"), ("E", "passed")):
        if key:
            await seat.press(key)
        await seat.sees(seen)
        await seat.press("L")
        await seat.sees(log)
        await seat.press("escape")
        await seat.misses(log)
    await seat.press("4")
    await seat.sees("lost main?")
    await seat.press("L")
    await seat.sees("backup: completed")


async def test_an_alert_says_on_what_evidence_and_is_mended_where_it_stands(
    storage: None, world: World, seat: Seat, tmp_path: Path
) -> None:
    """From the attention row, before an evaluation and after it, to the page, and to the key that mends it."""
    await world.add_files("tree", tmp_path / "tree")
    with pytest.raises(HoldfastError):
        await world.engine.backup(BackupRequest(("tree",)))
    (job,) = await world.engine.jobs(verb="backup")
    await seat.press("ctrl+r")
    await seat.sees("! tree")
    await seat.press("0", "A")
    await seat.sees("no alert stands for it", f"job {job.job_id}, backup: failed", "m: back up")
    await seat.press("escape", "ctrl+e", "E")
    await seat.sees("source tree", "failed")
    await seat.press("escape", "0", "A")
    await seat.sees("source tree", "! at risk")
    await seat.press("enter")
    await seat.sees(
        "what        failed of source tree: a risk", "since", job.job_id, "holdfast backup tree", "nobody"
    )
    await seat.press("escape", "L")
    await seat.sees(f"job {job.job_id}, backup: failed")
    await seat.press("escape")
    (tmp_path / "tree").mkdir()
    await seat.press("m")
    await seat.sees("backing up tree")
    assert await over(world.engine, "backup") == "completed"
