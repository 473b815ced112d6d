"""A PostgreSQL log in its storages: cut at its old end alone, copied with its bases, found again, and verified."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from engine.jobs import log_store
from engine.jobs.opening import open_repositories
from engine.model.definitions import Source, Storage
from engine.model.logs import Base
from engine.model.requests import (
    CopyRequest,
    DrillRequest,
    ForgetRequest,
    KeepPolicy,
    Limits,
    ShipRequest,
    VerifyRequest,
)
from tests.jobs.world import World, open_world
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
    await _require_verified(world, after.reaches[-1].base, at)


async def _require_verified(world: World, base: Base, at: datetime.datetime) -> None:
    """The log behind that base, which is the only one, is whole; with one byte turned the segment is named, and the instants up to that one."""
    for request in (
        VerifyRequest(storage="first"),
        VerifyRequest(base.backup_id, is_reading_data=True),
    ):
        verified = await world.engine.verify(request)
        assert (verified.status, len(verified.logs)) == ("passed", 1), verified
    (log,) = verified.logs
    assert (log.read, log.segments, log.gaps, log.lost) == (2, 2, (), None)
    name = await _damage_first_segment(world, base)
    for request in (
        VerifyRequest(storage="first", is_reading_data=True),
        VerifyRequest(base.backup_id, is_reading_data=True),
    ):
        verified = await world.engine.verify(request)
        assert verified.status == "damaged"
        (message,) = [
            each.message
            for each in verified.damaged
            if name in each.message and "log of shop" in each.message
        ]
        assert "can no longer be brought back to" in message
        assert verified.logs[0].lost is not None
        assert verified.logs[0].lost.windows[-1].ends_at >= at


async def _damage_first_segment(world: World, base: Base) -> str:
    """Turns a byte of the first segment behind that base, in the storage "first"; gives the segment's name."""
    context = world.engine._parts.context()
    definition = await context.catalog.storages.get("first")
    opening = open_repositories(context, [definition], is_exclusive=False, limits=Limits(), is_reading=True)
    async with opening as opened:
        repository = opened.opened[0].repository
        source = await context.catalog.sources.get("shop")
        (head,) = await context.catalog.logs.heads("shop")
        _, tree = await log_store.open_head(repository, source, head.snapshot_id)
        async for node, segment in log_store.segments(repository, tree, base.position.identity):
            if segment is not None and segment.number == base.position.number + 1:
                assert node.content
                place = repository.index.lookup("data", node.content[0])
                assert place is not None
                (path,) = world.place("first").glob(f"data/*/{place.pack.hex()}")
                path.chmod(0o600)
                content = bytearray(path.read_bytes())
                content[place.offset + place.length // 2] ^= 1
                path.write_bytes(content)
                return segment.name
    raise AssertionError("there is no such segment")


async def test_a_copy_brings_the_log_along_and_a_lost_catalog_finds_it_again(
    world: World, cluster: Postgres
) -> None:
    """A storage that was added later has the newest segments alone, until a copy completes it; then it alone tells a new home all."""
    await world.add_storages("first", "second")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    cluster.psql("create table stamps (at timestamptz)")
    await world.one_backup("shop", to=["first"])
    for storages in (["first"], ["first", "second"]):
        cluster.psql("insert into stamps values (clock_timestamp())")
        await world.engine.ship(ShipRequest(("shop",), tuple(storages)))
    report = await world.engine.log_report("shop")
    assert {each.storage for each in report.reaches} == {"first"}
    done = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert (done.status, len(done.copied)) == ("completed", 1)
    (copied,) = done.logs
    assert (copied.source, copied.storage, copied.segments >= 1) == ("shop", "first", True)
    report = await world.engine.log_report("shop")
    ends = {each.storage: each.ends_at for each in report.reaches}
    assert ends["first"] == ends["second"]
    again = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert (again.status, again.logs) == ("completed", ())
    async with open_world(world.directory / "new") as new:
        password = f"file:{world.directory}/password"
        place = Storage("found", "local", {"path": str(world.place("second"))}, password)
        recovered = await new.engine.recover(place)
        assert recovered.logs == ("shop",)
        await new.engine.add_source(Source("shop", "postgres", options=options))
        found = await new.engine.log_report("shop")
        assert found.recoverable_from == report.recoverable_from
        assert [each.ends_at for each in found.reaches] == [
            max(run.ends_at for each in report.reaches for run in each.path if run.ends_at is not None)
        ]
        drilled = await new.engine.drill(
            DrillRequest(
                "shop", at=found.recoverable_to, checks=(("postgres", "select count(*) from stamps", "2"),)
            )
        )
        assert drilled.status == "passed", drilled
        cluster.psql("insert into stamps values (clock_timestamp())")
        (shipped,) = (await new.engine.ship(ShipRequest(("shop",)))).logs
        assert (shipped.status, shipped.segments, shipped.gaps) == ("completed", 1, ())
