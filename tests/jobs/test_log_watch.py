"""What watches over a log: alerts, status and figures, through whole jobs against a real server."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import HoldfastError, PathMissingError, RefusedError
from engine.export import prometheus
from engine.model.alerts import Condition
from engine.model.definitions import Source
from engine.model.log_watch import LogGlance
from engine.model.requests import ShipRequest
from engine.model.schedules import Action, Schedule
from engine.model.shipments import ShippedLog
from engine.model.status import SourceStatus
from tests.jobs.world import World, open_world
from tests.servers.postgres import Postgres, running_postgres, started_postgres, stop
from tests.servers.small_disk import fill, small_disk

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool in small segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as server:
        yield server


async def _begin(world: World, cluster: Postgres, storages: Sequence[str] = ()) -> None:
    """A source with a base and a log that was shipped once, and a schedule that ships it."""
    options = cluster.options(physical=True, log_spool=str(cluster.spool), objective=["recovery-point=3600"])
    await world.engine.add_source(Source("shop", "postgres", options=options))
    schedule = Schedule("log", Action.SHIP, "every 5 minutes", sources=("kind:postgres",))
    await world.engine.add_schedule(schedule)
    await world.one_backup("shop", storages)
    cluster.psql("create table stamps (at timestamptz)")
    await _ship(world, *storages)


async def _ship(world: World, *storages: str) -> ShippedLog:
    """One shipment, with a row to ship."""
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",), storages))).logs
    return shipped


async def _row(world: World) -> SourceStatus:
    (row,) = (await world.engine.status((await world.engine.expectations()).sources)).sources
    return row


async def _glance(world: World) -> LogGlance:
    row = await _row(world)
    assert row.log is not None
    return row.log


async def _alerts(world: World) -> dict[Condition, str]:
    """Those of logs that stand now, with their reasons."""
    found = await world.engine.evaluate_alerts((await world.engine.expectations()).sources)
    return {each.condition: each.reason for each in found.standing if each.condition.value.startswith("log-")}


def _lose_segment(cluster: Postgres) -> None:
    """Takes one out of the spool that nobody has seen, with one behind it."""
    for _ in range(2):
        cluster.psql("insert into stamps values (clock_timestamp()); select pg_switch_wal()")
    waiting = "select count(*) from pg_stat_archiver where last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1)"
    while cluster.psql(waiting) != "1":
        cluster.psql("select pg_sleep(0.01)")
    min(cluster.spool.glob("0*")).unlink()


class _Moved(SystemClock):
    """The machine's clock, so many seconds ahead: a later at which nobody looked in between."""

    ahead_s = 0.0

    def now(self) -> datetime.datetime:
        """That time."""
        return super().now() + datetime.timedelta(seconds=self.ahead_s)


async def _point_is_held(world: World, clock: _Moved) -> None:
    """Against its goal of an hour, by status, figures and alerts: well now, and missed where no worker looks for two."""
    for ahead_s, is_missed in ((0.0, False), (7200.0, True)):
        clock.ahead_s = ahead_s
        found = await world.engine.status((await world.engine.expectations()).sources)
        (row,) = found.sources
        assert row.recovery_point_s is not None
        assert ahead_s <= row.recovery_point_s < ahead_s + 600
        told = {each.condition for each in found.concerns}
        assert (Condition.OBJECTIVE_MISSED in told) == is_missed, found.concerns
        assert told & {Condition.WORKER_GONE, Condition.LOG_STOPPED} or not is_missed
        text = prometheus.text(await world.engine.metrics()).decode()
        (figure,) = re.findall(r'^holdfast_recovery_point_seconds\{source="shop"\} (.+)$', text, re.MULTILINE)
        assert ahead_s <= float(figure) < ahead_s + 600
    clock.ahead_s = 0.0


async def _gap_is_told(world: World, cluster: Postgres, clock: _Moved) -> None:
    """Until there is a base behind it."""
    well = await _row(world)
    (report,) = await world.engine.log_reports()
    assert (well.recoverable_to, well.recovery_point_goal_s) == (report.recoverable_to, 3600)
    assert well.recovery_point_s is not None
    _lose_segment(cluster)
    assert len((await _ship(world)).gaps) == 1
    assert await world.engine._is_log_news()
    (reason,) = (await _alerts(world)).values()
    assert not await world.engine._is_log_news()
    assert "1 segment of its log missing in storage near" in reason
    glance = await _glance(world)
    assert (glance.open_gaps, glance.gaps) == (1, 1)
    assert glance.recoverable_to is not None
    assert well.recoverable_to is not None
    assert glance.recoverable_to <= well.recoverable_to
    await _figures_tell(world, gaps=1, failing=0)
    await _point_is_held(world, clock)
    await world.one_backup("shop")
    await _ship(world)
    assert await _alerts(world) == {}
    assert ((await _glance(world)).open_gaps, (await _glance(world)).gaps) == (0, 1)


async def _spool_that_is_gone_is_told(world: World, cluster: Postgres) -> None:
    """Until it is there."""
    await world.engine.edit_source("shop", {"log_spool": str(cluster.spool / "gone")})
    with pytest.raises(PathMissingError, match="has no folder"):
        await _ship(world)
    assert "has no folder" in (await _alerts(world))[Condition.LOG_STOPPED]
    await _figures_tell(world, gaps=0, failing=1)
    await world.engine.edit_source("shop", {"log_spool": str(cluster.spool)})
    assert (await _ship(world)).status == "completed"
    assert await _alerts(world) == {}


async def _figures_tell(world: World, *, gaps: int, failing: int) -> None:
    """Prometheus hears the same, and its rules know the figures."""
    text = prometheus.text(await world.engine.metrics()).decode()
    for name, value in (("open_gaps", gaps), ("failing", failing)):
        assert f'holdfast_log_{name}{{source="shop"}} {value}\n' in text
    for name in ("recoverable_to_timestamp_seconds", "lag_seconds", "host_free_bytes", "waiting_bytes"):
        assert f'holdfast_log_{name}{{source="shop"}}' in text
    assert 'holdfast_recovery_point_goal_seconds{source="shop"} 3600\n' in text


async def _restart_is_told(world: World, cluster: Postgres, clock: _Moved) -> None:
    """A server that is down fails the look, and takes nothing of what was reached; once it is up all goes on, without a gap."""
    stop(cluster)
    with pytest.raises(HoldfastError):
        await _ship(world)
    assert list(await _alerts(world)) == [Condition.LOG_STOPPED]
    await _figures_tell(world, gaps=0, failing=1)
    await _point_is_held(world, clock)
    with started_postgres(cluster.directory, cluster.port):
        assert (await _ship(world)).status == "completed"
        assert await _alerts(world) == {}
        await _figures_tell(world, gaps=0, failing=0)
        await _point_is_held(world, clock)


async def test_a_gap_is_found_within_one_look_and_stands_until_there_is_a_new_base(
    tmp_path: Path, cluster: Postgres
) -> None:
    """Status and metrics tell it; so they do a spool that is gone, a server that is another one, and one that is down for a while."""
    clock = _Moved()
    async with open_world(tmp_path / "world", clock) as world:
        await _watched(world, cluster, clock)


async def _watched(world: World, cluster: Postgres, clock: _Moved) -> None:
    await world.add_storages("near")
    await _begin(world, cluster)
    assert await _alerts(world) == {}
    await _point_is_held(world, clock)
    await _gap_is_told(world, cluster, clock)
    await _spool_that_is_gone_is_told(world, cluster)
    await _restart_is_told(world, cluster, clock)
    with running_postgres(is_archiving=True, segment_mib=1) as other:
        await world.engine.edit_source("shop", other.options(log_spool=str(other.spool)))
        with pytest.raises(RefusedError, match="another server"):
            await _ship(world)
        assert list(await _alerts(world)) == [Condition.LOG_OTHER_SERVER]
        await world.one_backup("shop")
        other.psql("create table stamps (at timestamptz)")
        assert (await _ship(world)).status == "completed"
        assert await _alerts(world) == {}


async def test_a_full_storage_leaves_the_log_on_its_host_and_tells_how_long_that_lasts(
    world: World, cluster: Postgres, tmp_path: Path
) -> None:
    """Nothing is released; once there is room again the log goes on without a gap."""
    world.place("").mkdir()
    with small_disk(world.place("small"), 16 << 10) as disk:
        await world.add_storages("near", "small")
        await _begin(world, cluster, ("near", "small"))
        cluster.psql(
            "insert into stamps select clock_timestamp() + interval '1 s' * random() from generate_series(1, 20000)"
        )
        fill(disk / "filler")
        with pytest.raises(HoldfastError):
            await _ship(world, "small")
        shipped = await _ship(world, "near", "small")
        assert (shipped.status, shipped.released) == ("incomplete", 0)
        assert shipped.waiting == len(list(cluster.spool.glob("0*"))) > 0
        (reason,) = [each for name, each in (await _alerts(world)).items() if name is Condition.LOG_STOPPED]
        assert "storage small" in reason
        assert "wait on localhost" in reason
        glance = await _glance(world)
        assert (glance.is_failing, glance.waiting_segments) == (True, shipped.waiting)
        assert glance.free_bytes
        (disk / "filler").unlink()
        again = await _ship(world, "near", "small")
        assert (again.status, again.waiting, again.gaps) == ("completed", 0, ())
        assert await _alerts(world) == {}


async def test_a_test_of_a_source_or_host_prints_what_its_server_lacks_for_a_log(world: World) -> None:
    """Lines to add as they are; of a copy of the whole cluster without a log, how to have one."""
    with running_postgres(settings="wal_level = minimal\nmax_wal_senders = 0\n") as bare:
        await world.engine.add_source(Source("shop", "postgres", options=bare.options(physical=True)))
        assert "source edit shop --log-slot" in (await world.engine.test_source("shop"))["log_lacks"]
        (unshipped,) = (await world.engine.test_host("localhost")).logs
        assert "source edit shop --log-slot" in unshipped.note
        await world.engine.edit_source("shop", {"log_spool": str(bare.spool / "none")})
        assert "install -d -o postgres -m 700" in (await world.engine.log_setup("shop"))[-1]
        await world.engine.edit_source("shop", {"log_spool": str(bare.spool)})
        away = bare.options(physical=True, log_spool=str(bare.spool))
        await world.engine.add_source(Source("away", "postgres", options={**away, "port": 1}))
        unasked, lacks = (await world.engine.test_host("localhost")).logs
        assert (unasked.source, unasked.lines, bool(unasked.note)) == ("away", (), True)
        assert lacks.source == "shop"
        assert lacks.lines[:2] == ("wal_level = replica", "archive_mode = on")
        assert lacks.lines[2].startswith("archive_command = 'if [ -e ")
        assert (await world.engine.test_source("shop"))["log_lacks"].splitlines() == list(lacks.lines)
