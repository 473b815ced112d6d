"""A job is queued once, run by one process, and ends once."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import LOG_LINES, NewJob, Outcome, SlotLimits
from engine.errors import UnknownNameError, UsageError
from engine.model.job import Job, JobStatus
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock

OURS = ProcessIdentity("here", "boot+1", 1, 1)
THEIRS = ProcessIdentity("here", "boot+1", 2, 2)
ONE = SlotLimits()


async def _create(catalog: Catalog, job_id: str, *slots: str, key: str = "") -> Job:
    job, _ = await catalog.jobs.create(NewJob(job_id, "backup", {"sources": ["db"]}, slots, key))
    return job


async def _claimed(catalog: Catalog, owner: ProcessIdentity, limits: SlotLimits = ONE) -> str:
    job = await catalog.jobs.claim(owner, limits)
    return job.job_id if job else ""


async def test_the_same_key_twice_is_one_job(catalog: Catalog) -> None:
    """A script that is not sure whether its call got through calls again."""
    first, is_new = await catalog.jobs.create(NewJob("1a", "backup", {"n": 1}, (), "nightly"))
    again, is_new_again = await catalog.jobs.create(NewJob("1b", "backup", {"n": 2}, (), "nightly"))
    assert (again, is_new, is_new_again) == (first, True, False)
    with pytest.raises(UsageError, match="'nightly' was used for backup job 1a"):
        await catalog.jobs.create(NewJob("1c", "prune", {}, (), "nightly"))


async def test_jobs_without_a_key_are_each_their_own(catalog: Catalog) -> None:
    """Two backups by hand are two."""
    assert (await _create(catalog, "1a")) != (await _create(catalog, "1b"))


async def test_the_oldest_is_claimed_first_and_once(catalog: Catalog, clock: FakeClock) -> None:
    """Two workers must never run one job."""
    for job_id in ("3a", "2a", "1a"):
        await _create(catalog, job_id)
        clock.advance(1)
    claimed = [await _claimed(catalog, owner) for owner in (OURS, THEIRS, OURS, THEIRS)]
    assert claimed == ["3a", "2a", "1a", ""]


async def test_a_full_host_lets_the_next_job_pass(catalog: Catalog, clock: FakeClock) -> None:
    """A busy host must not hold up all others."""
    for job_id, slots in (("1a", ["host:x"]), ("1b", ["host:x"]), ("1c", ["host:y", "storage:s"])):
        await _create(catalog, job_id, *slots)
        clock.advance(1)
    limits = SlotLimits(default=1, each={"storage:s": 4})
    assert [await _claimed(catalog, OURS, limits) for _ in range(3)] == ["1a", "1c", ""]
    assert await catalog.jobs.finish("1a", OURS, Outcome(JobStatus.COMPLETED))
    assert await _claimed(catalog, OURS, limits) == "1b"


async def test_a_limit_of_more_than_one_is_kept(catalog: Catalog) -> None:
    """A storage takes as many jobs as it was given places for."""
    for number in range(4):
        await _create(catalog, f"1{number}", "storage:s")
    limits = SlotLimits(default=1, each={"storage:s": 3})
    assert [await _claimed(catalog, OURS, limits) for _ in range(4)] == ["10", "11", "12", ""]


async def test_slots_of_a_lapsed_lease_are_free(catalog: Catalog, clock: FakeClock) -> None:
    """A worker that died must not keep a host closed for ever."""
    await _create(catalog, "1a", "host:x")
    await _create(catalog, "1b", "host:x")
    await _claimed(catalog, OURS)
    clock.advance(61)
    assert await _claimed(catalog, THEIRS) == "1b"


async def test_one_job_is_claimed_by_its_id(catalog: Catalog) -> None:
    """A foreground verb runs its own job and no other."""
    await _create(catalog, "1a")
    await _create(catalog, "1b", "host:x")
    job = await catalog.jobs.claim(OURS, ONE, job_id="1b")
    assert job is not None
    assert (job.job_id, job.status, job.owner) == ("1b", JobStatus.RUNNING, str(OURS))


async def test_a_renewed_lease_does_not_lapse(catalog: Catalog, clock: FakeClock) -> None:
    """A backup of two days is no dead backup."""
    await _create(catalog, "1a", "host:x")
    await _claimed(catalog, OURS)
    clock.advance(50)
    assert await catalog.jobs.renew("1a", OURS) == "held"
    clock.advance(50)
    assert await catalog.jobs.find_lapsed() == []
    clock.advance(11)
    assert [job.job_id for job in await catalog.jobs.find_lapsed()] == ["1a"]


async def test_an_interrupted_job_is_lost_to_its_former_holder(catalog: Catalog, clock: FakeClock) -> None:
    """A process that was stopped and wakes up must notice that its job was given up."""
    await _create(catalog, "1a", "host:x")
    await _claimed(catalog, OURS)
    clock.advance(61)
    [job] = await catalog.jobs.find_lapsed()
    assert await catalog.jobs.interrupt(job, "its process died")
    assert await catalog.jobs.renew("1a", OURS) == "lost"
    assert not await catalog.jobs.finish("1a", OURS, Outcome(JobStatus.COMPLETED))
    ended = await catalog.jobs.get("1a")
    assert (ended.status, ended.error, ended.lease_until) == (JobStatus.INTERRUPTED, "its process died", None)


async def test_a_lease_renewed_in_between_is_not_interrupted(catalog: Catalog, clock: FakeClock) -> None:
    """Between looking and judging, the holder may have woken up."""
    await _create(catalog, "1a")
    await _claimed(catalog, OURS)
    clock.advance(61)
    [job] = await catalog.jobs.find_lapsed()
    await catalog.jobs.renew("1a", OURS)
    assert not await catalog.jobs.interrupt(job, "its process died")


async def test_a_queued_job_is_cancelled_at_once(catalog: Catalog) -> None:
    """What has not begun needs nobody to end it."""
    await _create(catalog, "1a", "host:x")
    assert await catalog.jobs.request_cancel("1a")
    assert (await catalog.jobs.get("1a")).status is JobStatus.CANCELLED
    assert await _claimed(catalog, OURS) == ""
    assert not await catalog.jobs.request_cancel("1a")
    with pytest.raises(UnknownNameError, match="there is no job 9z"):
        await catalog.jobs.request_cancel("9z")


async def test_a_running_job_hears_of_its_cancellation(catalog: Catalog) -> None:
    """Cancelled from anywhere: by whoever, on whatever terminal."""
    await _create(catalog, "1a")
    await _claimed(catalog, OURS)
    await catalog.jobs.request_cancel("1a")
    assert await catalog.jobs.renew("1a", OURS) == "cancelled"
    assert await catalog.jobs.set_progress("1a", OURS, {"done_bytes": 1})


async def test_progress_and_outcome_are_kept(catalog: Catalog, clock: FakeClock) -> None:
    """Whoever asks later sees what happened."""
    await _create(catalog, "1a")
    await _claimed(catalog, OURS)
    assert not await catalog.jobs.set_progress("1a", OURS, {"done_bytes": 5})
    clock.advance(5)
    outcome = Outcome(JobStatus.FAILED, {"backups": []}, "the host cannot be reached", "HostUnreachableError")
    assert await catalog.jobs.finish("1a", OURS, outcome)
    job = await catalog.jobs.get("1a")
    assert (job.progress, job.result, job.error, job.error_class) == (
        {"done_bytes": 5},
        {"backups": []},
        "the host cannot be reached",
        "HostUnreachableError",
    )
    assert job.completed_at == clock.now()


async def test_only_its_owner_ends_a_job(catalog: Catalog) -> None:
    """Two processes that both think a job theirs must not both say how it ended."""
    await _create(catalog, "1a")
    await _claimed(catalog, OURS)
    assert not await catalog.jobs.finish("1a", THEIRS, Outcome(JobStatus.COMPLETED))
    assert not await catalog.jobs.set_progress("1a", THEIRS, {"n": 1})
    assert (await catalog.jobs.get("1a")).status is JobStatus.RUNNING


async def test_jobs_are_listed_in_pages_newest_first(catalog: Catalog) -> None:
    """A year of jobs is looked at page by page."""
    for number in range(5):
        await _create(catalog, f"1{number}")
    await _claimed(catalog, OURS)
    page = await catalog.jobs.page(limit=3)
    rest = await catalog.jobs.page(limit=3, before=page[-1])
    assert [job.job_id for job in page + rest] == ["14", "13", "12", "11", "10"]
    assert [job.job_id for job in await catalog.jobs.page(status=JobStatus.RUNNING)] == ["10"]
    assert await catalog.jobs.page(verb="prune") == []


async def test_a_job_is_found_by_the_beginning_of_its_id(catalog: Catalog) -> None:
    """Nobody types sixteen letters."""
    await _create(catalog, "1abc")
    await _create(catalog, "1abd")
    assert (await catalog.jobs.find("1abd")).job_id == "1abd"
    for text, message in (("1ab", "several jobs begin with 1ab"), ("x", "'x' is no id of a job")):
        with pytest.raises(UsageError, match=message):
            await catalog.jobs.find(text)


async def test_the_log_keeps_the_newest_lines(catalog: Catalog) -> None:
    """A tool that says one thing a million times must not fill the catalog."""
    await _create(catalog, "1a")
    async with catalog._database.transaction() as transaction:
        for number in range(LOG_LINES):
            await transaction.fetch_one(
                "add_log_line", job_id="1a", at=0, level="expert", message=str(number)
            )
    await catalog.jobs.add_log("1a", "person", "name b'\udcff'")
    lines = await catalog.jobs.log("1a")
    assert (len(lines), lines[0].message, lines[-1].message) == (LOG_LINES, "1", "name b'\\udcff'")
    assert [line.number for line in await catalog.jobs.log("1a", after=lines[-2].number)] == [LOG_LINES + 1]


async def test_old_jobs_go_with_their_logs(catalog: Catalog, clock: FakeClock) -> None:
    """A catalog that only grows becomes slow."""
    await _create(catalog, "1a", "host:x")
    await _create(catalog, "1b")
    await _claimed(catalog, OURS)
    await catalog.jobs.add_log("1a", "person", "began")
    await catalog.jobs.finish("1a", OURS, Outcome(JobStatus.COMPLETED))
    assert await catalog.jobs.remove_older(clock.now() + datetime.timedelta(seconds=1)) == 1
    assert [job.job_id for job in await catalog.jobs.page()] == ["1b"]
    assert await catalog.jobs.log("1a") == []


async def test_claims_at_once_never_exceed_a_limit(catalog: Catalog) -> None:
    """A host that is asked for too much becomes slow for those who work on it."""
    for number in range(8):
        await _create(catalog, f"1{number}", "host:x")
    async with asyncio.TaskGroup() as group:
        claims = [
            group.create_task(catalog.jobs.claim(ProcessIdentity("h", "b+1", pid, 1), SlotLimits(3)))
            for pid in range(1, 9)
        ]
    assert sum(claim.result() is not None for claim in claims) == 3


async def test_a_worker_is_alive_while_its_lease_is_and_it_is_not_proved_dead(
    catalog: Catalog, clock: FakeClock
) -> None:
    """Where none is alive, a job starts one of its own."""
    here = ProcessIdentity.current()
    dead = ProcessIdentity(here.host, here.boot, here.pid, here.started - 1)
    afar = ProcessIdentity("elsewhere", "boot+1", 1, 1)
    for owner in (here, dead, afar):
        await catalog.workers.renew(owner, "0.1.0")
    assert {worker.owner for worker in await catalog.workers.alive()} == {str(here), str(afar)}
    clock.advance(61)
    await catalog.workers.renew(here, "0.1.0")
    [worker] = await catalog.workers.alive()
    assert (worker.owner, worker.version, worker.lease_until - worker.started_at) == (
        str(here),
        "0.1.0",
        datetime.timedelta(seconds=121),
    )
    await catalog.workers.remove(str(here))
    assert await catalog.workers.alive() == []
