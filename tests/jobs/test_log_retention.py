"""The old end of a PostgreSQL server's log goes with the last base that needs it, and nothing else of it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from engine.model.definitions import Source
from engine.model.requests import DrillRequest, ForgetRequest, KeepPolicy, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool."""
    with running_postgres(is_archiving=True) as server:
        yield server


async def test_a_forget_cuts_the_log_behind_the_oldest_base_that_is_kept(
    world: World, cluster: Postgres, restic_newest: ResticProgram
) -> None:
    """A dry run says what goes and what can no longer be reached; then it is gone, the rest is whole, and the next shipment goes on."""
    await world.add_storages("first")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    cluster.psql("create table stamps (at timestamptz)")
    await world.one_backup("shop")
    for _ in range(3):
        cluster.psql("insert into stamps values (clock_timestamp())")
        await world.engine.ship(ShipRequest(("shop",)))
    newest = await world.one_backup("shop")
    cluster.psql("insert into stamps values (clock_timestamp())")
    await world.engine.ship(ShipRequest(("shop",)))
    before = await world.engine.log_report("shop")
    (lost,) = await world.engine.lost_without((before.reaches[0].base.backup_id,))
    policy = KeepPolicy(last=1)
    plan = await world.engine.forget(ForgetRequest(policy, is_dry_run=True))
    (cut,) = plan.logs
    assert (cut.source, cut.storage, cut.segments >= 3, cut.snapshots >= 3) == ("shop", "first", True, True)
    assert plan.lost == (lost,)
    assert lost.instead_of == before.recoverable_from
    assert await world.engine.log_report("shop") == before
    done = await world.engine.forget(ForgetRequest(policy, is_pruning=True))
    assert (done.logs, done.lost) == (plan.logs, plan.lost)
    after = await world.engine.log_report("shop")
    assert after.recoverable_from == lost.recoverable_from
    assert (after.recoverable_to, after.gaps) == (before.recoverable_to, ())
    assert after.size_bytes == before.size_bytes - cut.size_bytes
    stock = world.restic(restic_newest, "first")
    assert len(stock.snapshots()) == 2
    stock.check()
    again = await world.engine.forget(ForgetRequest(policy))
    assert (again.logs, again.lost) == ((), ())
    cluster.psql("insert into stamps values (clock_timestamp())")
    at = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
    assert (shipped.status, shipped.segments, shipped.gaps) == ("completed", 1, ())
    drilled = await world.engine.drill(
        DrillRequest("shop", at=at, checks=(("postgres", "select count(*) from stamps", "5"),))
    )
    assert drilled.status == "passed", drilled
    assert drilled.backup_id == newest.backup_id
