"""The drawer of jobs, and the page of one."""

from __future__ import annotations

import pytest

from engine.errors import RefusedError
from engine.model.job import JobStatus
from engine.model.requests import BackupRequest, CopyCatalogRequest
from tests.jobs.world import World
from tests.tui.seat import open_console

pytestmark = pytest.mark.slow


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
        await seat.press("t", "f", "escape")
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
