"""The outbox: what was written there reaches people, whatever servers and processes do; at a real webhook and a switch."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.catalog.notices import NewNotice
from engine.catalog.schedules import Judged
from engine.errors import UsageError
from engine.jobs.deliver import Post, deliver, route
from engine.model.alerts import (
    AlertSettings,
    Destination,
    MaintenanceWindow,
    Message,
    Occasion,
    Silence,
    Tone,
)
from engine.model.definitions import Source
from engine.model.job import Job, JobStatus
from engine.model.names import new_id
from engine.model.schedules import Action, Schedule
from engine.model.secret import Secret
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock
from tests.servers.mail import Webhook, webhook

pytestmark = pytest.mark.slow
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Office:
    """A catalog, a clock and what delivery works with."""

    post: Post
    catalog: Catalog
    clock: FakeClock
    hook: Webhook

    async def job(
        self,
        verb: str = "backup",
        source: str = "shop",
        outcome: JobStatus = JobStatus.COMPLETED,
        schedule: str = "",
    ) -> Job:
        """A job that ran and ended so."""
        owner = ProcessIdentity.current()
        new = NewJob(new_id(os.urandom), verb, {"sources": [source], "schedule": schedule})
        await self.catalog.jobs.create(new)
        await self.catalog.jobs.claim(owner, SlotLimits(), job_id=new.job_id)
        error = "no room" if outcome is JobStatus.FAILED else ""
        await self.catalog.jobs.finish(new.job_id, owner, Outcome(outcome, error=error))
        return await self.catalog.jobs.get(new.job_id)

    @property
    def titles(self) -> list[str]:
        """What reached the switch: path and first line of each."""
        return [
            f"{path.removeprefix('/ping-of-token')} {body.splitlines()[0]}" for path, body in self.hook.posts
        ]


@asynccontextmanager
async def office(directory: Path, **settings: int) -> AsyncIterator[Office]:
    """With one switch that is told of starts, successes and failures."""
    clock = FakeClock()
    async with Catalog.open(directory / "catalog.db", clock) as catalog, webhook() as hook:

        async def secrets(_reference: str) -> Secret:
            return Secret(hook.ping_url)

        post = Post(catalog, clock, secrets, AlertSettings(**settings), timeout_s=20.0)
        await catalog.destinations.add(Destination("switch", "ping", "env:X"))
        yield Office(post, catalog, clock, hook)


async def test_each_turn_of_a_job_reaches_a_switch_once(tmp_path: Path) -> None:
    """Start, good end, failure: each at its address; a second round sends nothing again."""
    async with office(tmp_path) as here:
        await here.job()
        await here.job("restore", "shop", JobStatus.FAILED)
        done = await deliver(here.post)
        assert (done.sent, done.failed, done.waiting) == (4, [], 0)
        assert here.titles == [
            "/start backup of shop began",
            " backup of shop is done",
            "/start restore of shop began",
            "/fail restore of shop failed",
        ]
        assert (await deliver(here.post)).sent == 0


async def test_who_hears_that_a_job_failed_does_not_hear_it_of_its_alert_too(tmp_path: Path) -> None:
    """Also where nobody looked between the two."""
    async with office(tmp_path) as here:
        occasions = (Occasion.FAILURE, Occasion.ALERT, Occasion.RECOVERY)
        await here.catalog.destinations.add(Destination("hook", "ping", "file:address", occasions=occasions))
        ends = Destination("ends", "ping", "file:address", occasions=(Occasion.RECOVERY,))
        await here.catalog.destinations.add(ends)
        failed = await here.job(outcome=JobStatus.FAILED)
        alert = Message(Occasion.ALERT, Tone.FAILURE, "shop: the last backup failed", "", {})
        await here.catalog.notices.add([NewNotice("alert:1:raised", alert, failed.job_id)])
        over = Message(Occasion.RECOVERY, Tone.SUCCESS, "shop: over after 10 min", "", {})
        await here.catalog.notices.add([NewNotice("alert:1:over", over, failed.job_id)])
        await deliver(here.post)
        assert [each for each in here.titles if "the last backup failed" in each] == []
        assert [each for each in here.titles if "over after" in each] == [" shop: over after 10 min"]


async def test_whom_a_schedule_names_is_told_of_its_jobs_and_of_what_it_looks_after(tmp_path: Path) -> None:
    """Besides those who are told of everything; who is told only so hears of nothing else."""
    async with office(tmp_path) as here:
        failures = (Occasion.FAILURE, Occasion.ALERT)
        for each in (
            Destination("switch", "ping", "env:X", occasions=failures, is_enabled=False),
            Destination("all", "ping", "env:X", occasions=failures),
            Destination("narrow", "ping", "env:X", occasions=failures, only=("host other",)),
            Destination("named", "ping", "env:X", occasions=failures, is_named_only=True),
        ):
            await here.catalog.apply([("destinations", each)])
        nightly = Schedule("nightly", rhythm="hourly", sources=("sh*",), notify=("narrow", "named"))
        proof = Schedule(
            "proof", Action.VERIFY, rhythm="hourly", storages=("near",), notify=("named", "switch")
        )
        sources = [("sources", Source(name, "files", "localhost")) for name in ("shop", "site")]
        await here.catalog.apply([*sources, ("schedules", Judged(nightly)), ("schedules", Judged(proof))])
        await here.job(outcome=JobStatus.FAILED, schedule="nightly")
        await here.job(outcome=JobStatus.FAILED)
        for subject in ("source shop", "source site", "storage near", "host localhost"):
            alert = Message(Occasion.ALERT, Tone.FAILURE, subject, "", {"subject": subject})
            await here.catalog.notices.add([NewNotice(subject, alert)])
        await route(here.post)
        now = here.clock.now()
        told: dict[str, list[str]] = {}
        for line in await here.catalog.notices.told(now, now + datetime.timedelta(seconds=1)):
            told.setdefault(line.what, []).append(line.who)
        assert told == {
            "backup of shop failed": ["all", "all", "named", "narrow"],
            "source shop": ["all", "named", "narrow"],
            "source site": ["all"],
            "storage near": ["all", "named"],
            "host localhost": ["all", "named", "narrow"],
        }
        with pytest.raises(UsageError, match="schedule nightly names narrow"):
            await here.catalog.destinations.remove("narrow")


async def test_without_destinations_jobs_leave_nothing_in_the_outbox(tmp_path: Path) -> None:
    """A home that tells nobody pays nothing."""
    async with office(tmp_path) as here:
        await here.catalog.destinations.remove("switch")
        await here.job()
        assert await here.catalog.notices.waiting() == 0


async def test_what_is_not_taken_waits_longer_each_time_and_arrives(tmp_path: Path) -> None:
    """A webhook that answers 500 for ten minutes loses nobody's message, and is not stormed."""
    async with office(tmp_path) as here:
        await here.job()
        here.hook.status = 500
        first = await deliver(here.post)
        assert first.sent == 0
        assert first.failed == ["switch: it was not taken: it answered 500 Internal Server Error"]
        assert first.waiting == 2
        assert (await deliver(here.post)).failed == []
        here.clock.advance(60)
        assert len((await deliver(here.post)).failed) == 1
        here.hook.status = 200
        here.clock.advance(119)
        assert (await deliver(here.post)).sent == 0
        here.clock.advance(1)
        assert (await deliver(here.post)).sent == 2


LIVING = ProcessIdentity.current()
DEAD = dataclasses.replace(LIVING, started=LIVING.started - 1)
AFAR = ProcessIdentity("elsewhere", f"{LIVING.boot}0", 1, 1)


@pytest.mark.parametrize(
    ("owner", "wait_s"), [(LIVING, 601), (AFAR, 601), (DEAD, 0)], ids=["living", "unseen", "dead"]
)
async def test_a_sender_that_died_meanwhile_leaves_its_message_to_the_next_one(
    tmp_path: Path, owner: ProcessIdentity, wait_s: float
) -> None:
    """At least once: taken up, then nothing more was heard of it. Who is seen to be dead is not waited for; anybody else is, until the lease ends."""
    async with office(tmp_path) as here:
        await here.job()
        await route(here.post)
        assert len(await here.catalog.notices.take_due("switch", 10, 600.0, owner)) == 2
        if wait_s:
            assert (await deliver(here.post)).sent == 0
            here.clock.advance(wait_s)
        assert (await deliver(here.post)).sent == 2
        assert await here.catalog.notices.holders() == []


async def test_a_sender_that_is_cancelled_leaves_its_message_at_once(tmp_path: Path) -> None:
    """A worker that is stopped while a server hangs; the next one sends it."""
    async with office(tmp_path) as here:
        await here.job()
        here.hook.is_hanging = True
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(deliver(here.post))
            await here.hook.asked.wait()
            sending.cancel()
        here.hook.is_hanging = False
        assert (await deliver(here.post)).sent == 2


async def test_one_that_hangs_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    """Each destination by itself."""
    async with office(tmp_path) as here, webhook() as other:
        other.is_hanging = True

        async def secrets(reference: str) -> Secret:
            return Secret(other.ping_url if reference == "env:OTHER" else here.hook.ping_url)

        await here.catalog.destinations.add(Destination("another", "ping", "env:OTHER"))
        await here.job()
        post = Post(here.catalog, here.clock, secrets, timeout_s=60.0)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(deliver(post))
            await other.asked.wait()
            await here.hook.wait_posts(2)
            sending.cancel()
        assert here.titles == ["/start backup of shop began", " backup of shop is done"]


async def test_a_silence_keeps_jobs_from_people_but_not_from_a_switch(tmp_path: Path) -> None:
    """A switch that heard of the start would call people where it did not hear of the end."""
    async with office(tmp_path) as here:
        await here.catalog.sources.add(Source("shop", "files"))
        people = Destination("people", "apprise", "env:X")
        await here.catalog.destinations.add(people)
        now = here.clock.now()
        silence = Silence("5s", "host localhost", "", now, now + datetime.timedelta(hours=1), "new disks")
        await here.catalog.silences.add(silence)
        await here.job("backup", "shop", JobStatus.FAILED)
        assert (await deliver(here.post)).sent == 2
        await here.catalog.silences.end("5s")
        window = MaintenanceWindow("patching", "host local*", "hourly", 3599.0, "new kernels")
        await here.catalog.apply([("windows", window)])
        await here.job("backup", "shop", JobStatus.FAILED)
        here.clock.advance(2 * HOUR)  # what fell into it is not told when it is over: the alert is
        here.hook.posts.clear()
        assert (await deliver(here.post)).sent == 2
        assert len(here.hook.posts) == 2
        assert await here.catalog.notices.waiting() == 0


async def test_who_was_told_that_something_failed_is_known_for_a_year(tmp_path: Path) -> None:
    """A report on a year names it; that jobs began and ended well is no news after a month."""
    async with office(tmp_path) as here:
        began = here.clock.now()
        await here.job("backup", "shop", JobStatus.FAILED)
        await here.job()
        await deliver(here.post)
        counts = []
        for days in (29, 2, 368, 2):
            here.clock.advance(days * 24 * HOUR)
            await here.job()
            await deliver(here.post)
            counts.append(len(await here.catalog.notices.told(began, began + datetime.timedelta(days=1))))
    assert counts == [4, 1, 1, 0]


async def test_the_limit_of_an_hour_holds_messages_back_and_loses_none(tmp_path: Path) -> None:
    """They go, in one, when the hour is over."""
    async with office(tmp_path, messages_an_hour=1) as here:
        await here.catalog.destinations.remove("switch")
        await here.catalog.destinations.add(Destination("people", "apprise", "env:X"))

        async def secrets(_reference: str) -> Secret:
            return Secret(here.hook.url)

        post = Post(here.catalog, here.clock, secrets, here.post.settings, timeout_s=20.0)
        for number in range(2):
            message = Message(Occasion.FAILURE, Tone.FAILURE, f"number {number}", "body")
            await here.catalog.notices.add([NewNotice(f"k{number}", message)])
            await deliver(post)
            here.clock.advance(60)
        assert (len(here.hook.posts), await here.catalog.notices.waiting()) == (1, 1)
        here.clock.advance(HOUR)
        due = await here.catalog.notices.take_due("people", 10, HOUR, LIVING)
        assert [each.message.title for each in due] == ["number 1"]
