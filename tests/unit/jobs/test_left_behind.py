"""A job whose process is gone is found, whatever became of the process; one whose process lives is let alone."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, SlotLimits
from engine.jobs.left_behind import KILLED, RESTARTED, UNHEARD, SilentJobs, death_of, end_dead_jobs
from engine.model.job import JobStatus, QueueRule
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock

HERE = ProcessIdentity.current()
DEAD = dataclasses.replace(HERE, started=HERE.started - 1)
OTHER_CONTAINER = dataclasses.replace(HERE, boot=HERE.boot.partition("+")[0] + "+1")
BEFORE_RESTART = dataclasses.replace(HERE, boot="00000000-0000-0000-0000-000000000000+1")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Catalog, FakeClock]]:
    """An empty catalog and its clock."""
    clock = FakeClock()
    async with Catalog.open(tmp_path / "catalog.db", clock) as catalog:
        yield catalog, clock


async def _claimed(catalog: Catalog, job_id: str, owner: ProcessIdentity, most_attempts: int = 1) -> None:
    await catalog.jobs.create(NewJob(job_id, "backup", {}, rule=QueueRule(most_attempts=most_attempts)))
    assert await catalog.jobs.claim(owner, SlotLimits())


@pytest.mark.parametrize(
    ("owner", "reason"),
    [(HERE, ""), (DEAD, KILLED), (BEFORE_RESTART, RESTARTED), (OTHER_CONTAINER, "")],
    ids=["lives", "killed", "restarted", "elsewhere"],
)
def test_a_process_is_dead_where_that_is_proved(owner: ProcessIdentity, reason: str) -> None:
    """A job that runs must never be begun a second time."""
    assert death_of(str(owner)) == reason
    assert death_of("no identity") == ""


async def test_a_killed_worker_s_job_is_queued_again_and_a_killed_person_s_is_not(
    place: tuple[Catalog, FakeClock],
) -> None:
    """Who typed the command sees that it ended; who handed it over relies on it."""
    catalog, _ = place
    await _claimed(catalog, "1a", DEAD, most_attempts=3)
    await _claimed(catalog, "1b", DEAD)
    await _claimed(catalog, "1c", HERE)
    await catalog.jobs.create(NewJob("1d", "backup", {}, owner=str(DEAD)))
    assert {job.job_id for job in await end_dead_jobs(catalog)} == {"1a", "1b", "1d"}
    ended = {job.job_id: (job.status, job.error) for job in await catalog.jobs.page()}
    assert ended == {
        "1a": (JobStatus.QUEUED, KILLED),
        "1b": (JobStatus.INTERRUPTED, KILLED),
        "1c": (JobStatus.RUNNING, ""),
        "1d": (JobStatus.INTERRUPTED, KILLED),
    }
    [line] = await catalog.jobs.log("1a")
    assert line.message.startswith(f"{KILLED}; attempt 2 of 3 follows at 2026-11-20 ")


async def test_a_clock_that_jumps_ends_no_job(place: tuple[Catalog, FakeClock]) -> None:
    """A lease that ran out proves nothing: the machine may have got the right time only now."""
    catalog, clock = place
    await _claimed(catalog, "1a", OTHER_CONTAINER, most_attempts=3)
    await _claimed(catalog, "1b", HERE)
    silent = SilentJobs(catalog, clock)
    for seconds in (365 * 86_400, -3_600):
        clock.jump(seconds)
        assert await silent.end() == []
    clock.jump(365 * 86_400)
    clock.advance(59)
    await catalog.jobs.renew("1a", OTHER_CONTAINER)
    clock.advance(59)
    assert await silent.end() == []
    clock.advance(61)
    assert [job.job_id for job in await silent.end()] == ["1a"]
    assert (await catalog.jobs.get("1a")).error == UNHEARD
    assert (await catalog.jobs.get("1b")).status is JobStatus.RUNNING
