"""Copies of a PostgreSQL 17 cluster of which the server sends only what changed, through whole jobs."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.definitions import Source
from engine.model.requests import (
    BackupRequest,
    DrillRequest,
    PruneRequest,
    ShipRequest,
    VerifyRequest,
)
from engine.model.results import SourceResult
from tests.jobs.world import World
from tests.servers.postgres import Postgres
from tests.servers.postgres_17 import running_postgres_17

pytestmark = pytest.mark.slow

_FIRST = """
create table kept as select g as n, repeat(md5(g::text), 8) as content from generate_series(1, 30000) g;
create table dropped as select generate_series(1, 10000);
create table truncated as select generate_series(1, 10000);
create table grown as select generate_series(1, 5000) as n;
"""
_SECOND = """
update kept set content = 'changed' where n in (7, 20000);
drop table dropped; truncate truncated; insert into grown select generate_series(1, 20000);
create table fresh as select generate_series(1, 3000) as n;
"""
_THIRD = "delete from fresh where n > 100; vacuum fresh; insert into grown values (1); update kept set content = 'again' where n = 15000"
_COUNTS = "select (select count(*) from kept) || ' ' || (select count(*) from truncated) || ' ' || (select count(*) from grown) || ' ' || (select count(*) from fresh) || ' ' || (select content from kept where n = 15000)"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """A server whose log goes into its spool."""
    # Without the setting a page that was only looked at may differ in a bit that no log has, and that nobody needs.
    with running_postgres_17("wal_log_hints = on\n", is_archiving=True) as server:
        yield server


async def _begin(world: World, cluster: Postgres) -> None:
    await world.add_storages("first", "second")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))


async def _back_up(world: World, kind: str = "incremental", to: tuple[str, ...] = ("first",)) -> SourceResult:
    done = await world.engine.backup(BackupRequest(("shop",), to, kind))
    assert done.status == "completed", done
    return done.backups[0]


async def test_an_incremental_is_whole_wherever_it_is_read_and_hangs_on_nothing(
    world: World, cluster: Postgres, tmp_path: Path
) -> None:
    """Of a large cluster only what changed is read, and still each backup restores, starts, takes logs and is forgotten by itself."""
    await _begin(world, cluster)
    cluster.psql(_FIRST)
    full = await _back_up(world)
    cluster.psql(_SECOND)
    second = await _back_up(world)
    cluster.psql(_THIRD)
    aside = cluster.directory / "aside"
    aside.mkdir()
    shutil.chown(aside, cluster.account)
    cluster.psql(f"create tablespace aside location '{aside}'")
    cluster.psql("create table aside tablespace aside as select generate_series(1, 20000) as n")
    third = await _back_up(world)
    cluster.psql("update aside set n = 0 where n = 9000")
    last = await _back_up(world)
    kinds = [each.kind for each in (full, second, third, last)]
    assert kinds == ["full", *["incremental"] * 3], (second.notes, third.notes, last.notes)
    again = await _back_up(world, "full")
    assert (again.kind, again.notes) == ("full", ())
    assert int(last.notes[0].split()[0]) < last.size_bytes / 3, last.notes
    whole = (await world.restore(again.backup_id, tmp_path / "again")) / "postgres/shop/data"

    # All others go, and what only they had.
    await world.engine.delete_backups(tuple(each.backup_id for each in (full, second, third, again)))
    await world.engine.prune(PruneRequest("first", max_unused_percent=0))
    verified = await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True))
    assert verified.status == "passed", verified
    made = (await world.restore(last.backup_id, tmp_path / "last")) / "postgres/shop/data"
    verify = str(cluster.binaries / "pg_verifybackup")
    subprocess.run([verify, "--no-parse-wal", "--quiet", str(made)], check=True)
    for table in ("kept", "truncated", "grown", "fresh", "aside"):
        path = cluster.psql(f"select pg_relation_filepath('{table}')")
        assert (made / path).read_bytes() == (whole / path).read_bytes(), table

    cluster.psql("insert into kept values (0, 'after')")
    at = datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))
    cluster.psql("select pg_sleep(0.01); drop table kept")
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",), ("first",)))).logs
    assert shipped.status == "completed", shipped
    check = ("postgres", _COUNTS, "30001 0 25001 100 again")
    drilled = await world.engine.drill(DrillRequest("shop", at=at, checks=(check,)))
    assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)
    assert drilled.backup_id == last.backup_id


async def test_where_no_incremental_can_be_had_all_is_read_and_why_is_said(
    world: World, cluster: Postgres
) -> None:
    """A schedule that asks for incrementals never ends without a backup, and nobody takes the one for the other."""
    await _begin(world, cluster)
    assert _why(await _back_up(world)) == "there is no backup before to go on from"
    both = ("first", "second")
    assert "storage second does not hold" in _why(await _back_up(world, to=both))
    assert (await _back_up(world, "differential", both)).kind == "differential"
    # What the server wrote down was lost: it says so itself.
    cluster.psql("create table since (); checkpoint")
    redo = cluster.psql("select redo_lsn from pg_control_checkpoint()")
    while cluster.psql(f"select summarized_lsn >= '{redo}' from pg_get_wal_summarizer_state()") == "f":
        pass
    for each in (cluster.data / "pg_wal/summaries").iterdir():
        each.unlink()
    assert "the server did not send what changed" in _why(await _back_up(world))
    _write_down(cluster, "off")
    assert "alter system set summarize_wal = on" in _why(await _back_up(world))
    _write_down(cluster, "on")
    for pack in world.place("first").glob("data/*/*"):
        pack.write_bytes(bytes(pack.stat().st_size))
    assert "blob" in _why(await _back_up(world))


def _write_down(cluster: Postgres, value: str) -> None:
    """Has the server write down what changes, or not, from the next session on."""
    cluster.psql(f"alter system set summarize_wal = {value}; select pg_reload_conf()")
    while cluster.psql("show summarize_wal") != value:
        pass


def _why(done: SourceResult) -> str:
    """Why all was read."""
    assert done.kind == "full", done
    return done.notes[0].removeprefix("shop was read in full: ")
