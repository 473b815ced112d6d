"""A PostgreSQL server's log through whole jobs, streamed from a replication slot over sshd."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.errors import HoldfastError, SourceError
from engine.events import Warned
from engine.model.definitions import OptionValue, Source
from engine.model.log_report import LogReport
from engine.model.requests import DrillRequest, ShipRequest
from engine.model.shipments import ShippedLog
from engine.sources.postgres import wal
from tests.jobs.world import World
from tests.servers.fault_proxy import Fault, Harm, Way, running_fault_proxy
from tests.servers.postgres import Postgres, controlled, running_postgres, started_postgres
from tests.servers.restic import ResticProgram
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow
SEGMENT = 1 << 20


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose segments are small, and which keeps copies of them in its spool."""
    with running_postgres(is_archiving=True, segment_mib=1) as server:
        yield server


async def _stream(
    world: World, server: Sshd, cluster: Postgres, *storages: str, **more: OptionValue | None
) -> None:
    """The cluster as a source, with a base in each of these storages."""
    await world.add_storages(*storages)
    await world.add_host(server)
    options = {**cluster.options(physical=True, log_slot="holdfast"), **more}
    given = {name: value for name, value in options.items() if value is not None}
    await world.engine.add_source(Source("shop", "postgres", "server", given))
    await world.one_backup("shop", to=storages)


def _write(cluster: Postgres, segments: int) -> None:
    """So many segments of log, and then some."""
    cluster.psql(
        f"create table if not exists noise (t text); insert into noise select repeat(md5(i::text), 30) from generate_series(1, {segments * 1000}) i"
    )


def _restart_lsn(cluster: Postgres) -> int:
    return wal.parse_position(cluster.psql("select restart_lsn from pg_replication_slots"))


async def test_a_stream_that_is_cut_anywhere_goes_on_without_a_gap(
    world: World, cluster: Postgres, sshd: Sshd, restic_packaged: ResticProgram
) -> None:
    """What is kept in the end is byte for byte what the server archives itself, and the server keeps all that is not yet kept."""
    async with running_fault_proxy(sshd.port) as way:
        await _stream(world, sshd.behind(way.port, world.directory), cluster, "first", "second")
        dice = random.Random(7)
        struck = 0
        for _ in range(10):
            _write(cluster, 2)
            way.arm(Fault(Harm.CUT, Way.DOWN, dice.randrange(4 << 20)))
            with contextlib.suppress(HoldfastError):
                await _ship(world, "first", "second")
            struck += way.struck
            way.heal()
            confirmed = _restart_lsn(cluster) // SEGMENT
            held = await world.engine.log_report("shop")
            for storage in ("first", "second"):
                paths = [each.path for each in held.reaches if each.storage == storage]
                ends = [run.last for path in paths for run in path if not run.is_tail]
                assert max(ends, default=confirmed - 1) >= confirmed - 1
        assert struck >= 5
        await _ship(world, "first", "second")
        confirmed = _restart_lsn(cluster)
        world.place("second").rename(world.place("away"))
        _write(cluster, 2)
        half = await _ship(world, "first", "second")
        assert (half.status, half.storages, _restart_lsn(cluster)) == ("incomplete", ("first",), confirmed)
        world.place("away").rename(world.place("second"))
        cluster.psql("select pg_switch_wal()")
        last = await _ship(world, "first", "second")
    assert (last.status, last.gaps, last.waiting) == ("completed", (), 0)
    assert _restart_lsn(cluster) % SEGMENT == 0
    assert _restart_lsn(cluster) > confirmed
    for storage in ("first", "second"):
        target = world.directory / "out" / storage
        world.restic(restic_packaged, storage).restore("latest", target, "--tag", "holdfast:logs-of=shop")
        kept = {each.name: each.read_bytes() for each in target.rglob("*") if each.is_file()}
        numbers = sorted(int(name[16:], 16) for name in kept if not name.endswith(".partial"))
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        own = {each.name: each.read_bytes() for each in cluster.spool.iterdir() if each.name in kept}
        assert len(own) > 15
        assert {name: kept[name] for name in own} == own
        assert sum(name.endswith(".partial") for name in kept) <= 1


async def _ship(world: World, *storages: str) -> ShippedLog:
    result = await world.engine.ship(ShipRequest(("shop",), storages))
    (shipped,) = result.logs
    return shipped


async def test_what_was_committed_just_now_can_be_reached(
    world: World, cluster: Postgres, sshd: Sshd
) -> None:
    """The segment that the server writes comes as far as it goes: what is lost with it is what came since the last look. A role that may replicate
    and no more is enough."""
    cluster.psql(
        "create role streamer login replication password 'a secret'; grant pg_read_all_settings to streamer"
    )
    (world.directory / "streamer").write_text("a secret", encoding="ascii")
    secret = f"file:{world.directory / 'streamer'}"
    await _stream(
        world, sshd, cluster, "first", socket=None, db_host="127.0.0.1", user="streamer", secret=secret
    )
    cluster.psql("create table stamps (at timestamptz); insert into stamps values (clock_timestamp())")
    shipped = await _ship(world, "first")
    assert (shipped.status, shipped.waiting, shipped.gaps) == ("completed", 0, ()), shipped
    cluster.psql("insert into stamps values (clock_timestamp())")
    again = await _ship(world, "first")
    assert again.segments == 0
    before = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
    cluster.psql(
        "select pg_sleep(0.01); insert into stamps select clock_timestamp() from generate_series(1, 1000)"
    )
    last = await _ship(world, "first")
    assert last.status == "completed"
    state = (await world.engine.log_report("shop")).state
    assert state is not None
    assert state.free_bytes
    assert f'port-forwarding,permitopen="127.0.0.1:{cluster.port}"' in await world.engine.host_grants(
        "server"
    )
    assert last.recoverable_to is not None
    for at, expected in ((before, "2"), (last.recoverable_to, "1002")):
        check = ("postgres", "select count(*) from stamps", expected)
        drilled = await world.engine.drill(DrillRequest("shop", at=at, checks=(check,)))
        assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)


@asynccontextmanager
async def _following(world: World, poll_s: float) -> AsyncIterator[None]:
    """Ships as long as it is open."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            world.engine.ship(ShipRequest(("shop",), ("first",), follow_s=2 * poll_s + 600, poll_s=poll_s))
        )
        try:
            yield
        finally:
            task.cancel()


async def _until(world: World, condition: Callable[[LogReport], bool]) -> LogReport:
    """What is known of the log, once that holds. The server and the job write it down, and tell nobody."""
    deadline = time.monotonic() + 60
    while not condition(found := await world.engine.log_report("shop")):
        assert time.monotonic() < deadline, f"{found}"
        await asyncio.sleep(0.02)  # other processes set no event
    return found


def _stamp(server: Postgres) -> datetime.datetime:
    """One more row; its transaction ended at that instant or later."""
    return datetime.datetime.fromisoformat(
        server.psql("insert into stamps values (clock_timestamp()) returning at")
    )


def _reaches(report: LogReport, at: datetime.datetime) -> bool:
    return report.recoverable_to is not None and report.recoverable_to > at


def _series(report: LogReport) -> str:
    return report.state.series if report.state is not None else ""


def _last_whole(report: LogReport) -> int:
    return max((run.last for each in report.reaches for run in each.path if not run.is_tail), default=0)


async def test_a_followed_stream_commits_each_segment_at_once(
    world: World, cluster: Postgres, sshd: Sshd
) -> None:
    """Nobody waits for the next poll where a segment is whole."""
    await _stream(world, sshd, cluster, "first")
    async with _following(world, poll_s=3600):
        await _until(world, lambda found: found.state is not None)
        for _ in range(3):
            _write(cluster, 2)
            position = wal.parse_position(cluster.psql("select pg_current_wal_flush_lsn()"))
            await _until(world, lambda found: _last_whole(found) >= position // SEGMENT - 1)  # noqa: B023 -- it is called in this round
    assert _restart_lsn(cluster) >= position // SEGMENT * SEGMENT


@contextlib.contextmanager
def _standby(primary: Postgres) -> Iterator[Postgres]:
    """A standby that follows the primary, and has a slot of the same name."""
    directory = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/tmp"))
    words = [
        "-h",
        str(primary.directory),
        "-p",
        str(primary.port),
        "-U",
        "postgres",
        "-D",
        str(directory / "data"),
    ]
    try:
        subprocess.run(
            [
                str(primary.binaries / "pg_basebackup"),
                *words,
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            check=True,
        )
        shutil.chown(directory, primary.account)
        for each in directory.rglob("*"):
            shutil.chown(each, primary.account)
        with started_postgres(directory) as server:
            server.psql("select pg_create_physical_replication_slot('holdfast', true)")
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def test_a_promotion_under_a_stream_is_followed(world: World, cluster: Postgres, sshd: Sshd) -> None:
    """After a fail-over the log goes on on a new timeline, and what was stamped on both can be reached; a server that is stopped waits for nothing."""
    await _stream(world, sshd, cluster, "first")
    with _standby(cluster) as standby, controlled(standby) as restart:
        cluster.psql("create table stamps (at timestamptz)")
        _stamp(cluster)
        _write(cluster, 2)
        await _ship(world, "first")
        await world.engine.edit_source("shop", {"socket": str(standby.directory), "port": standby.port})
        async with _following(world, poll_s=0.2):
            _write(cluster, 2)
            last = _stamp(cluster)
            await _until(world, lambda found: _reaches(found, last))
            standby.psql("select pg_promote()")
            _write(standby, 2)
            await asyncio.to_thread(restart, "fast")
            after = _stamp(standby)
            found = await _until(world, lambda found: _reaches(found, after) and _series(found) == "00000002")
        assert list(found.gaps) == []
        path = max(found.reaches, key=lambda each: each.ends_at).path
        assert [run.series for run in path] == ["00000001", "00000002", "00000002"]
        check = ("postgres", "select count(*) from stamps", "3")
        drilled = await world.engine.drill(DrillRequest("shop", at=found.recoverable_to, checks=(check,)))
        assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)


async def test_a_slot_that_is_gone_is_said_and_a_base_makes_it_anew(
    world: World, cluster: Postgres, sshd: Sshd
) -> None:
    """Dropped by somebody, or given up by the server: what is missing is a gap, and all behind the new base can be reached."""
    await _stream(world, sshd, cluster, "first")
    cluster.psql("alter system set max_slot_wal_keep_size = '1MB'")
    for words, sql in (
        ("has no replication slot holdfast", "select pg_drop_replication_slot('holdfast')"),
        ("gave the replication slot holdfast up", "select pg_reload_conf()"),
    ):
        await _ship(world, "first")
        cluster.psql(sql)
        for _ in range(2):
            _write(cluster, 3)
            cluster.psql("select pg_switch_wal(); checkpoint")
        with pytest.raises(SourceError, match=words) as refused:
            await _ship(world, "first")
        assert "holdfast backup" in str(refused.value.hint)
        state = (await world.engine.log_report("shop")).state
        assert state is not None
        assert words in state.error
        before = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
        await world.one_backup("shop", to=["first"])
        cluster.psql("create table if not exists stamps (t text)")
        again = await _ship(world, "first")
        assert (again.status, bool(again.gaps)) == ("completed", True)
        assert again.recoverable_to is not None
        assert again.recoverable_to > before
    assert await world.engine.log_setup("shop") == []
    assert await world.engine.drop_log("shop") == "replication slot holdfast"
    assert await world.engine.drop_log("shop") == ""
    await world.engine.remove_source("shop")
    assert any(
        isinstance(each, Warned) and "pg_drop_replication_slot('holdfast')" in each.message
        for each in world.heard
    )
