"""A day of a worker in a minute: schedules of each minute over SSH, two storages, kills, time without a worker, a source that fails.

The waits between one minute's jobs and the next minute are cut out of the clock that all processes here share; all that is done takes its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from engine.jobs.snapshot_tags import JOB_TAG
from engine.model.alerts import Condition, Destination
from engine.model.definitions import Source, Storage
from engine.model.job import JobStatus
from engine.model.schedules import Action, RunOutcome, Schedule, ScheduledRun, Timing
from tests.fakes.shared_clock import SharedClock
from tests.families.postgres import make_shop
from tests.jobs.world import World, open_world
from tests.servers.fault_proxy import ALWAYS, Fault, Harm, running_fault_proxy
from tests.servers.mail import MailServer, Webhook, mail_server, webhook
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.restic import ResticProgram
from tests.servers.sshd import Sshd
from tests.servers.tools import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MINUTE = datetime.timedelta(minutes=1)
NAMES = ("site", "shop")
STORAGES = ("near", "far")
RETRY_S = 20.0
TENDED_S = 11.0
"""A worker looks after what is to be told every ten seconds."""
TOLD_S = 4.0
"""So long what is being sent is waited for before more time passes."""
LONGEST_S = 120.0
"""Of what is waited for, on a slow machine."""


@dataclass(slots=True)
class Day:
    """The world, its clock, and the worker that lives."""

    world: World
    clock: SharedClock
    postgres: Postgres
    database: str
    worker: subprocess.Popen[bytes] | None = None
    sessions: list[int] = field(default_factory=list)
    """Of all workers there were."""
    began: datetime.datetime = field(init=False)
    """The first minute that is due lies after it."""

    def start_worker(self) -> None:
        """`holdfast worker`, as a service starts it."""
        words = [str(self.world.directory / "clock"), "--home", str(self.world.directory / "home"), "worker"]
        with (self.world.directory / "worker.out").open("ab") as out:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.by_clock", *words],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.sessions.append(self.worker.pid)

    def end_worker(self, number: signal.Signals) -> int:
        """Its exit code."""
        assert self.worker is not None
        self.worker.send_signal(number)
        return self.worker.wait(LONGEST_S)

    def left_processes(self) -> list[str]:
        """What the workers of this day left running."""
        return [
            f"{each.pid} {each.info['cmdline']}"
            for each in psutil.process_iter(["cmdline"])
            if each.pid not in (0, os.getpid()) and _session(each.pid) in self.sessions
        ]

    async def runs(self, name: str) -> list[ScheduledRun]:
        """What became of each instant, the oldest first."""
        return list(reversed(await self.world.engine.schedule_runs(name, limit=1000)))

    def to_next_minute(self, count: int = 1) -> None:
        """Cuts out the wait until then, and `count` - 1 minutes more."""
        now = self.clock.now()
        due = now.replace(second=0, microsecond=0) + count * MINUTE
        self.clock.advance((due - now).total_seconds() + 0.1)

    async def minute(self) -> None:
        """One minute as it is: its jobs run to their ends."""
        self.to_next_minute()
        await self.until_decided()

    async def until_decided(self) -> None:
        """Waits until what the newest minute brought is over."""

        async def is_decided() -> bool:
            return all([await self._is_over(name) for name in NAMES])

        await self._until(is_decided)

    async def until_drilled(self) -> ScheduledRun:
        """Waits until the drill to a random instant is over, which is due in the first minute."""

        async def is_drilled() -> bool:
            found = await self.runs("rehearse")
            return bool(found) and found[-1].outcome is not RunOutcome.OPEN

        await self._until(is_drilled)
        return (await self.runs("rehearse"))[-1]

    async def _is_over(self, name: str) -> bool:
        due = self.clock.now().replace(second=0, microsecond=0)
        newest = (await self.runs(name))[-1:]
        return bool(newest) and newest[0].planned_at >= due and newest[0].outcome is not RunOutcome.OPEN

    async def is_away(self) -> bool:
        """Whether an alert stands that the host cannot be reached."""
        standing = (await self.world.engine.alerts()).alerts
        return (Condition.UNREACHABLE, "host server") in [(each.condition, each.subject) for each in standing]

    async def until_told(self) -> None:
        """Waits until the worker has told what there is to tell."""
        notices = self.world.engine._parts.catalog.notices

        async def is_told() -> bool:
            return not await notices.unrouted(1) and not await notices.waiting()

        while True:
            self.clock.advance(TENDED_S)
            with contextlib.suppress(TimeoutError):
                return await self._until(is_told, TOLD_S)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """A table of the shop is another's meanwhile: a dump waits for it."""
        words = ["-h", str(self.postgres.directory), "-p", str(self.postgres.port), "-U", "postgres"]
        with subprocess.Popen(
            [str(self.postgres.binaries / "psql"), "-qAtX", *words, self.database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.write(b"begin; lock table customers in access exclusive mode; select 'held';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == b"held\n"
            yield
            holder.stdin.close()

    async def kill_in_a_dump(self) -> ScheduledRun:
        """Kills the worker while the dump of this minute is under way; the run that was hit."""
        with self.locked():
            self.to_next_minute()

            async def is_dumping() -> bool:
                waiting = f"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = '{self.database}'"
                return self.postgres.psql(waiting) != "0" and await self._is_over("site")

            await self._until(is_dumping)
            assert self.end_worker(signal.SIGKILL) == -signal.SIGKILL
        hit = (await self.runs("shop"))[-1]
        assert hit.outcome is RunOutcome.OPEN
        return hit

    async def until_queued_again(self, run: ScheduledRun) -> None:
        """Waits until somebody saw that the process of a run's job is gone."""
        jobs = self.world.engine._parts.catalog.jobs

        async def is_queued() -> bool:
            return (await jobs.get(run.job_id)).status is JobStatus.QUEUED

        await self._until(is_queued)

    async def until_waiting(self) -> None:
        """Waits until both jobs of this minute failed once, and wait for their next attempt."""
        due = self.clock.now().replace(second=0, microsecond=0)
        jobs = self.world.engine._parts.catalog.jobs

        async def is_waiting() -> bool:
            newest = [(await self.runs(name))[-1] for name in NAMES]
            if any(each.planned_at < due for each in newest):
                return False
            found = [await jobs.get(each.job_id) for each in newest]
            return all(each.status is JobStatus.QUEUED and each.error for each in found)

        await self._until(is_waiting)

    async def _until(self, condition: Callable[[], Awaitable[bool]], within_s: float = LONGEST_S) -> None:
        """Looks until it holds. Raises: TimeoutError."""
        async with asyncio.timeout(within_s):
            while not await condition():
                assert self.worker is not None
                assert self.worker.poll() is None, (self.world.directory / "worker.out").read_text()
                await asyncio.sleep(0.02)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


async def _add_ledger(day: Day, cluster: Postgres) -> None:
    """A server of this machine with a base. Once a day its log is shipped, and then it is brought back to a random instant."""
    options = cluster.options(physical=True, log_spool=str(cluster.spool), objective=["recovery-point=3600"])
    engine = day.world.engine
    await engine.add_source(Source("ledger", "postgres", options=options))
    await day.world.one_backup("ledger", ("logs",))
    cluster.psql("create table stamps as select clock_timestamp() as at")
    first = day.clock.now() + MINUTE
    ship = Schedule("log", Action.SHIP, f"{first.minute} {first.hour} * * *")
    drill = Schedule("rehearse", Action.DRILL, after="log", options={"level": "point-in-time"})
    for each in (ship, drill):
        await engine.add_schedule(dataclasses.replace(each, sources=("ledger",), storages=("logs",)))


@contextlib.asynccontextmanager
async def _day(
    directory: Path, server: Sshd, servers: tuple[Postgres, Postgres], told: tuple[MailServer, Webhook]
) -> AsyncIterator[Day]:
    """Two sources of a host, each with a schedule of every minute to both storages, the second of which lies on that host; and a log."""
    postgres, cluster = servers
    (directory / "world").mkdir()
    clock = SharedClock(directory / "world" / "clock")
    (directory / "tree").mkdir()
    for number in range(20):
        (directory / "tree" / str(number)).write_bytes(bytes([number]) * 5_000)
    async with open_world(directory / "world", clock) as world:
        day = Day(world, clock, postgres, make_shop(postgres))
        await world.add_host(server)
        await world.add_storages("near", "logs")
        options = {"host": "server", "path": str(world.place("far"))}
        password = f"file:{world.directory / 'password'}"
        await world.engine.add_storage(Storage("far", "sftp", options, password))
        await world.add_files("site", directory / "tree", host="server")
        shop = postgres.options(database=[day.database])
        await world.engine.add_source(Source("shop", "postgres", "server", shop))
        for name, url in zip(("mail", "hook"), (each.url for each in told), strict=True):
            address = world.directory / f"{name}.url"
            address.write_text(url, encoding="ascii")
            address.chmod(0o600)
            await world.engine.add_destination(Destination(name, "apprise", f"file:{address}"))
        timing = Timing(retry_delay_s=RETRY_S)
        for name in NAMES:
            await world.engine.add_schedule(
                Schedule(name, rhythm="every minute", sources=(name,), storages=STORAGES, timing=timing)
            )
        await _add_ledger(day, cluster)
        day.began = clock.now()
        day.start_worker()
        try:
            yield day
        finally:
            if day.worker is not None and day.worker.poll() is None:
                day.end_worker(signal.SIGKILL)


async def test_a_day_of_kills_and_failures_misses_nothing_and_tells_all(
    tmp_path: Path, sshd: Sshd, postgres: Postgres, restic_newest: ResticProgram
) -> None:
    """What an administrator wants of a night: all of it done or accounted for, people told, and repositories that stock restic finds clean."""
    async with (
        mail_server() as mail,
        webhook() as hook,
        running_fault_proxy(sshd.port) as way,
        _cluster() as cluster,
    ):
        servers = (postgres, cluster)
        async with _day(tmp_path, sshd.behind(way.port, tmp_path), servers, (mail, hook)) as day:
            await day.minute()
            await _is_rehearsed(day, await day.until_drilled())
            given_up = await day.kill_in_a_dump()
            day.to_next_minute(3)
            day.start_worker()
            await day.until_decided()
            await day.until_told()
            tried_again = await day.kill_in_a_dump()
            day.start_worker()
            await day.until_queued_again(tried_again)
            day.clock.advance(RETRY_S)
            await day.until_decided()
            way.arm(Fault(Harm.REFUSE, times=ALWAYS))
            while not await day.is_away():
                day.to_next_minute()
                await day.until_waiting()
                await day.until_told()
            way.heal()
            while await day.is_away():
                await day.minute()
                await day.until_told()
            await day.minute()
            assert day.end_worker(signal.SIGTERM) == 0
            await _is_accounted_for(day, given_up, tried_again)
            await _is_kept(day, restic_newest)
            assert (await day.world.engine.log_report("ledger")).gaps == ()
            assert day.left_processes() == []
            assert postgres.psql(f"select count(*) from pg_stat_activity where datname = '{day.database}'") == "0"  # fmt: skip
        _is_told([f"{each['subject']}\n{each.get_content()}" for each in mail.mails])
        _is_told([body for _, body in hook.posts])


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[Postgres]:
    """A server whose log goes into its spool, in small segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as cluster:
        yield cluster


async def _is_rehearsed(day: Day, run: ScheduledRun) -> None:
    """The drill came by itself, and its evidence tells the instant, how long it took, and what would have been lost."""
    assert run.outcome is RunOutcome.COMPLETED, run
    item, document, validity = await day.world.engine.show_evidence(run.job_id)
    assert (item.source, item.level, item.status, validity) == ("ledger", "point-in-time", "passed", "valid")
    drilled = document["drill"]
    assert min(drilled["rto_s"], drilled["rpo_s"]) > 0
    assert drilled["steps"][0]["step"] == "choose an instant"


async def _is_accounted_for(day: Day, given_up: ScheduledRun, tried_again: ScheduledRun) -> None:
    """Each minute of each schedule is a run that is over, or a skip that says why; each job came to an end."""
    jobs = day.world.engine._parts.catalog.jobs
    first = day.began.replace(second=0, microsecond=0) + MINUTE
    for name in NAMES:
        runs = await day.runs(name)
        count = (runs[-1].planned_at - first) // MINUTE + 1
        assert [each.planned_at for each in runs] == [first + number * MINUTE for number in range(count)]
        assert day.clock.now() - runs[-1].planned_at < MINUTE
        for run in runs:
            match run.outcome:
                case RunOutcome.COMPLETED:
                    assert not run.reason
                case RunOutcome.FAILED:
                    assert run.reason.endswith("; no other attempt, the next run is due")
                case RunOutcome.SKIPPED:
                    assert run.reason.startswith("missed; the run of ")
                case _:
                    raise AssertionError(run)
    by_instant = {each.planned_at: each for each in await day.runs("shop")}
    assert by_instant[given_up.planned_at].reason.startswith("the process that ran it ended without a word;")
    assert by_instant[tried_again.planned_at].outcome is RunOutcome.COMPLETED
    assert (await jobs.get(tried_again.job_id)).attempts == 2
    ended = {each.status for each in await jobs.page(limit=-1)}
    assert ended == {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.INTERRUPTED}


async def _is_kept(day: Day, program: ResticProgram) -> None:
    """Each run that went well is one snapshot in either storage, and no other run is any."""
    done = [
        each.job_id for name in NAMES for each in await day.runs(name) if each.outcome is RunOutcome.COMPLETED
    ]
    for name in STORAGES:
        restic = day.world.restic(program, name)
        tags = [tag for each in restic.snapshots() for tag in each["tags"] if tag.startswith(JOB_TAG)]
        assert sorted(tags) == sorted(JOB_TAG + each for each in done)
        assert restic.list_names("locks") == []
        restic.check()


def _is_told(messages: list[str]) -> None:
    """That the kill left a backup undone, that the host was away, that all is well again; nothing that was no news."""
    told = "\n".join(messages)
    said = ("backup of shop was interrupted", "backup of site failed", "the connection to server was lost")
    assert [each for each in (*said, "host server: over after") if each not in told] == [], told
    assert told.index("backup of site failed") < told.index("host server: over after")
    assert "never backed up" not in told
