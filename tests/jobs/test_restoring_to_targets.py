"""Restores to a transaction and to a named point of a PostgreSQL server's log, through whole jobs."""

from __future__ import annotations

import dataclasses
import datetime
import random
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import RefusedError, RestoreError, UsageError
from engine.model.alerts import Condition
from engine.model.definitions import Source
from engine.model.instants import ChangeQuery, Target
from engine.model.job import JobStatus
from engine.model.requests import DrillRequest, RestoreRequest, RollbackRequest, ShipRequest
from tests.jobs.half_way import HalfWay
from tests.jobs.keeping import look_in
from tests.jobs.world import World, open_world
from tests.servers.postgres import Postgres, control, running_postgres, started_postgres
from tests.servers.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool, in short segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a server's account can go; removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="hf-to-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def _begin(world: World, cluster: Postgres) -> None:
    await world.add_storages("first")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")


async def test_a_transaction_and_a_named_point_are_found_in_the_log_by_themselves(
    world: World, cluster: Postgres
) -> None:
    """The newest base before them is taken, also where a newer one is there; what is not in the log is refused with what is nearest."""
    cluster.psql("create database bank")
    early = cluster.psql("begin; create table early (); select pg_current_xact_id(); commit")
    await _begin(world, cluster)
    cluster.psql("create table stamps (n int)", "bank")
    ids = [
        cluster.psql(f"begin; insert into stamps values ({n}); select pg_current_xact_id(); commit", "bank")
        for n in range(3)
    ]
    cluster.psql("select pg_switch_wal(); select pg_create_restore_point('before deploying')")
    cluster.psql("insert into stamps select generate_series(10, 9000)", "bank")
    await world.engine.ship(ShipRequest(("shop",)))
    await world.one_backup("shop")
    await world.engine.ship(ShipRequest(("shop",)))

    planned = await world.engine.plan_instant("shop", Target(transaction=ids[1]))
    assert planned.found_at is not None
    assert planned.base_at < planned.found_at < planned.ends_at
    whole = await world.engine.plan_instant("shop", Target(planned.found_at))
    assert planned.segments < whole.segments
    live = cluster.psql("select count(*) from stamps", "bank")
    beside = RestoreRequest("", into="bank_then", source="shop", at_transaction=ids[1])
    in_place = RestoreRequest("", is_in_place=True, source="shop", at_point="before deploying")
    for request, rows in ((beside, "2"), (in_place, "3")):
        restored = await world.engine.restore(request)
        assert restored.status == "completed"
        assert cluster.psql("select count(*) from stamps", request.into or "bank") == rows
    counted = ("bank", "select count(*) from stamps", "2")
    drilled = await world.engine.drill(
        DrillRequest("shop", at_transaction=ids[2], is_before=True, checks=(counted,))
    )
    assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)
    assert drilled.steps[0].detail.startswith(f"just before transaction {ids[2]}, which ended at")
    for bad, words in (
        (DrillRequest("shop", at_point="x", at_transaction=ids[0]), "name one of"),
        (DrillRequest("shop", is_before=True), "--just-before goes with"),
        (DrillRequest("shop", at_point="x", level="server"), "no level server"),
    ):
        with pytest.raises(UsageError, match=words):
            await world.engine.drill(bad)
    (undoable,) = await world.engine.undoable_restores()
    assert (undoable.job_id, undoable.source) == (restored.job_id, "shop")
    await world.engine.rollback(RollbackRequest(restored.job_id))
    assert cluster.psql("select count(*) from stamps", "bank") == live
    for target, words in (
        (Target(transaction=early), "the log's first is"),
        (Target(transaction="4000000000"), f"its last {int(ids[2]) + 1}"),
        (Target(point="before deployin"), "did you mean before deploying"),
    ):
        with pytest.raises(RestoreError, match="cannot be brought back") as error:
            await world.engine.plan_instant("shop", target)
        assert words in str(error.value.hint)


async def test_a_dropped_table_is_located_among_ten_thousand_transactions_and_comes_back(
    world: World, cluster: Postgres
) -> None:
    """Nobody says when it was: neither of this one, nor of the one that was emptied, nor of rows that were deleted, of a table that no base knows."""
    cluster.psql("create table orders as select n, 'x' || n as said from generate_series(1, 500) n")
    cluster.psql(
        "create table emptied (n int primary key); insert into emptied values (1); create table ticks (n int)"
    )
    await _begin(world, cluster)
    at = sorted(random.sample(range(1, 9_999), 4))
    done = (
        "drop table orders",
        "truncate emptied",
        "create table young as select generate_series(1, 300) as n",
        "delete from young",
    )
    cases = " ".join(f"when {n} then execute '{said}';" for n, said in zip(at, done, strict=True))
    cluster.psql(
        f"do $$ begin for i in 1..10000 loop insert into ticks values (i); case i {cases} else null; end case; commit; end loop; end $$"
    )
    ticks = {
        said: cluster.psql(f"select xmin from ticks where n = {n}") for n, said in zip(at, done, strict=True)
    }
    await world.engine.ship(ShipRequest(("shop",)))
    found = await world.engine.find_changes(ChangeQuery("shop", "orders"))
    (dropped,) = found.changes
    assert (dropped.kind, dropped.database, dropped.tables) == ("dropped", "postgres", ("public.orders",))
    assert dropped.transaction == ticks["drop table orders"]
    request = RestoreRequest(
        "",
        into="then",
        source="shop",
        databases=("postgres",),
        at_transaction=dropped.transaction,
        is_before=True,
    )
    assert (await world.engine.restore(request)).status == "completed"
    assert cluster.psql("select count(*) from orders", "then") == "500"
    assert cluster.psql("select max(n) from ticks", "then") == str(at[0] - 1)
    every = await world.engine.find_changes(ChangeQuery("shop", since=found.begins_at, until=found.ends_at))
    assert [(each.kind, each.tables, each.transaction) for each in every.changes] == [
        ("dropped", ("public.orders",), ticks["drop table orders"]),
        ("replaced", ("public.emptied",), ticks["truncate emptied"]),
        ("deleted", ("public.young",), ticks["delete from young"]),
    ]
    assert every.changes[-1].rows == 300
    await world.engine.add_source(Source("other", "sqlite", options={"path": "/other.db"}))
    for query, words in (
        (ChangeQuery("shop", statement="drop"), "no statements"),
        (ChangeQuery("other", "t"), "has no log"),
    ):
        with pytest.raises(UsageError, match=words):
            await world.engine.find_changes(query)


async def test_a_folder_that_was_restored_to_an_instant_comes_up_as_any_server_does(
    world: World, cluster: Postgres, sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a drill to it keeps a server for as long as one looks. On this machine and on a host: at that instant, in a timeline of its own, and without a word to the live server's spool."""
    await world.add_host(sshd)
    await _begin(world, cluster)
    cluster.psql("create table stamps as select generate_series(1, 2000) as n")
    at = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
    cluster.psql("select pg_sleep(0.01); drop table stamps")
    dropped_at = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
    await world.engine.ship(ShipRequest(("shop",)))
    drilled, said = await look_in(world, DrillRequest("shop", at=at), "-Atc 'select count(*) from stamps'")
    assert (drilled.status, drilled.level, said) == ("passed", "point-in-time", "2000")
    for name, host in (("it's 100% here", ""), ("there", "server")):
        to = folder / name
        request = RestoreRequest("", to=str(to), host=host, source="shop", at=at)
        done = await world.engine.restore(dataclasses.replace(request, is_dry_run=True))
        assert not to.exists()
        done = await world.engine.restore(request)
        assert done.status == "completed"
        data = to / "postgres/shop/data"
        assert f"-D {shlex.quote(str(data))}" in done.note
        assert (data / "recovery.signal").exists()
        if not host:
            with started_postgres(data.parent) as server:
                while server.psql("select pg_is_in_recovery()") == "t":
                    server.psql("select pg_sleep(0.02)")
                assert server.psql("select count(*) from stamps") == "2000"
                assert server.psql("show archive_mode") == "off"
        with pytest.raises(RestoreError, match="something at"):
            await world.engine.restore(request)
    assert cluster.psql("select to_regclass('stamps') is null") == "t"
    half_way = HalfWay(world, cluster.data, folder)
    with monkeypatch.context() as patched:
        await _put_all_in_place(world, cluster, at, dropped_at, lambda: half_way.watch(patched))
    half_way.keep_between("after note swapping")
    await _require_undone(half_way)


async def _put_all_in_place(
    world: World,
    cluster: Postgres,
    at: datetime.datetime,
    dropped_at: datetime.datetime,
    begin: Callable[[], None],
) -> None:
    """The data folder gives way to another one, between the person's own commands, and comes back by them. What had been done after that instant is
    in the log still."""
    hooks = {each: control(cluster, each) for each in ("stop", "start")}
    request = RestoreRequest("", is_in_place=True, is_whole_server=True, source="shop", at=at)
    with pytest.raises(UsageError, match="how the server is stopped"):
        await world.engine.restore(request)
    idle = dataclasses.replace(request, before_hook="true", after_hook="true")
    with pytest.raises(RestoreError, match="still runs"):
        await world.engine.restore(idle)
    assert [each.name for each in cluster.directory.iterdir() if "holdfast" in each.name] == []
    begin()
    try:
        done = await world.engine.restore(
            dataclasses.replace(request, before_hook=hooks["stop"], after_hook=hooks["start"])
        )
        assert done.status == "completed"
        assert cluster.psql("select count(*) from stamps") == "2000"
        assert cluster.psql("select timeline_id from pg_control_checkpoint()") == "2"
        cluster.psql("create table after as select now()")
        await world.engine.ship(ShipRequest(("shop",)))
        gone = ("postgres", "select to_regclass('stamps') is null, to_regclass('after') is null", "t|t")
        drilled = await world.engine.drill(DrillRequest("shop", at=dropped_at, checks=(gone,)))
        assert drilled.status == "passed", drilled.checks
        with pytest.raises(RefusedError, match="still runs"):
            await world.engine.rollback(RollbackRequest(done.job_id))
        subprocess.run(hooks["stop"], shell=True, check=True)
        await world.engine.rollback(RollbackRequest(done.job_id))
        subprocess.run(hooks["start"], shell=True, check=True)
        assert cluster.psql("select to_regclass('stamps') is null") == "t"
        cluster.psql("create table back as select now()")
        await world.engine.ship(ShipRequest(("shop",)))
        here = ("postgres", "select to_regclass('back') is null, to_regclass('after') is null", "f|t")
        report = await world.engine.log_report("shop")
        drilled = await world.engine.drill(DrillRequest("shop", at=report.recoverable_to, checks=(here,)))
        assert drilled.status == "passed", drilled.checks
    finally:
        subprocess.run(hooks["stop"], shell=True, check=False)


async def _require_undone(half_way: HalfWay) -> None:
    """Killed at any of its steps, a restore is told of by whoever looks next, and rolled back by the verb for it."""
    begun = half_way.steps.index("after note laying")
    seen = set()
    for number in range(begun, len(half_way.steps)):
        place = half_way.to / str(number)
        async with open_world(place) as left:
            (undoable,) = await left.engine.undoable_restores()
            job = await left.engine.show_job(undoable.job_id)
            assert job.status is JobStatus.INTERRUPTED
            assert f"holdfast rollback {job.job_id}" in job.error
            assert str(place / "data") in job.error
            (concern,) = [
                each
                for each in (await left.engine.status()).concerns
                if each.condition is Condition.RESTORE_LEFT
            ]
            assert concern.reason in job.error
            with pytest.raises(RefusedError, match="ended"):
                await left.engine.restore(
                    RestoreRequest("", is_in_place=True, is_whole_server=True, is_dry_run=True, source="shop")
                )
            request = RollbackRequest(job.job_id)
            step = half_way.steps[number]
            if step == "after note swapped":
                with pytest.raises(RefusedError, match="has not replayed its log yet"):
                    await left.engine.rollback(dataclasses.replace(request, is_discarding=True))
            if step == "after recover":
                await left.engine.rollback(dataclasses.replace(request, is_discarding=True))
                assert [each.name for each in place.glob("data*")] == ["data"]
                assert await left.engine.undoable_restores() == []
                continue
            if step == "before recover":
                with pytest.raises(RefusedError, match="still runs"):
                    await left.engine.rollback(request)
                (place / "data/postmaster.pid").unlink()
            done = await left.engine.rollback(request)
            seen.add(done.warnings[0].partition(";")[0].replace(str(place), "").partition(" kept as")[0])
            assert (place / "data/live").exists()
            there = {each.name for each in place.glob("data*")} - {"data", "data.holdfast-wal"}
            assert all(name.startswith("data.restored-") for name in there), there
            assert await left.engine.undoable_restores() == []
    assert seen == {
        "/data was never put aside",
        "/data is what was live",
        "what the restore brought is",
    }, half_way.steps
