"""Cleaners, which want a storage for themselves alone, and backups of it: each has its turn, and no two that cannot go together run at once."""

from __future__ import annotations

import datetime
import random

import pytest

from engine.catalog import turns
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.model.job import JobStatus, QueueRule
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock

OURS = ProcessIdentity("here", "boot+1", 1, 1)
LIMITS = SlotLimits(1, {"storage:*": 4})
DONE = Outcome(JobStatus.COMPLETED)
LONG = 1e7
"""Seconds of a lease, so that none lapses while a test's clock runs."""


async def _queue(
    catalog: Catalog, job_id: str, *storages: str, is_cleaner: bool = False, priority: int = 0
) -> None:
    slots = [f"storage:{name}" for name in storages]
    slots += [f"cleaning:{name}" for name in storages if is_cleaner]
    rule = QueueRule(priority=priority)
    await catalog.jobs.create(NewJob(job_id, "forget" if is_cleaner else "backup", {}, slots, rule=rule))


async def _take(catalog: Catalog, job_id: str = "") -> str:
    job = await catalog.jobs.claim(OURS, LIMITS, job_id=job_id, lease_s=LONG)
    return job.job_id if job else ""


async def _end(catalog: Catalog, job_id: str) -> None:
    assert await catalog.jobs.finish(job_id, OURS, DONE)


async def test_a_cleaner_that_waited_for_a_while_has_the_next_turn(
    catalog: Catalog, clock: FakeClock
) -> None:
    """Backups that overlap all night leave no moment free by themselves."""
    await _queue(catalog, "b1", "near")
    assert await _take(catalog) == "b1"
    await _queue(catalog, "c1", "near", is_cleaner=True)
    await _queue(catalog, "b2", "near")
    assert (await _take(catalog), await _take(catalog)) == ("b2", "")
    clock.advance(turns.PATIENCE_S)
    for job_id, storage in (("b3", "near"), ("b4", "far")):
        await _queue(catalog, job_id, storage)
    assert (await _take(catalog), await _take(catalog)) == ("b4", "")
    await _end(catalog, "b1")
    await _end(catalog, "b2")
    assert (await _take(catalog), await _take(catalog)) == ("c1", "")
    await _end(catalog, "c1")
    assert await _take(catalog) == "b3"


async def test_a_long_backup_keeps_others_waiting_behind_a_cleaner_half_of_the_time(
    catalog: Catalog, clock: FakeClock
) -> None:
    """One of a day must not keep all others from the storage for that day."""
    await _queue(catalog, "b0", "near")
    await _take(catalog)
    await _queue(catalog, "c1", "near", is_cleaner=True)
    seen = ""
    for number in range(40):
        await _queue(catalog, f"d{number}", "near")
        taken = await _take(catalog)
        seen += "x" if taken else "-"
        if taken:
            await _end(catalog, taken)
        clock.advance(turns.PATIENCE_S)
    assert seen == "x-xx----" + 8 * "x" + 16 * "-" + 8 * "x"


@pytest.mark.parametrize("reason", ["more urgent", "queued long before", "a person's"])
async def test_nothing_else_waits_that_should_not(catalog: Catalog, clock: FakeClock, reason: str) -> None:
    """A backup before an update, one that has waited for an hour, and whoever sits there are not held up."""
    await _queue(catalog, "b0", "near")
    await _take(catalog)
    if reason == "queued long before":
        await _queue(catalog, "b1", "near")
        clock.advance(turns.AHEAD_S + 1)
    await _queue(catalog, "c1", "near", is_cleaner=True)
    clock.advance(turns.PATIENCE_S)
    if reason != "queued long before":
        await _queue(catalog, "b1", "near", priority=int(reason == "more urgent"))
    assert await _take(catalog, "b1" if reason == "a person's" else "") == "b1"


async def test_while_a_cleaner_may_wait_for_a_restore_no_backup_begins(
    catalog: Catalog, clock: FakeClock
) -> None:
    """A restore takes no place, and holds its lock all the same."""
    await _queue(catalog, "c1", "near", is_cleaner=True)
    assert await _take(catalog) == "c1"
    await _queue(catalog, "b1", "near")
    assert await _take(catalog) == ""
    clock.advance(turns.BEGINS_S)
    assert await _take(catalog) == "b1"


@pytest.mark.parametrize("seed", range(4))
async def test_each_job_of_a_crowded_week_has_its_turn(catalog: Catalog, clock: FakeClock, seed: int) -> None:
    """Whatever comes when: never a cleaner beside a backup, none waits for ever, and in the end nothing is left."""
    chance = random.Random(seed)
    running: dict[str, tuple[datetime.datetime, tuple[str, ...], bool]] = {}
    waiting: dict[str, tuple[datetime.datetime, tuple[str, ...], bool]] = {}
    longest = datetime.timedelta()
    for step in range(160):
        is_cleaner = step % 5 == 0
        places = tuple(chance.sample(("near", "far"), chance.randint(1, 2)))
        if step < 130:
            await _queue(catalog, f"a{step}", *places, is_cleaner=is_cleaner)
            waiting[f"a{step}"] = (clock.now(), places, is_cleaner)
        for job_id in [each for each, (ends, _, _) in running.items() if ends <= clock.now()]:
            await _end(catalog, job_id)
            del running[job_id]
        while job_id := await _take(catalog):
            begun, places, is_cleaner = waiting.pop(job_id)
            longest = max(longest, clock.now() - begun)
            for _, others, is_other_cleaner in running.values():
                assert not (set(places) & set(others) and (is_cleaner or is_other_cleaner)), f"seed {seed}"
            span = datetime.timedelta(minutes=1 if is_cleaner else chance.choice((10, 60, 90)))
            running[job_id] = (clock.now() + span, places, is_cleaner)
        clock.advance(chance.choice((600, 1500, 2400)))
    assert not waiting, f"seed {seed}"
    assert longest < datetime.timedelta(hours=16), f"seed {seed}: {longest}"
