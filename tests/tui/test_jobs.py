"""The drawer of jobs, and the page of one."""

from __future__ import annotations

import re

import pytest

from engine.errors import RefusedError
from engine.model.job import JobStatus
from engine.model.requests import BackupRequest, CopyCatalogRequest
from tests.jobs.world import World
from tests.tui.seat import Seat, open_console
from tui.dialogs import job_page
from tui.widgets.page import Page

pytestmark = pytest.mark.slow
_TIME = r"\d\d:\d\d:\d\d "


async def test_a_failed_job_is_read_whole_and_done_again(world: World) -> None:
    """What failed in the night is looked at, mended, and done again with three keys."""
    tree = world.directory / "tree"
    tree.mkdir()
    await world.add_storages("main")
    await world.add_files("tree", tree)
    tree.rmdir()
    job = await world.engine.submit("backup", BackupRequest(("tree",)))
    async for now in world.engine.follow_job(job.job_id):
        last = now
    assert last.status is JobStatus.FAILED
    tree.mkdir()
    (tree / "file").write_text("content")
    async with open_console(world.engine) as seat:
        await seat.press("9")
        await seat.sees(job.job_id[:12], "failed")
        await seat.press("enter")
        page = await seat.sees("asked for", f"job {job.job_id}, backup", "failed")
        assert "is not there on localhost" in " ".join(page.replace("|", " ").split())
        await _require_times_by_key(seat, page)
        await seat.press("escape")
        await seat.sees("STATUS")
        await seat.press("f")
        await seat.sees("Show jobs of")
        await seat.press("slash")
        await seat.type("completed")
        await seat.press("enter", "enter")
        await seat.sees("no job ran yet")
        await seat.press("f")
        await seat.sees("Show jobs of")
        await seat.press("enter")
        await seat.sees(job.job_id[:12])
        await seat.press("r")
        await seat.sees(f"Do job {job.job_id} again?")
        await seat.answer("y")
        await seat.misses("again?")
        await seat.sees("backup again")
        (again, _) = await world.engine.jobs()
        async for now in world.engine.follow_job(again.job_id):
            last = now
    assert (last.status, last.request) == (JobStatus.COMPLETED, job.request)


async def _require_times_by_key(seat: Seat, page: str) -> None:
    """They go and come back."""
    times = re.findall(_TIME, page)
    assert times
    await seat.press("t")
    assert re.findall(_TIME, seat.text) == []
    await seat.press("t")
    assert re.findall(_TIME, seat.text) == times


async def test_a_log_that_grows_is_stayed_with_or_read_in_peace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was just read must not move away, and the newest line is one key away."""
    monkeypatch.setattr(job_page, "_PACE_S", 0.02)
    job = await world.engine.enqueue("copy_catalog", _copy())
    add = world.engine._parts.catalog.jobs.add_log_lines
    await add(job.job_id, [("person", f"line {number:02}") for number in range(60)])
    async with open_console(world.engine) as seat:
        await seat.press("9", "enter")
        await seat.sees(f"job {job.job_id}, copy_catalog", "line 59")
        await add(job.job_id, [("person", "line 60")])
        await seat.sees("line 60")
        await seat.press("f")
        await add(job.job_id, [("person", f"line {number}") for number in range(61, 99)])
        page = seat.app.screen.query_one(Page)
        while not page.lines[-1].endswith("line 98"):
            await seat.pilot.pause()
        assert "line 60" in seat.text
        assert "line 61" not in seat.text
        await seat.press("f")
        await seat.sees("line 98")


async def test_older_jobs_are_paged_through(world: World) -> None:
    """Those of last week are there too."""
    jobs = [await world.engine.enqueue("copy_catalog", _copy()) for _ in range(53)]
    async with open_console(world.engine) as seat:
        await seat.press("9")
        await seat.sees(jobs[-1].job_id[:12])
        await seat.press("o")
        await seat.sees(jobs[0].job_id[:12])
        await seat.press("O")
        await seat.sees(jobs[-1].job_id[:12])
        await seat.press("x")
        await seat.sees("Cancel job")
        await seat.answer("y")
        await seat.sees("was asked to end")
    assert (await world.engine.show_job(jobs[-1].job_id)).status is JobStatus.CANCELLED


async def test_what_may_not_be_repeated_is_refused(world: World) -> None:
    """A deletion that failed is planned anew; a job that waits is not doubled."""
    job = await world.engine.enqueue("copy_catalog", _copy())
    with pytest.raises(RefusedError, match="is not over"):
        world.engine.request_again(job)
    await world.engine.cancel_job(job.job_id)
    over = await world.engine.show_job(job.job_id)
    assert world.engine.request_again(over) == _copy()


def _copy() -> CopyCatalogRequest:
    return CopyCatalogRequest()
