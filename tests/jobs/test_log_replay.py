"""What a replay of a log relies on: no more and no less comes back than was asked for, whatever happens to the log meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from engine.errors import DamagedError, RestoreError
from engine.events import Warned
from engine.jobs import replay
from engine.jobs.database_backup import open_backup
from engine.model.definitions import Source
from engine.model.instants import ChangeQuery, Target
from engine.model.requests import DrillRequest, Limits, RestoreRequest, ShipRequest
from engine.model.shipments import ShippedLog
from engine.sources.postgres import wal
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """One for all of these, with small segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as running:
        running.psql("create table stamps (at timestamptz default clock_timestamp())")
        yield running


async def _begin(world: World, cluster: Postgres, **options: str) -> None:
    """A source with a base."""
    await world.add_storages("first")
    cluster.psql("truncate stamps")
    await world.engine.add_source(
        Source("shop", "postgres", options=cluster.options(physical=True, **options))
    )
    await world.one_backup("shop")


async def _ship(world: World) -> ShippedLog:
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
    return shipped


async def test_a_log_that_grows_between_plan_and_replay_brings_back_what_was_planned(
    world: World, cluster: Postgres
) -> None:
    """A base takes minutes to lay, and the segment that was being written is whole by then. What was prepared and not committed holds nothing up."""
    await _begin(world, cluster, log_slot="holdfast")
    cluster.psql("insert into stamps select from generate_series(1, 3); create table doubted ()")
    cluster.psql("begin; alter table doubted add n int; prepare transaction 'doubt'")
    await _ship(world)
    cluster.psql("rollback prepared 'doubt'")
    context = world.engine._parts.context()
    planned = await replay.plan(context, "shop", Target())
    assert planned.reach.path[-1].is_tail
    cluster.psql(
        "insert into stamps values (default); create table noise as select repeat(md5(i::text), 30) from generate_series(1, 2000) i"
    )
    await _ship(world)
    backup = await world.engine.show_backup(planned.reach.base.backup_id)
    async with (
        open_backup(context, backup, "", Limits()) as base,
        replay.server(context, base, planned) as reached,
    ):
        facts = await reached.database.facts("postgres")
    assert [(each.name, each.rows) for each in facts.tables] == [("public.doubted", 0), ("public.stamps", 3)]


async def test_damage_in_a_log_is_not_taken_for_its_end(world: World, cluster: Postgres) -> None:
    """A server does just that, and says no word."""
    await _begin(world, cluster, log_spool=str(cluster.spool))
    place = cluster.psql("select pg_current_wal_insert_lsn()")
    cluster.psql("insert into stamps default values")
    name = cluster.psql(f"select pg_walfile_name('{place}'); select pg_switch_wal()").splitlines()[0]
    while cluster.psql(f"select last_archived_wal >= '{name}' from pg_stat_archiver") != "t":
        threading.Event().wait(0.01)
    with (cluster.spool / name).open("r+b") as segment:
        segment.seek(wal.parse_position(place) % (1 << 20) + 30)
        segment.write(b"\xff\xff")
    shipped = await _ship(world)
    assert (shipped.status, shipped.gaps) == ("completed", ())
    assert shipped.recoverable_to is not None
    drilled = await world.engine.drill(DrillRequest("shop", at=shipped.recoverable_to))
    assert drilled.status == "failed"
    assert any("a record between is damaged" in each.detail for each in drilled.steps), drilled.steps


async def test_a_damaged_base_gives_its_place_to_the_one_before_it_and_an_absent_storage_to_another(
    world: World, cluster: Postgres
) -> None:
    """What is taken instead is said."""
    await _begin(world, cluster, log_spool=str(cluster.spool))
    await world.add_storages("second")
    cluster.psql("insert into stamps default values")
    before = {*world.place("first").glob("data/*/*")}
    newer = await world.one_backup("shop", to=("first", "second"))
    packs = {*world.place("first").glob("data/*/*")} - before
    await world.engine.ship(ShipRequest(("shop",), ("first", "second")))
    trees = min(packs, key=lambda pack: pack.stat().st_size)  # data that log and base share lies in the other
    trees.write_bytes(bytes(trees.stat().st_size))
    world.place("second").rename(world.place("away"))
    request = RestoreRequest("", into="then", source="shop", databases=("postgres",))
    world.heard.clear()
    restored = await world.engine.restore(request)
    assert (restored.status, cluster.psql("select count(*) from stamps", "then")) == ("completed", "1")
    told = [each.message for each in world.heard if isinstance(each, Warned)]
    assert [
        f"base {newer.backup_id} in {name} cannot be read" in " ".join(told) for name in ("first", "second")
    ] == [True, True]


async def test_a_log_snapshot_that_somebody_removed_is_missed_at_once(
    world: World, cluster: Postgres
) -> None:
    """As stock restic removes it: what is left of the log passes for all of it nowhere, and the next shipment tells the gap."""
    await _begin(world, cluster, log_spool=str(cluster.spool))
    await _ship(world)
    before = {*world.place("first").glob("snapshots/*")}
    cluster.psql("insert into stamps default values")
    await _ship(world)
    context = world.engine._parts.context()
    planned = await replay.plan(context, "shop", Target())
    (newest,) = {*world.place("first").glob("snapshots/*")} - before
    newest.unlink()
    backup = await world.engine.show_backup(planned.reach.base.backup_id)
    async with open_backup(context, backup, "", Limits()) as base:
        with pytest.raises(RestoreError, match="does not hold its log as it did"):
            async for _ in replay.members(base, planned):
                pass
    with pytest.raises(DamagedError, match="is not in its storage any more"):
        await world.engine.find_changes(ChangeQuery("shop", "stamps"))
    cluster.psql("insert into stamps default values")
    assert (await _ship(world)).gaps
