"""A year of a small fleet, with a clock that is moved: it ends with exactly what `year_expected.txt` says, which was written by hand before it.

Real are: schedules, ticks, the worker and its jobs; each backup, drill and retention, in real repositories on this machine's disk; the host,
which is reached over SSH, and in June leads to a port where nothing listens; the alerts; each message, which apprise brings to a server of HTTP; and
the reports, as they are kept. Not real are the clock, which jumps to the next instant at which anything is due; the cost of keys and the wait for
locks, which nobody else holds; the process that apprise has for itself, which would start anew for each message (test_notifications.py proves
that one); the look at a host that found a server; and the looks: at everything after each job and at noon and not every five minutes, at hosts that
were silent at noon and at the storages once a week and not each hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import random
import socket
import sqlite3
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine import events
from engine.jobs import uncovered
from engine.model.alerts import Destination, Occasion
from engine.model.backup import BackupStatus
from engine.model.definitions import Source
from engine.model.schedules import Action, RunOutcome, Schedule, Timing
from engine.notifications import child
from engine.notify import Notifier
from engine.repository import lock
from tests.fakes.clock import FakeClock
from tests.jobs.world import World, open_world
from tests.jobs.year_records import ZONE, Row, expected, of_reports, shown
from tests.servers.mail import Webhook, webhook
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

EXPECTED = Path(__file__).with_name("year_expected.txt")
Step = Callable[[], Awaitable[Any]]


def _at(month: int, day: int, hour: int = 0, year: int = 2026) -> datetime.datetime:
    return datetime.datetime(year, month, day, hour, tzinfo=ZONE).astimezone(datetime.UTC)


BEGIN, END = _at(1, 1), _at(1, 1, year=2027)
OFF, ON = _at(12, 7), _at(12, 14)
"""This machine is switched off."""
REFUSES, ANSWERS = _at(6, 1), _at(7, 1)
MB = 1_000_000
_SUNDAY = 7
_SETTINGS = "[catalog]\ncopies = false\n[limits]\nstorage_jobs = 1\n"
"""One job after the other at a storage, so that none waits in real time for another's lock."""
_TOLD = "$occasion | $subject | $condition$verb\n$reason"
"""What a message says: a job's has its verb, an alert's its condition."""


class BerlinClock(FakeClock):
    """The clock of a machine in Berlin."""

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """As the zone has it then."""
        return datetime.timezone(instant.astimezone(ZONE).utcoffset() or datetime.timedelta())


class Year:
    """The fleet, and the person who looks after it."""

    def __init__(
        self, world: World, clock: BerlinClock, server: Sshd, refusing_port: int, hook: Webhook
    ) -> None:
        self._world = world
        self._hook = hook
        self.messages: list[Row] = []
        """All that arrived, and when."""
        self._engine = world.engine
        self._clock = clock
        self._server = server
        self._directory = world.directory
        self._random = random.Random(2026)
        self.person: dict[datetime.datetime, Step] = {
            _at(1, 3, 13): self._define,
            _at(2, 8, 13): self._acknowledge,
            _at(3, 2, 13): self._acknowledge,
            _at(3, 28, 13): self._define_ledger,
            _at(4, 7, 13): self._give_room,
            _at(5, 4, 13): self._acknowledge,
            REFUSES: lambda: self._lead_host_to(refusing_port),
            _at(6, 3, 13): self._acknowledge,
            _at(6, 8, 13): self._acknowledge,
            ANSWERS: lambda: self._lead_host_to(server.port),
            _at(7, 2, 13): self._acknowledge,
            _at(12, 1): self._back_up_daily,
        }
        self.noons = [
            datetime.datetime.combine(
                BEGIN.astimezone(ZONE).date() + datetime.timedelta(days), datetime.time(12), ZONE
            ).astimezone(datetime.UTC)
            for days in range(365)
        ]

    async def live(self) -> None:
        """From the first of January to the last of December."""
        planned = sorted([*self.person, *self.noons])
        while True:
            due = await self._work()
            now = self._clock.now()
            planned = [each for each in planned if each > now]
            coming = min([*planned[:1], *due, END])
            if coming >= END:
                return
            if OFF <= coming < ON:
                coming = ON
            self._clock.advance((coming - now).total_seconds())
            if coming in self.person:
                await self.person[coming]()

    async def _work(self) -> list[datetime.datetime]:
        """What a worker does at this instant: starts what is due, runs it and what follows, looks. When something is due next."""
        is_worked = False
        while True:
            self._add_photo()
            ticked = await self._engine.tick(is_starting_worker=False)
            queue = await self._engine._parts.catalog.jobs.queue()
            if not queue.ready:
                break
            is_worked = True
            await self._engine.worker(is_staying=False, linger_s=0.0).work(Notifier(), events.ignore)
        is_noon = self._clock.now() in self.noons
        if is_noon:
            await self._engine.look_at_hosts()
            if self._clock.now().astimezone(ZONE).isoweekday() == _SUNDAY:
                await self._engine.look_at_storages()
        if is_noon or is_worked:
            wanted = await self._engine.expectations()
            await self._engine.evaluate_alerts(wanted.sources, is_worker_wanted=wanted.is_worker_wanted)
            await self._tell()
        return [each for each in (ticked.next_at, queue.next_at) if each is not None]

    async def _tell(self) -> None:
        told = await self._engine.flush_notices()
        assert (told.failed, told.waiting) == ([], 0)
        for _, body in self._hook.posts:
            self.messages.append((shown(self._clock.now()), *json.loads(body)["title"].split(" | ")))
        self._hook.posts.clear()

    async def _define(self) -> None:
        engine, directory = self._engine, self._directory
        await self._world.add_storages("near", "far")
        await engine.edit_storage("near", {"max_size": 200 * MB})
        await engine.edit_storage("far", {"max_size": 20_200_000})
        for name in ("site", "photos"):
            (directory / name).mkdir()
            await self._world.add_files(name, directory / name)
        (directory / "site" / "page").write_text("a page")
        (directory / "photos" / "first").write_bytes(self._random.randbytes(8 * MB))
        with contextlib.closing(sqlite3.connect(directory / "shop.db")) as shop:
            shop.execute("CREATE TABLE orders (number INTEGER)")
        await self._world.add_host(self._server, "db1")
        await engine.add_source(Source("shop", "sqlite", "db1", {"path": str(directory / "shop.db")}))
        timing = Timing("Europe/Berlin", retries=1, retry_delay_s=120)
        keep = {"keep_daily": 7, "keep_weekly": 5, "keep_monthly": 12}
        for each in (
            Schedule("site", rhythm="30 2 * * sun", sources=("site",), timing=timing, options=keep),
            Schedule("photos", rhythm="0 5 * * sun", sources=("photos",), storages=("far",), timing=timing),
            Schedule("shop", rhythm="0 4 * * mon", sources=("shop",), timing=timing, options={"keep_weekly": 4, "keep_monthly": 3}),
            Schedule("months", Action.REPORT, "0 8 1 * *", timing=timing, options={"days": 31}),
            Schedule("years", Action.REPORT, "0 18 31 12 *", timing=timing, options={"days": 365}),
            Schedule("drills", Action.DRILL, "0 12 1 2-12 *", sources=("site", "shop"), timing=timing),
        ):  # fmt: skip
            await engine.add_schedule(each)
        address = directory / "address"
        address.write_text(self._hook.url, encoding="ascii")
        address.chmod(0o600)
        told = (Occasion.FAILURE, Occasion.ALERT, Occasion.RECOVERY)
        people = Destination("people", "apprise", f"file:{address}", occasions=told, template=_TOLD)
        await engine.add_destination(people)
        found = ("postgres 127.0.0.1:5432",)
        await uncovered.remember(engine._parts.catalog, "db1", found, self._clock.now())

    async def _define_ledger(self) -> None:
        (self._directory / "ledger").write_text("entries")
        run = {"run": f"cat {self._directory / 'ledger'}", "filename": "ledger"}
        await self._engine.add_source(Source("ledger", "command", options=run))
        timing = Timing("Europe/Berlin", retries=1, retry_delay_s=120)
        for name, rhythm in (("spring", "15 * 29 3 *"), ("autumn", "15 * 25 10 *")):
            await self._engine.add_schedule(Schedule(name, rhythm=rhythm, sources=("ledger",), timing=timing))

    def _add_photo(self) -> None:
        """One more each week, before they are backed up."""
        here = self._clock.now().astimezone(ZONE)
        path = self._directory / "photos" / f"{here:%m-%d}"
        is_first = here.date() <= datetime.date(2026, 1, 4)
        if (here.isoweekday(), here.hour) == (_SUNDAY, 5) and not is_first and not path.exists():
            path.write_bytes(self._random.randbytes(MB))

    async def _lead_host_to(self, port: int) -> None:
        await self._engine.edit_host("db1", f"{self._server.user}@{self._server.address}:{port}", {})

    async def _give_room(self) -> None:
        await self._acknowledge()
        await self._engine.edit_storage("far", {"max_size": 80 * MB})

    async def _back_up_daily(self) -> None:
        schedule = (await self._engine.show_schedule("site")).schedule
        await self._engine.edit_schedule(
            Schedule("site", rhythm="daily at 02:30", sources=schedule.sources, timing=schedule.timing, options=schedule.options)
        )  # fmt: skip

    async def _acknowledge(self) -> None:
        """All that people were told of and nobody saw to yet."""
        for each in (await self._engine.alerts()).alerts:
            if each.is_risk and each.acknowledged_at is None:
                await self._engine.acknowledge_alert(each.alert_id, "I see to it")

    async def alerts(self) -> list[Row]:
        """All that there were."""
        found = (await self._engine.alerts(is_past_included=True, limit=1000)).alerts
        return [
            (
                each.subject,
                each.condition.value,
                "risk" if each.is_risk else "advice",
                shown(each.raised_at),
                shown(each.recovered_at) if each.recovered_at else "stands",
            )
            for each in found
        ]

    async def runs(self) -> list[Row]:
        """Those of backups and drills that were not just done at their time."""
        found: list[Row] = []
        for name in ("site", "photos", "shop", "drills", "spring", "autumn", "months", "years"):
            for each in await self._engine.schedule_runs(name, limit=1000):
                assert each.decided_at is not None
                is_usual = each.outcome is RunOutcome.COMPLETED and each.decided_at == each.planned_at
                if not is_usual and not each.part.startswith("forget "):
                    found.append((name, shown(each.planned_at), each.outcome.value, shown(each.decided_at)))
        return found

    async def backups(self, *, is_failed: bool) -> list[Row]:
        """What is left."""
        return [
            (each.source, shown(each.created_at))
            for each in await self._engine.backups(limit=0)
            if (each.status is BackupStatus.FAILED) is is_failed
        ]


@pytest.fixture
def apprise_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise in a thread of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own modules, which it loads for the first address
        from engine.notifications import services_child

        services_child.answer({"url": "json://127.0.0.1/"})

    async def ask(_module: str, request: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        async with asyncio.timeout(timeout_s):
            return await asyncio.to_thread(services_child.answer, dict(request))

    monkeypatch.setattr(child, "ask", ask)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("apprise_here")
async def test_a_year_ends_with_exactly_the_backups_alerts_messages_and_reports_that_policy_says(
    tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both changes of the clock, a month of a host that refuses, a storage that fills up, a week switched off."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)
    clock = BerlinClock(BEGIN)
    home = tmp_path / "world" / "home"
    home.mkdir(mode=0o700, parents=True)
    (home / "config.toml").write_text(_SETTINGS, encoding="ascii")
    async with open_world(tmp_path / "world", clock, copies_catalog=True) as world, webhook() as hook:
        # Bound and not listening: it refuses, and nobody else can listen there meanwhile.
        with socket.socket() as deaf:
            deaf.bind((sshd.address, 0))
            year = Year(world, clock, sshd, deaf.getsockname()[1], hook)
            await year.live()
        lived = {
            "ALERTS": await year.alerts(),
            "MESSAGES": year.messages,
            "RUNS": await year.runs(),
            "BACKUPS": await year.backups(is_failed=False),
            "FAILED": await year.backups(is_failed=True),
            **of_reports(world.engine.home.evidence, year.messages),
        }
    wanted = expected(EXPECTED)
    assert list(lived) == list(wanted)
    surplus = [(name, *row) for name, rows in lived.items() for row in sorted(set(rows) - set(wanted[name]))]
    missing = [(name, *row) for name, rows in lived.items() for row in sorted(set(wanted[name]) - set(rows))]
    assert (surplus, missing) == ([], [])
    assert {name: sorted(rows) for name, rows in lived.items()} == wanted
