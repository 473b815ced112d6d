"""Which job has its turn, how often it is tried, and when it is too late for it."""

from __future__ import annotations

import datetime

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import LONGEST_RETRY_S, NewJob, Outcome, SlotLimits
from engine.model.batches import batch_of, key_of, slot_of
from engine.model.job import Job, JobStatus, QueueRule
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock

OURS = ProcessIdentity("here", "boot+1", 1, 1)
THEIRS = ProcessIdentity("here", "boot+1", 2, 2)
ONE = SlotLimits()
DIED = Outcome(JobStatus.INTERRUPTED, error="it died", error_class="InterruptedJobError")


async def _create(catalog: Catalog, job_id: str, *slots: str, owner: str = "", **rule: object) -> Job:
    new = NewJob(job_id, "backup", {}, slots, owner=owner, rule=QueueRule(**rule))  # type: ignore[arg-type]
    return (await catalog.jobs.create(new))[0]


async def _claim(catalog: Catalog, owner: ProcessIdentity = OURS, limits: SlotLimits = ONE) -> Job | None:
    return await catalog.jobs.claim(owner, limits)


async def test_the_most_urgent_goes_first_and_then_the_oldest(catalog: Catalog, clock: FakeClock) -> None:
    """A backup before an update must not wait behind a night's worth of others."""
    for job_id, priority in (("1a", 0), ("1b", 5), ("1c", -3), ("1d", 5)):
        await _create(catalog, job_id, priority=priority)
        clock.advance(1)
    claimed = [await _claim(catalog) for _ in range(4)]
    assert [job.job_id for job in claimed if job] == ["1b", "1d", "1a", "1c"]


async def test_a_job_waits_for_its_instant(catalog: Catalog, clock: FakeClock) -> None:
    """Its worker sleeps until then, and needs to know until when."""
    at = clock.now() + datetime.timedelta(seconds=30)
    await _create(catalog, "1a", not_before=at)
    queue = await catalog.jobs.queue()
    assert (await _claim(catalog), queue.waiting, queue.ready, queue.next_at) == (None, 1, 0, at)
    clock.advance(30)
    assert (await catalog.jobs.queue()).ready == 1
    assert await _claim(catalog) is not None


async def test_a_job_past_its_deadline_ends_with_the_reason(catalog: Catalog, clock: FakeClock) -> None:
    """A backup that was to be done before the working day must not begin in it."""
    await _create(catalog, "1a", "host:x", deadline=clock.now() + datetime.timedelta(seconds=30))
    assert not await catalog.jobs.has_overdue()
    clock.advance(30)
    assert await _claim(catalog) is None
    assert await catalog.jobs.has_overdue()
    assert await catalog.jobs.end_overdue() == 1
    ended = await catalog.jobs.get("1a")
    assert (ended.status, ended.error_class) == (JobStatus.FAILED, "DeadlinePassedError")
    assert ended.error == "its deadline passed before it could begin"
    assert (await catalog.jobs.queue()).waiting == 0


async def test_what_a_process_will_run_itself_is_no_worker_s(catalog: Catalog) -> None:
    """A person's own command waits for its host; no worker may take it away from the terminal that shows it."""
    await _create(catalog, "1a", owner=str(THEIRS))
    assert await _claim(catalog) is None
    assert await catalog.jobs.claim(OURS, ONE, job_id="1a") is None
    assert await _claim(catalog, THEIRS) is None
    assert (await catalog.jobs.queue()).waiting == 0
    assert [job.job_id for job in await catalog.jobs.held()] == ["1a"]
    assert await catalog.jobs.claim(THEIRS, ONE, job_id="1a") is not None


async def test_the_overall_limit_holds_for_workers_and_not_for_a_person(catalog: Catalog) -> None:
    """Whoever sits there and waits is not made to wait for the night's work."""
    for number in range(3):
        await _create(catalog, f"1{number}")
    limits = SlotLimits(overall=2)
    assert [bool(await _claim(catalog, owner, limits)) for owner in (OURS, THEIRS, OURS)] == [
        True,
        True,
        False,
    ]
    assert await catalog.jobs.claim(OURS, limits, job_id="12") is not None


@pytest.mark.parametrize(
    ("attempt", "waits_s"), [(1, 60), (2, 240), (3, 960), (4, LONGEST_RETRY_S), (40, LONGEST_RETRY_S)]
)
async def test_each_attempt_waits_longer(
    catalog: Catalog, clock: FakeClock, attempt: int, waits_s: int
) -> None:
    """What is down for long is not asked every minute."""
    await _create(catalog, "1a", "host:x", most_attempts=100)
    async with catalog._database.transaction() as transaction:
        await transaction._connection.execute(f"UPDATE jobs SET attempts = {attempt - 1}")
    job = await _claim(catalog)
    assert job is not None
    assert await catalog.jobs.try_again(job, DIED)
    again = await catalog.jobs.get("1a")
    assert (again.status, again.owner, again.error, again.attempts) == (
        JobStatus.QUEUED,
        "",
        "it died",
        attempt,
    )
    assert again.not_before == clock.now() + datetime.timedelta(seconds=waits_s)


async def test_a_job_of_which_another_attempt_follows_is_known_as_such(
    catalog: Catalog, clock: FakeClock
) -> None:
    """Its failure is not told before the last attempt failed, too."""
    await _create(catalog, "1a", most_attempts=2)
    await _create(catalog, "1b", most_attempts=1)
    seen = []
    for _ in range(2):
        job = await _claim(catalog)
        assert job is not None
        seen.append(await catalog.jobs.retried())
        if not await catalog.jobs.try_again(job, DIED):
            await catalog.jobs.finish(job.job_id, OURS, DIED)
        seen.append(await catalog.jobs.retried())
        clock.advance(LONGEST_RETRY_S)
    assert seen == [set(), {"1a"}, {"1a"}, set()]


async def test_no_job_is_tried_for_ever(catalog: Catalog, clock: FakeClock) -> None:
    """One that kills its worker each time must not kill all of them."""
    await _create(catalog, "1a", most_attempts=2)
    job = await _claim(catalog)
    assert job is not None
    assert await catalog.jobs.try_again(job, DIED)
    clock.advance(LONGEST_RETRY_S)
    job = await _claim(catalog)
    assert job is not None
    assert not await catalog.jobs.try_again(job, DIED)
    assert await catalog.jobs.interrupt(job, "it died")
    assert (await catalog.jobs.get("1a")).status is JobStatus.INTERRUPTED


async def test_an_attempt_that_a_stop_ended_is_not_counted(catalog: Catalog) -> None:
    """A service that is restarted often must not use up a job's attempts."""
    await _create(catalog, "1a", "host:x", most_attempts=2)
    for _ in range(5):
        job = await _claim(catalog, THEIRS)
        assert job is not None
        assert await catalog.jobs.try_again(job, DIED, is_counted=False)
    again = await catalog.jobs.get("1a")
    assert (again.attempts, again.not_before) == (0, None)


async def test_a_job_that_may_not_be_repeated_is_not(catalog: Catalog) -> None:
    """A restore in place that was cut off is looked at by a person first."""
    await _create(catalog, "1a")
    job = await _claim(catalog)
    assert job is not None
    assert not await catalog.jobs.try_again(job, DIED, is_counted=False)


async def test_a_job_whose_end_was_wanted_is_not_tried_again(catalog: Catalog) -> None:
    """Its worker may have died before it heard of it."""
    await _create(catalog, "1a", most_attempts=5)
    job = await _claim(catalog)
    assert job is not None
    await catalog.jobs.request_cancel("1a")
    assert not await catalog.jobs.try_again(job, DIED)
    assert await catalog.jobs.interrupt(job, "it died")
    assert (await catalog.jobs.get("1a")).status is JobStatus.CANCELLED


async def test_a_job_that_is_tried_again_leaves_its_places(catalog: Catalog) -> None:
    """While it waits, others may use its host; then it takes its place again."""
    await _create(catalog, "1a", "host:x", most_attempts=3)
    await _create(catalog, "1b", "host:x")
    first = await _claim(catalog)
    assert first is not None
    await catalog.jobs.try_again(first, DIED)
    assert (await _claim(catalog)) is not None
    assert await catalog.jobs.claim(OURS, ONE, job_id="1a") is None


async def test_only_a_lease_that_nobody_renewed_is_given_up(catalog: Catalog, clock: FakeClock) -> None:
    """Between looking and judging, the holder may have woken up."""
    await _create(catalog, "1a", most_attempts=3)
    job = await _claim(catalog)
    assert job is not None
    clock.advance(5)
    await catalog.jobs.renew("1a", OURS)
    assert not await catalog.jobs.try_again(job, DIED, is_ours=False)
    assert await catalog.jobs.try_again(await catalog.jobs.get("1a"), DIED, is_ours=False)


async def test_a_worker_that_is_told_to_stop_counts_as_none(catalog: Catalog) -> None:
    """A job that is queued now must find one that takes it."""
    me = ProcessIdentity.current()
    assert not await catalog.workers.renew(me, "0.1.0")
    assert await catalog.workers.stop(str(me))
    assert not await catalog.workers.stop(str(me))
    assert await catalog.workers.renew(me, "0.1.0")
    assert await catalog.workers.is_stopping(me)
    assert await catalog.workers.alive() == []


async def test_a_worker_does_not_leave_while_a_job_waits_for_it(catalog: Catalog) -> None:
    """Whoever queued it saw a worker, and started none."""
    me = ProcessIdentity.current()
    await catalog.workers.renew(me, "0.1.0")
    await _create(catalog, "1a")
    assert not await catalog.workers.remove_idle(me)
    await _claim(catalog)
    assert await catalog.workers.remove_idle(me)


async def test_of_a_batch_one_runs_at_a_time_in_its_order(catalog: Catalog, clock: FakeClock) -> None:
    """Whichever worker takes it, and whatever becomes of each; what runs for itself does not wait for it."""
    for number, job_id in enumerate(("1c", "1b", "1a")):
        new = NewJob(
            job_id, "drill", {"source": job_id}, (slot_of("x"),), key_of("x", number), rule=QueueRule()
        )
        await catalog.jobs.create(new)
        clock.advance(1)
    await _create(catalog, "1d")
    assert [job.job_id for job in (await _claim(catalog), await _claim(catalog, THEIRS)) if job] == [
        "1c",
        "1d",
    ]
    assert await _claim(catalog) is None
    await catalog.jobs.finish("1c", OURS, Outcome(JobStatus.COMPLETED, {"status": "failed"}))
    assert (await catalog.batches.get("x")).words() == "drills: 1 of 3 over, 0 passed, 1 failed (1c)"
    for job_id in ("1b", "1a"):
        job = await _claim(catalog, THEIRS)
        assert job is not None
        assert (job.job_id, batch_of(job)) == (job_id, "x")
        await catalog.jobs.finish(job_id, THEIRS, Outcome(JobStatus.COMPLETED, {"status": "passed"}))
    batch = await catalog.batches.get("x")
    assert (batch.words(), batch.is_passed) == ("3 drills: 2 passed, 1 failed (1c)", False)
    assert (await catalog.batches.get("y")).members == ()
