"""A look at the schedules, on a real catalog with a clock that the test moves: what is queued, skipped, tried again and followed."""

from __future__ import annotations

import datetime
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import Outcome, SlotLimits
from engine.catalog.schedules import Decided
from engine.errors import UsageError
from engine.jobs import rhythms, scheduled, ticking, values
from engine.jobs.expectations import expected
from engine.jobs.known import PAUSE_SETTING, known_of
from engine.model.definitions import Host, Source, Storage
from engine.model.job import Job, JobStatus
from engine.model.schedules import Action, Hooks, Pause, RunOutcome, Schedule, Timing
from engine.process import ProcessIdentity
from engine.schedule import due
from tests.fakes.clock import FakeClock

HOUR_S = 3600.0
HOUR = datetime.timedelta(seconds=HOUR_S)
_OWNER = ProcessIdentity.current()
_LIMITS = SlotLimits(100)


class Days:
    """A catalog with two hosts, three sources and a storage, and the clock."""

    def __init__(self, catalog: Catalog, clock: FakeClock) -> None:
        self.catalog = catalog
        self.clock = clock

    async def add(self, name: str = "nightly", **fields: Any) -> Schedule:
        """A schedule: hourly, of all sources, unless the test says something else."""
        given: dict[str, Any] = {"rhythm": "hourly", "sources": ("site", "shop", "logs"), **fields}
        if given.get("after"):
            given["rhythm"] = ""
        schedule = Schedule(name, **given)
        await self.catalog.timetable.add(schedule, due.begin(schedule, self.clock.now()))
        return schedule

    async def tick(self, seconds: float = 0.0) -> list[Job]:
        """Lets time pass, looks, and gives the jobs that were queued."""
        self.clock.advance(seconds)
        result = await ticking.tick(self.catalog, self.clock.now())
        return [await self.catalog.jobs.get(each) for each in result.queued]

    async def end(
        self, job: Job, ended: JobStatus = JobStatus.COMPLETED, error: str = "", **result: Any
    ) -> None:
        """Runs a job to its end."""
        assert await self.catalog.jobs.claim(_OWNER, _LIMITS, job_id=job.job_id) is not None
        outcome = Outcome(ended, result, "it went wrong" if error else "", error)
        assert await self.catalog.jobs.finish(job.job_id, _OWNER, outcome)

    async def runs(self, name: str = "nightly") -> list[tuple[str, str, str, str]]:
        """Its rows: hour, part, outcome, reason; oldest first."""
        return [
            (f"{each.planned_at:%H:%M}", each.part, each.outcome.value, each.reason)
            for each in sorted(
                await self.catalog.timetable.runs(name), key=lambda each: (each.planned_at, each.part)
            )
        ]


@pytest.fixture
def clock() -> FakeClock:
    """14:05 on 20 November 2026."""
    return FakeClock(datetime.datetime(2026, 11, 20, 14, 5, tzinfo=datetime.UTC))


@pytest.fixture
async def days(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Days]:
    """All that a test needs."""
    async with Catalog.open(tmp_path / "catalog.db", clock) as catalog:
        await catalog.hosts.add(Host("db", address="db.example"))
        await catalog.sources.add(Source("site", "files", options={"path": ["/srv"]}))
        await catalog.sources.add(Source("shop", "postgres", "db"))
        await catalog.sources.add(Source("logs", "files", "db"))
        await catalog.storages.add(Storage("near", "local"))
        yield Days(catalog, clock)


async def test_what_is_due_becomes_one_job_for_each_host(days: Days) -> None:
    """Hosts are backed up side by side, the sources of one after each other."""
    await days.add(options={"type": "full", "tag": ["night"]}, hooks=Hooks("stop app"))
    assert await days.tick() == []
    jobs = {job.request["sources"][0]: job for job in await days.tick(HOUR_S)}
    assert {name: list(job.request["sources"]) for name, job in jobs.items()} == {
        "site": ["site"],
        "shop": ["shop", "logs"],
    }
    assert (jobs["shop"].request["kind"], jobs["shop"].request["tags"]) == ("full", ["night"])
    assert jobs["shop"].request["schedule"] == "nightly"
    assert jobs["shop"].request["hooks"]["before"] == "stop app"
    assert await days.tick() == []
    assert await days.runs() == [("15:00", "db", "open", ""), ("15:00", "localhost", "open", "")]


async def test_two_that_look_at_once_queue_each_job_once(days: Days) -> None:
    """A timer and a worker may both be there."""
    schedule = await days.add()
    before = await days.catalog.timetable.get(schedule.name)
    assert len(await days.tick(HOUR_S)) == 2
    known = await known_of(days.catalog)
    again = ticking.outcomes_of(schedule, before.state.planned_at or days.clock.now(), known, "", {})
    late = Decided(before, before.state, again)
    assert await days.catalog.timetable.decide([late], days.clock.now()) == []
    assert await days.catalog.timetable.record(again, days.clock.now()) == []
    assert len(await days.catalog.jobs.page()) == 2


async def test_nothing_starts_while_the_last_still_runs_and_the_other_host_goes_on(days: Days) -> None:
    """A long backup is not joined by its successor."""
    await days.add()
    for job in await days.tick(HOUR_S):
        if job.request["sources"] == ["site"]:
            await days.end(job)
    (queued,) = await days.tick(HOUR_S)
    assert queued.request["sources"] == ["site"]
    skipped = next(row for row in await days.runs() if row[2] == "skipped")
    assert skipped[:3] == ("16:00", "db", "skipped")
    assert skipped[3].startswith("the run of 2026-11-20 15:00 UTC is still under way: job ")


async def test_a_job_is_tried_again_as_its_schedule_says_and_not_after_its_window(days: Days) -> None:
    """A host that reboots is backed up minutes later, and nothing of the night begins in the morning."""
    timing = Timing(retries=2, retry_delay_s=90, window="14:00-15:30,20:00-21:00")
    await days.add(sources=("site",), timing=timing)
    await days.add("usual", sources=("logs",))
    jobs = {job.request["sources"][0]: job for job in await days.tick(HOUR_S)}
    site, logs = jobs["site"], jobs["logs"]
    assert (site.most_attempts, logs.most_attempts) == (3, 4)
    assert (site.deadline, logs.deadline) == (
        datetime.datetime(2026, 11, 20, 15, 30, tzinfo=datetime.UTC),
        None,
    )


async def test_a_job_that_waits_for_its_next_attempt_gives_way_to_the_next_run(days: Days) -> None:
    """Two backups of one source at once help nobody, and a fault of an hour ago is no reason to leave one out. It failed, though."""
    await days.add(sources=("site",))
    (job,) = await days.tick(HOUR_S)
    claimed = await days.catalog.jobs.claim(_OWNER, _LIMITS, job_id=job.job_id)
    assert claimed is not None
    passing = Outcome(JobStatus.FAILED, {}, "no way there", "HostUnreachableError")
    assert await days.catalog.jobs.try_again(claimed, passing)
    assert await days.tick() == []
    (fresh,) = await days.tick(HOUR_S)
    assert fresh.request["sources"] == ["site"]
    said = "no way there; no other attempt, the next run is due"
    given_up = await days.catalog.jobs.get(job.job_id)
    assert (given_up.status, given_up.error) == (JobStatus.FAILED, said)
    assert (await days.runs())[0][2:] == ("failed", said)


async def test_a_run_whose_job_failed_or_proved_nothing_has_failed(days: Days) -> None:
    """A drill that went well as a job and ill as a drill is no success."""
    await days.add(sources=("site",))
    await days.add("proof", sources=("site",), action=Action.DRILL)
    for job in await days.tick(HOUR_S):
        if job.verb == "drill":
            await days.end(job, status="inconclusive")
        else:
            await days.end(job, JobStatus.FAILED, "LoginRefusedError")
    await days.tick()
    assert [row[2:] for row in [*await days.runs(), *await days.runs("proof")]] == [
        ("failed", "it went wrong"),
        ("failed", "inconclusive"),
    ]


async def test_retention_follows_a_backup_and_a_follower_waits_for_both(days: Days) -> None:
    """A prune while a forget is to come would have to be done again."""
    await days.add(sources=("site",), options={"keep_last": 3, "keep_within": 86400})
    await days.add("clean", after="nightly", action=Action.PRUNE, sources=())
    (backup,) = await days.tick(HOUR_S)
    await days.end(backup, backups=[{"source": "site", "status": "completed"}])
    (forget,) = await days.tick()
    assert (forget.verb, forget.request["source"], forget.request["storages"]) == ("forget", "site", ["near"])
    assert (forget.request["policy"]["last"], forget.request["policy"]["within_s"]) == (3, 86400.0)
    assert await days.tick() == []
    await days.end(forget)
    (prune,) = await days.tick()
    assert (prune.verb, prune.request["storage"]) == ("prune", "near")
    await days.end(prune)
    assert await days.tick() == []
    assert await days.runs("clean") == [("15:00", "near", "completed", "")]


async def test_a_storage_is_cleaned_up_by_one_job_at_a_time(days: Days) -> None:
    """Two that want the repository for themselves alone would only wait for each other, and backups for both."""
    await days.add(sources=("site", "shop"), options={"keep_last": 3})
    for backup in await days.tick(HOUR_S):
        await days.end(backup, backups=[{"source": backup.request["sources"][0], "status": "completed"}])
    forgets = await days.tick()
    assert [each.verb for each in forgets] == ["forget", "forget"]
    limits = SlotLimits(1, {"host:*": 2, "storage:*": 4})
    claimed = [await days.catalog.jobs.claim(_OWNER, limits) for _ in forgets]
    assert [each is None for each in claimed] == [False, True]


async def test_a_schedule_copies_from_one_other_storage_that_is_there(days: Days) -> None:
    """It would fail each night, and be told then."""
    await days.catalog.storages.add(Storage("far", "local"))
    known = await known_of(days.catalog)

    def asked(*origins: str) -> Schedule:
        options = {"from": origins}  # as the command line gives it
        return Schedule("bad", rhythm="daily", action=Action.COPY, options=options, storages=("near",))

    (part,) = scheduled.parts_of(asked("far"), known)
    assert (part.request.from_storage, part.request.to_storage) == ("far", "near")
    for origins, said in (
        (("near",), "not copied onto itself"),
        (("fra",), "no storage named fra"),
        (("far", "near"), "from one"),
    ):
        with pytest.raises(UsageError, match=said):
            scheduled.check(asked(*origins), known)


@pytest.mark.parametrize("action", [Action.BACKUP, Action.FORGET])
async def test_rules_that_keep_nothing_are_a_mistake(days: Days, action: Action) -> None:
    """Whoever writes `--keep-last 0` means something, and would learn a year later what came of it."""
    schedule = Schedule("bad", rhythm="daily", action=action, sources=("site",), options={"keep_last": 0})
    with pytest.raises(UsageError, match=r"keeps nothing|nothing was said to be kept"):
        scheduled.check(schedule, await known_of(days.catalog))


async def test_a_rhythm_is_told_as_paused_while_it_is_and_no_longer(days: Days) -> None:
    """A report that calls a schedule paused which ran all the month is no evidence."""
    await days.add(sources=("site",))
    began = days.clock.now()
    await days.catalog.timetable.set_pause("nightly", Pause(began, began + HOUR, "new disks"))
    assert await rhythms.known(days.catalog, began) == {"site": "hourly (paused)"}
    assert await rhythms.known(days.catalog, began + HOUR) == {"site": "hourly"}
    everything = Pause(began + HOUR, None, "new racks")
    await days.catalog.settings.put(PAUSE_SETTING, values.to_object(everything))
    assert await rhythms.known(days.catalog, began + HOUR) == {"site": "hourly (paused)"}


async def test_a_follower_is_skipped_where_its_leader_failed_or_it_is_paused(days: Days) -> None:
    """A drill of yesterday's backup proves nothing of today's."""
    await days.add(sources=("site",))
    await days.add("proof", after="nightly", action=Action.DRILL, sources=("site",))
    (job,) = await days.tick(HOUR_S)
    await days.end(job, JobStatus.FAILED, "HostUnreachableError")
    assert await days.tick() == []
    (job,) = await days.tick(HOUR_S)
    await days.end(job)
    await days.catalog.timetable.set_pause("proof", Pause(days.clock.now(), None, "no room for it"))
    assert await days.tick() == []
    assert [row[2:] for row in await days.runs("proof")] == [
        ("skipped", "nightly, which it runs after, failed"),
        ("skipped", "paused: no room for it"),
    ]


async def test_everything_can_be_paused_and_nothing_of_it_is_passed_over_silently(days: Days) -> None:
    """Maintenance at night is no night without a word."""
    await days.add(sources=("site",))
    pause = Pause(days.clock.now(), days.clock.now() + datetime.timedelta(hours=1, minutes=30), "new disks")
    await days.catalog.settings.put(PAUSE_SETTING, values.to_object(pause))
    assert await days.tick(HOUR_S) == []
    assert len(await days.tick(HOUR_S)) == 1
    assert [row[2:] for row in await days.runs()] == [("skipped", "paused: new disks"), ("open", "")]


async def test_a_clock_a_year_ahead_stops_neither_a_schedule_nor_its_follower(days: Days) -> None:
    """Both go on when the clock is right again."""
    await days.add(sources=("site",), options={"keep_last": 1})
    await days.add("clean", after="nightly", action=Action.PRUNE, sources=())
    days.clock.jump(365 * 86400)
    (job,) = await days.tick()
    await days.end(job)
    assert [job.verb for job in await days.tick()] == ["prune"]
    days.clock.jump(-365 * 86400)
    assert await days.tick() == []
    (again,) = await days.tick(HOUR_S)
    await days.end(again)
    (prune,) = await days.catalog.jobs.page(verb="prune")
    await days.end(prune)
    assert [job.verb for job in await days.tick()] == ["prune"]


async def test_what_cannot_be_asked_for_is_skipped_with_the_reason(days: Days) -> None:
    """A source that was removed, or a pattern that matches none, must be seen."""
    await days.add(sources=("web-*",), rhythm="daily at 15:00")
    await days.add("broken", options={"timeout": "soon"}, rhythm="daily at 15:00")
    assert await days.tick(HOUR_S) == []
    assert await days.runs() == [("15:00", "", "skipped", "no source matches web-*")]
    assert await days.runs("broken") == [("15:00", "", "skipped", "--timeout soon is no number")]


async def test_a_source_that_was_removed_is_missed_by_name_and_the_others_go_on(days: Days) -> None:
    """A schedule that shrinks silently is found out on the day that its source is needed."""
    await days.add()
    await days.catalog.sources.remove("shop")
    assert [job.request["sources"] for job in await days.tick(HOUR_S)] == [["site"], ["logs"]]
    assert ("15:00", "shop", "skipped", "there is no source of that name any more") in await days.runs()


async def test_a_retired_host_is_skipped_and_says_why(days: Days) -> None:
    """A machine that was switched off for good is no failure each night."""
    await days.add()
    await days.catalog.hosts.replace(Host("db", address="db.example", options={"retired": "sold"}))
    assert [job.request["sources"] for job in await days.tick(HOUR_S)] == [["site"]]
    assert ("15:00", "db", "skipped", "the host is retired: sold") in await days.runs()


@pytest.mark.parametrize(
    ("busy", "what"),
    [
        ("db", {"sources": ("logs",)}),
        ("localhost", {"action": Action.VERIFY, "sources": ()}),
        ("db", {"action": Action.DRILL, "sources": ("site",), "options": {"host": "db"}}),
    ],
    ids=["backup", "verify", "drill elsewhere"],
)
async def test_a_smart_schedule_leaves_the_busy_hour_that_its_host_shows(
    days: Days, busy: str, what: dict[str, Any]
) -> None:
    """The loads that jobs recorded move the next start, whatever it is that starts."""
    now = days.clock.now()
    for night in range(10):
        for hour in range(24):
            at = now.replace(hour=hour, minute=0) - datetime.timedelta(days=night + 1)
            await days.catalog.timetable.add_load(busy, at, 12.0 if hour == 15 else 1.0)
    await days.add(rhythm="daily at 15:00", timing=Timing(window="13:00-18:00", is_smart=True), **what)
    (job,) = await days.tick(HOUR_S)
    await days.end(job)
    state = (await days.catalog.timetable.get("nightly")).state
    assert state.next_at == datetime.datetime(2026, 11, 21, 14, 45, tzinfo=datetime.UTC)
    assert state.moved.startswith("moved from 15:00 to 14:45: ")


async def test_those_that_wait_for_one_that_still_runs_keep_nobody_else_waiting(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that takes all night has many followers; the one of another leader begins all the same."""
    monkeypatch.setattr(ticking, "SLICE", 2)
    await days.add("slow", sources=("logs",))
    await days.add("quick", sources=("site",))
    for name in ("a", "b", "c"):
        await days.add(name, after="slow", sources=("logs",))
    await days.add("z", after="quick", sources=("site",))
    begun = {job.request["schedule"]: job for job in await days.tick(HOUR_S)}
    await days.end(begun["quick"])
    assert [job.request["schedule"] for job in await days.tick()] == ["z"]


async def test_a_look_that_could_not_settle_all_says_that_the_next_one_is_due(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer that ticks once a minute must not fall behind what ends in a minute."""
    monkeypatch.setattr(ticking, "SLICE", 1)
    await days.add(rhythm="daily at 15:00")
    for job in [*await days.tick(HOUR_S), *await days.tick()]:
        await days.end(job)
    looks = [await ticking.tick(days.catalog, days.clock.now()) for _ in range(3)]
    assert [(each.settled, each.next_at == each.at) for each in looks] == [(1, True), (1, True), (0, False)]


async def test_a_host_that_is_measured_all_the_time_is_kept_four_times_an_hour(days: Days) -> None:
    """Ten thousand jobs a night must not make the choice of a quiet time slow, nor the catalog large."""
    for _ in range(60):
        days.clock.advance(60)
        await days.catalog.timetable.add_load("db", days.clock.now(), 1.0)
    since = days.clock.now() - datetime.timedelta(days=1)
    assert len(await days.catalog.timetable.loads(["db"], since)) == 4


async def test_what_schedules_want_of_a_source_is_told_to_whoever_looks_for_what_is_missing(
    days: Days,
) -> None:
    """A backup that nobody started is missed, one that is paused or still runs is not."""
    await days.add(sources=("site",))
    await days.add("other", sources=("shop",), rhythm="daily at 15:00")
    begun = days.clock.now()
    seen = []
    for seconds, is_looking in ((HOUR_S, False), (2 * HOUR_S, True)):
        days.clock.advance(seconds)
        seen.append(await expected(days.catalog, days.clock.now()))
        if is_looking:
            for job in await days.tick():
                if job.request["sources"] == ["site"]:
                    await days.end(job)
            await days.tick()
            seen.append(await expected(days.catalog, days.clock.now()))
    await days.catalog.timetable.set_pause("other", Pause(days.clock.now(), None, "moved"))
    seen.append(await expected(days.catalog, days.clock.now()))
    hour = begun.replace(hour=15, minute=0)
    assert [each.is_worker_wanted for each in seen] == [False, True, False, False]
    assert [each.sources["site"].due_at for each in seen] == [None, hour, hour + datetime.timedelta(hours=2), hour + datetime.timedelta(hours=2)]  # fmt: skip
    assert [each.sources["shop"].due_at for each in seen] == [None, hour, None, None]
    assert [each.sources["shop"].is_retired for each in seen] == [False, False, False, True]
    assert [each.sources["site"].begins_at for each in seen] == [hour, None, None, None]
    assert [each.sources["shop"].begins_at for each in seen] == [hour, None, hour, None]


async def test_what_a_failed_run_missed_is_wanted_while_the_next_one_runs_or_is_skipped(days: Days) -> None:
    """An alert that is over each night, when the next attempt begins, would be told each night."""
    await days.add(sources=("shop",), timing=Timing(retries=0))
    (job,) = await days.tick(HOUR_S)
    seen = []
    await days.end(job, JobStatus.FAILED)
    for seconds in (0, HOUR_S, HOUR_S):
        await days.tick(seconds)
        seen.append((await expected(days.catalog, days.clock.now())).sources["shop"].due_at)
    assert [each[2] for each in await days.runs()] == ["failed", "open", "skipped"]
    assert seen == [days.clock.now().replace(hour=15, minute=0)] * 3


async def _many(days: Days, count: int, rhythm: str) -> None:
    draw = random.Random(1)
    for each in range(count):
        await days.add(
            f"s{each}",
            sources=(("site", "shop", "logs")[each % 3],),
            rhythm=rhythm.format(draw.randrange(60)),
        )


@pytest.mark.slow
async def test_many_that_are_due_at_once_are_taken_in_bounded_slices(days: Days) -> None:
    """Nine o'clock on Monday is no reason to hold the catalog for a minute."""
    await _many(days, 250, "hourly")
    sizes = [
        len(await days.tick(HOUR_S)),
        len(await days.tick()),
        len(await days.tick()),
        len(await days.tick()),
    ]
    assert sizes == [ticking.SLICE, ticking.SLICE, 50, 0]
    newest = await days.catalog.timetable.newest_runs()
    assert {run.outcome for runs in newest.values() for run in runs} == {RunOutcome.OPEN}
