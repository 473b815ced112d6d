"""A PostgreSQL server's log through whole jobs: shipped out of its spool, kept in storages, and nothing of it lost or doubled."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.model.definitions import Source
from engine.model.job import JobStatus
from engine.model.requests import DrillRequest, RestoreRequest, ShipRequest
from engine.model.schedules import Action, Schedule
from engine.model.shipments import ShippedLog
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool."""
    with running_postgres(is_archiving=True) as server:
        yield server


async def _begin(world: World, cluster: Postgres) -> None:
    """A source with a base, and a row that came after it."""
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")
    cluster.psql("create table stamps (at timestamptz); insert into stamps values (clock_timestamp())")


async def _ship(world: World, *storages: str) -> ShippedLog:
    result = await world.engine.ship(ShipRequest(("shop",), storages))
    (shipped,) = result.logs
    return shipped


async def test_a_log_is_shipped_to_each_storage_and_only_then_leaves_its_host(
    world: World, cluster: Postgres
) -> None:
    """What was committed before a shipment can be reached after it, on the same segment or not."""
    await world.add_storages("first", "second")
    await _begin(world, cluster)
    shipped = await _ship(world, "first")
    assert (shipped.status, shipped.waiting, shipped.gaps) == ("completed", 0, ()), shipped
    assert shipped.segments
    assert not [each.name for each in cluster.spool.iterdir() if not each.name.startswith(".")]
    cluster.psql("insert into stamps values (clock_timestamp())")
    again = await _ship(world, "first")
    assert again.segments == 1
    assert again.recoverable_to is not None
    assert shipped.recoverable_to is not None
    assert again.recoverable_to > shipped.recoverable_to
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
        assert min(drilled.rto_s, drilled.rpo_s) > 0
    with pytest.raises(RestoreError, match="log ends at") as error:
        await world.engine.restore(
            RestoreRequest(
                "", into="then", source="shop", at=last.recoverable_to + datetime.timedelta(minutes=1)
            )
        )
    assert "nearest" in str(error.value.hint)
    restored = await world.engine.restore(
        RestoreRequest("", into="then", source="shop", at=before, databases=("postgres",))
    )
    assert (restored.status, restored.databases[0].into) == ("completed", "then")
    assert cluster.psql("select count(*) from stamps", "then") == "2"
    assert cluster.psql("select count(*) from stamps") == "1002"


async def test_a_schedule_ships_logs_and_drills_to_random_instants(world: World, cluster: Postgres) -> None:
    """Both by the clock, as jobs of their own; the drill's evidence tells the instant, how long it took, and how much was lost."""
    await world.add_storages("first")
    await _begin(world, cluster)
    for name, action, options in (
        ("log", Action.SHIP, {}),
        ("rehearse", Action.DRILL, {"level": "point-in-time"}),
    ):
        schedule = Schedule(
            name,
            action,
            "every 5 minutes",
            sources=("kind:postgres",),
            storages=("first",),
            options=options,
        )
        await world.engine.add_schedule(schedule)
        (queued,) = await world.engine.run_schedule(name)
        ended = [job async for job in world.engine.follow_job(queued.job_id)][-1]
        assert ended.status is JobStatus.COMPLETED, ended.error
    drilled = ended.result
    assert drilled["level"] == "point-in-time"
    assert min(drilled["rto_s"], drilled["rpo_s"]) > 0
    assert "seed" in next(each["detail"] for each in drilled["steps"] if each["step"] == "choose an instant")
    assert "point-in-time" in Path(drilled["report"]).read_text(encoding="utf-8")
    day = datetime.timedelta(days=1)
    (point,) = (await world.engine.compliance(ended.created_at - day, ended.created_at + day)).points
    assert (point.source, point.drills, point.passed, point.gaps) == ("shop", 1, 1, 0)
    assert (point.longest_rto_s, point.longest_rpo_s) == (drilled["rto_s"], drilled["rpo_s"])
    assert point.recoverable_from is not None
    assert point.recoverable_to is not None
    assert point.recoverable_from < point.recoverable_to
