"""What schedules will do: the day ahead, which backups their rules let go; and what became of them, on a real catalog."""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import Outcome, SlotLimits
from engine.jobs import day_ahead, keeping_ahead, preview, ticking
from engine.jobs.known import known_of
from engine.model.backup import Backup, BackupStatus, Copy, Scope
from engine.model.definitions import LOCAL_HOST, Source, Storage
from engine.model.job import JobStatus
from engine.model.schedules import Action, RunOutcome, Schedule, ScheduledRun, Timing
from engine.model.timetables import KeepAhead, instants, worst
from engine.process import ProcessIdentity
from engine.schedule import due
from tests.fakes.clock import START, FakeClock

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
_OWNER = ProcessIdentity.current()


@pytest.fixture
def clock() -> FakeClock:
    """That of the catalog."""
    return FakeClock()


@pytest.fixture
async def catalog(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Catalog]:
    """Two sources on this machine, two storages, the first of them the default."""
    async with Catalog.open(tmp_path / "catalog.db", clock) as opened:
        for name in ("site", "shop"):
            await opened.sources.add(Source(name, "files", LOCAL_HOST, {"path": ("/",)}))
        for name in ("near", "far"):
            storage = Storage(
                name, "local", {"path": f"/{name}"}, "env:P", "f" * 64, is_default=name == "near"
            )
            await opened.storages.add(storage)
        yield opened


async def _schedule(catalog: Catalog, name: str, rhythm: str = "daily at 02:00", **fields: Any) -> Schedule:
    schedule = Schedule(name, **{"rhythm": rhythm, "sources": ("site",), **fields})
    await catalog.timetable.add(schedule, due.begin(schedule, START))
    return schedule


async def _backup(catalog: Catalog, number: int, at: datetime.datetime, **changes: Any) -> None:
    copies = (Copy("near", f"{number:064x}"),)
    status = BackupStatus.COMPLETED
    made = Backup(f"{number:08d}", "site", LOCAL_HOST, "full", status, at, at, 100, number, 1, 0, 0, copies)
    await catalog.backups.add(dataclasses.replace(made, **changes))


async def _keep(catalog: Catalog, name: str, *, is_after_next: bool = True) -> KeepAhead:
    status = await catalog.timetable.get(name)
    return await keeping_ahead.look_ahead(catalog, FakeClock(), status, is_after_next=is_after_next)


async def test_the_next_run_of_a_backup_drives_out_the_oldest_that_its_rules_keep(catalog: Catalog) -> None:
    """It is counted in, not shown: two are kept now, one of them goes once the next is taken."""
    await _schedule(catalog, "nightly", options={"keep_last": 2})
    for number in (1, 2, 3):
        await _backup(catalog, number, START - (4 - number) * DAY)
    after = await _keep(catalog, "nightly")
    assert [each.backup_id for each in after.going] == ["00000002", "00000001"]
    assert (len(after.fates), after.coming, after.going_bytes) == (3, 1, 3)
    assert after.policy == "2 last"
    now = await _keep(catalog, "nightly", is_after_next=False)
    assert [each.backup_id for each in now.going] == ["00000001"]


async def test_what_people_want_kept_and_parts_take_no_place_of_a_rule(catalog: Catalog) -> None:
    """A hold, a backup of the schema alone, a storage that lacks it."""
    await _schedule(catalog, "tidy", action=Action.FORGET, options={"keep_last": 1})
    await _backup(catalog, 1, START - 9 * DAY, hold_reason="court", is_protected=True)
    await _backup(catalog, 2, START - 8 * DAY, scope=Scope.SCHEMA)
    await _backup(catalog, 3, START - 7 * DAY)
    both = (Copy("near", f"{4:064x}"), Copy("far", "", BackupStatus.FAILED))
    await _backup(catalog, 4, START - 6 * DAY, copies=both, status=BackupStatus.INCOMPLETE)
    found = await _keep(catalog, "tidy")
    assert {(each.backup_id, each.storage, each.is_kept) for each in found.fates} == {
        ("00000001", "near", True),
        ("00000002", "near", True),
        ("00000003", "near", False),
        ("00000004", "near", True),
    }
    assert found.coming == 0


async def test_a_schedule_without_rules_lets_nothing_go(catalog: Catalog) -> None:
    """Nor does one that never forgets."""
    await _schedule(catalog, "nightly")
    await _schedule(catalog, "proof", action=Action.VERIFY, sources=())
    await _backup(catalog, 1, START - DAY)
    for name in ("nightly", "proof"):
        found = await _keep(catalog, name)
        assert (found.policy, list(found.requests), list(found.fates)) == ("", [], [])


async def test_the_day_ahead_tells_which_starts_meet_at_one_host(catalog: Catalog) -> None:
    """Both last the quarter of an hour that is taken for what never ran; a verification is at work at no host."""
    await _schedule(catalog, "a", "0 */6 * * *")
    await _schedule(catalog, "b", "10 6 * * *", sources=("shop",))
    await _schedule(catalog, "c", "5 6 * * *", action=Action.VERIFY, sources=())
    await _schedule(catalog, "t", is_template=True)
    ahead = await preview.look_ahead(catalog, START)
    day = day_ahead.day_ahead(ahead, START, START + DAY)
    lanes = {each.schedule: each for each in day.lanes}
    assert [len(lanes[name].starts) for name in "abct"] == [4, 1, 1, 0]
    assert [at.hour for at in lanes["a"].overlapping] == [6]
    assert lanes["b"].overlapping == lanes["b"].starts
    assert lanes["b"].hosts == (LOCAL_HOST,)
    assert lanes["c"].overlapping == ()
    assert (day.busiest, day.busiest_host, day.busiest_at) == (2, LOCAL_HOST, lanes["b"].starts[0])


async def test_a_day_of_summer_time_has_an_hour_less(catalog: Catalog) -> None:
    """The strip shows what will be: the clock of the schedule's zone is the engine's to know."""
    spring = datetime.datetime(2027, 3, 27, 23, 30, tzinfo=datetime.UTC)
    zone = Timing(timezone="Europe/Berlin")
    schedule = Schedule("hourly", rhythm="0 * * * *", sources=("site",), timing=zone)
    await catalog.timetable.add(schedule, due.begin(schedule, spring))
    night = Schedule("night", rhythm="30 2 * * *", sources=("site",), timing=zone)
    await catalog.timetable.add(night, due.begin(night, spring))
    ahead = await preview.look_ahead(catalog, spring)
    lanes = {
        each.schedule: each.starts for each in day_ahead.day_ahead(ahead, spring, spring + 4 * HOUR).lanes
    }
    assert [at.hour for at in lanes["hourly"]] == [0, 1, 2, 3]
    assert [f"{at:%H:%M}" for at in lanes["night"]] == ["01:00"]


async def test_the_last_instants_of_a_schedule_are_told_with_all_their_parts(
    catalog: Catalog, clock: FakeClock
) -> None:
    """So many instants, however many parts each has; how long they took, by the jobs."""
    schedule = await _schedule(catalog, "nightly", "hourly", sources=("site", "shop"))
    known = await known_of(catalog)
    for _ in range(3):
        clock.advance(3600)
        outcomes = ticking.outcomes_of(schedule, clock.now(), known, "", {})
        (job_id,) = await catalog.timetable.record(outcomes, clock.now())
        assert await catalog.jobs.claim(_OWNER, SlotLimits(100), job_id=job_id) is not None
        clock.advance(60)
        assert await catalog.jobs.finish(job_id, _OWNER, Outcome(JobStatus.COMPLETED, {}))
    skipped = ticking.outcomes_of(schedule, clock.now() + HOUR, known, "", {LOCAL_HOST: "busy"})
    await catalog.timetable.record(skipped, clock.now())
    found = instants(await catalog.timetable.records("nightly", 3))
    assert [each.outcome for each in found] == [RunOutcome.SKIPPED, RunOutcome.OPEN, RunOutcome.OPEN]
    assert [each.duration_s for each in found] == [None, 60, 60]
    assert [each.reason for each in await catalog.timetable.skipped(START, 10)] == ["busy"]
    assert await catalog.timetable.skipped(clock.now() + 2 * HOUR, 10) == []


@pytest.mark.parametrize("seed", range(20))
def test_what_meets_is_what_any_two_of_them_do(seed: int) -> None:
    """Found in one pass, as by holding each against each."""
    chance = random.Random(seed)
    works = []
    for number in range(60):
        begin = START + chance.randrange(300) * datetime.timedelta(minutes=1)
        lasts = chance.randrange(1, 30) * datetime.timedelta(minutes=1)
        works.append(day_ahead._Work(begin, begin + lasts, f"s{chance.randrange(1 + number // 9)}"))
    meeting: dict[str, dict[str, set[datetime.datetime]]] = {}
    busiest = day_ahead._meet("db", works, meeting)

    def meet(one: day_ahead._Work, other: day_ahead._Work) -> bool:
        return one.schedule != other.schedule and one.begin < other.end and other.begin < one.end

    pairs = {(one.schedule, one.begin) for one in works if any(meet(one, other) for other in works)}
    assert {(name, at) for name, found in meeting.items() for at in found["db"]} == pairs
    at_once = {
        each.begin: len({one.schedule for one in works if one.begin <= each.begin < one.end})
        for each in works
    }
    assert busiest.schedules == max(at_once.values()) == at_once[busiest.at]


def test_of_several_parts_the_worst_is_told() -> None:
    """One host of twenty that failed is a failure."""
    runs = [ScheduledRun("a", START, str(each), each) for each in RunOutcome]
    assert worst(runs) is RunOutcome.FAILED
    assert worst(runs[1:3]) is RunOutcome.INCOMPLETE
    assert worst([]) is None
