"""A PostgreSQL server's log through whole jobs, streamed from a replication slot over sshd."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from engine.model.definitions import Source
from engine.model.logs import ShippedLog
from engine.model.requests import DrillRequest, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own."""
    with running_postgres() as server:
        yield server


async def _ship(world: World, *storages: str) -> ShippedLog:
    result = await world.engine.ship(ShipRequest(("shop",), storages))
    (shipped,) = result.logs
    return shipped


async def test_what_was_committed_just_now_can_be_reached(
    world: World, cluster: Postgres, sshd: Sshd
) -> None:
    """The segment that the server writes comes as far as it goes: what is lost with it is what came since the last look."""
    await world.add_storages("first", "second")
    await world.add_host(sshd)
    options = cluster.options(physical=True, log_slot="holdfast")
    await world.engine.add_source(Source("shop", "postgres", "server", options))
    await world.one_backup("shop")
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
