"""A PostgreSQL server's log through whole jobs, streamed from a replication slot over sshd."""

from __future__ import annotations

import contextlib
import datetime
import random
from collections.abc import Iterator

import pytest

from engine.errors import HoldfastError
from engine.model.definitions import Source
from engine.model.logs import ShippedLog
from engine.model.requests import DrillRequest, ShipRequest
from engine.sources.postgres import wal
from tests.jobs.world import World
from tests.servers.fault_proxy import Fault, Harm, Way, running_fault_proxy
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.restic import ResticProgram
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow
SEGMENT = 1 << 20


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose segments are small, and which keeps copies of them in its spool."""
    with running_postgres(is_archiving=True, segment_mib=1) as server:
        yield server


async def _stream(world: World, server: Sshd, cluster: Postgres, *storages: str) -> None:
    """The cluster as a source, with a base in each of these storages."""
    await world.add_storages(*storages)
    await world.add_host(server)
    options = cluster.options(physical=True, log_slot="holdfast")
    await world.engine.add_source(Source("shop", "postgres", "server", options))
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
            held = await world.engine.log_report("shop")
            confirmed = _restart_lsn(cluster) // SEGMENT
            for reach in held.reaches:
                assert (
                    not reach.path or max(run.last for run in reach.path if not run.is_tail) >= confirmed - 1
                )
        assert struck >= 5
        cluster.psql("select pg_switch_wal()")
        last = await _ship(world, "first", "second")
    assert (last.status, last.gaps, last.waiting) == ("completed", (), 0)
    assert _restart_lsn(cluster) % SEGMENT == 0
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
    """The segment that the server writes comes as far as it goes: what is lost with it is what came since the last look."""
    await _stream(world, sshd, cluster, "first")
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
    assert last.recoverable_to is not None
    for at, expected in ((before, "2"), (last.recoverable_to, "1002")):
        check = ("postgres", "select count(*) from stamps", expected)
        drilled = await world.engine.drill(DrillRequest("shop", at=at, checks=(check,)))
        assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)
