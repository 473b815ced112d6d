"""Databases through whole jobs, on real servers: backed up, brought back each way, rolled back, drilled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import errors
from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest, RollbackRequest
from engine.model.results import DrillResult, RestoreResult
from tests.jobs.keeping import look_in
from tests.jobs.tampering import Change, cut, tamper
from tests.jobs.world import World
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow

SHOP = """
create table orders (id serial primary key, text text not null);
insert into orders (text) select md5(i::text) from generate_series(1, 3000) i;
create index by_text on orders (text);
create view newest as select * from orders where id > 2900;
create table empty (id int);
"""
COUNT = "select count(*), sum(id), md5(string_agg(text, ',' order by id)) from orders"


@pytest.fixture
async def shop(world: World, postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """A database of this test's own, the source `db` of it, backed up. Gives the database's name."""
    name = f"shop {os.urandom(4).hex()}\"; drop table orders; --'$HOME"
    _make(postgres, name)
    request.addfinalizer(lambda: _drop_like(postgres, name))  # noqa: PT021 -- the server is the session's, the name this test's
    await world.add_storages("first")
    await world.engine.add_source(Source("db", "postgres", options=postgres.options(database=(name,))))
    await world.one_backup("db")
    return name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _make(server: Postgres, name: str) -> None:
    server.psql(f"create database {_quoted(name)}")
    server.psql(SHOP, database=name)


def _names(server: Postgres) -> list[str]:
    return server.psql("select datname from pg_database where not datistemplate order by 1").split("\n")


def _drop_like(server: Postgres, name: str) -> None:
    for each in _names(server):
        if each.startswith((name[:12], "holdfast_", "copy_of_")):
            server.psql(f"drop database {_quoted(each)} with (force)")


async def _restore(world: World, **how: object) -> RestoreResult:
    request: RestoreRequest = RestoreRequest("latest:db", **how)  # type: ignore[arg-type]
    return await world.engine.restore(request)


async def test_beside_brings_back_all_of_it_and_touches_nothing_live(
    world: World, postgres: Postgres, shop: str
) -> None:
    """The everyday restore: look at yesterday's data without risk."""
    before = postgres.psql(COUNT, database=shop)
    postgres.psql("delete from orders where id > 10", database=shop)
    result = await _restore(world, into="copy_of_shop")
    assert [(each.name, each.into, each.aside) for each in result.databases] == [(shop, "copy_of_shop", "")]
    assert result.databases[0].checks
    assert postgres.psql(COUNT, database="copy_of_shop") == before
    assert postgres.psql("select count(*) from newest", database="copy_of_shop") == "100"
    assert postgres.psql("select count(*) from orders", database=shop) == "10"


async def test_one_table_comes_back_with_its_index_and_nothing_else(
    world: World, postgres: Postgres, shop: str
) -> None:
    """One table was emptied by mistake; the rest of the night's data is wanted as it is."""
    await _restore(world, into="copy_of_table", tables=("public.orders",))
    tables = "select string_agg(tablename, ',' order by tablename) from pg_tables where schemaname = 'public'"
    assert postgres.psql(tables, database="copy_of_table") == "orders"
    indexes = (
        "select string_agg(indexname, ',' order by indexname) from pg_indexes where schemaname = 'public'"
    )
    assert postgres.psql(indexes, database="copy_of_table") == "by_text,orders_pkey"
    assert postgres.psql(COUNT, database="copy_of_table") == postgres.psql(COUNT, database=shop)


async def test_in_place_keeps_what_was_live_until_it_is_discarded(
    world: World, postgres: Postgres, shop: str
) -> None:
    """The wrong backup was chosen: one command, and all is as it was."""
    before = postgres.psql(COUNT, database=shop)
    postgres.psql("delete from orders where id > 10", database=shop)
    result = await _restore(world, is_in_place=True)
    assert postgres.psql(COUNT, database=shop) == before
    back = await world.engine.rollback(RollbackRequest(result.job_id))
    assert list(back.databases) == [shop]
    assert postgres.psql("select count(*) from orders", database=shop) == "10"
    with pytest.raises(errors.UsageError, match="not there any more"):
        await world.engine.rollback(RollbackRequest(result.job_id))


async def test_what_was_put_aside_can_be_removed(world: World, postgres: Postgres, shop: str) -> None:
    """Disks are finite; but only a person decides."""
    result = await _restore(world, is_in_place=True)
    (done,) = result.databases
    assert done.aside in _names(postgres)
    await world.engine.rollback(RollbackRequest(result.job_id, is_discarding=True))
    assert done.aside not in _names(postgres)
    assert shop in _names(postgres)


async def test_sessions_that_are_open_do_not_stop_a_restore_in_place(
    world: World, postgres: Postgres, shop: str
) -> None:
    """An application is always connected."""
    import subprocess  # one test alone

    words = [
        str(postgres.binaries / "psql"),
        "-h",
        str(postgres.directory),
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
    ]
    quoted = shop.replace("\\", "\\\\").replace("'", "\\'")
    with subprocess.Popen(
        [*words, "-d", f"dbname='{quoted}'"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(b"begin; select count(*) from orders;\n")
        session.stdin.flush()
        session.stdout.readline()
        await _restore(world, is_in_place=True)
    assert postgres.psql("select count(*) from orders", database=shop) == "3000"


async def test_another_server_of_that_address_is_never_written_in_place(
    world: World, postgres: Postgres, other_postgres: Postgres, shop: str
) -> None:
    """A source that was edited to point elsewhere must not cost the other server its data."""
    _make(other_postgres, shop)
    other_postgres.psql("delete from orders", database=shop)
    await world.engine.edit_source("db", other_postgres.options())
    with pytest.raises(errors.RefusedError, match="not the one that the backup was taken of"):
        await _restore(world, is_in_place=True)
    assert other_postgres.psql("select count(*) from orders", database=shop) == "0"
    await world.engine.edit_source("db", postgres.options())
    await world.engine.add_source(Source("other", "postgres", options=other_postgres.options(all=True)))
    result = await _restore(world, into="copy_of_shop", target_source="other")
    assert result.databases[0].into == "copy_of_shop"
    assert other_postgres.psql(COUNT, database="copy_of_shop") == postgres.psql(COUNT, database=shop)
    _drop_like(other_postgres, shop)


async def test_a_name_that_is_taken_and_a_database_that_is_not_there_are_refused(
    world: World, postgres: Postgres, shop: str
) -> None:
    """Before anything is begun."""
    before = _names(postgres)
    with pytest.raises(errors.UsageError, match="is there already"):
        await _restore(world, into=shop)
    with pytest.raises(errors.UnknownNameError, match="holds no database"):
        await _restore(world, into="copy_of_shop", databases=("shpo",))
    assert _names(postgres) == before


async def test_a_restore_that_fails_half_way_leaves_everything_as_it_was(
    world: World, postgres: Postgres, shop: str
) -> None:
    """A damaged repository must not become a damaged database."""
    before, names = postgres.psql(COUNT, database=shop), _names(postgres)
    _damage(world)
    with pytest.raises(errors.HoldfastError):
        await _restore(world, is_in_place=True)
    assert _names(postgres) == names
    assert postgres.psql(COUNT, database=shop) == before


def _damage(world: World) -> None:
    """One bit of the longest pack: that of the dump."""
    packs = [path for path in (world.place("first") / "data").rglob("*") if path.is_file()]
    longest = max(packs, key=lambda path: path.stat().st_size)
    content = bytearray(longest.read_bytes())
    content[len(content) // 2] ^= 1
    longest.chmod(0o600)
    longest.write_bytes(content)


def _wrong(result: DrillResult) -> list[str]:
    return [each.check.partition(": ")[2] for each in result.checks if not each.passed]


@pytest.mark.parametrize("level", ["server", "database"])
async def test_a_good_backup_passes_its_drill_and_leaves_nothing(
    world: World, postgres: Postgres, shop: str, level: str
) -> None:
    """Rehearsing must cost nothing; and as long as it is kept, the printed line leads to it."""
    names = _names(postgres)
    request = DrillRequest("db", level=level, checks=((shop, "SELECT count(*) FROM orders", "3000"),))
    result, said = await look_in(world, request, "-Atc 'SELECT sum(id) FROM orders'")
    assert said == "4501500"
    assert (result.status, result.level, _wrong(result)) == ("passed", level, [])
    assert "scratch gone: yes" in result.steps[-1].detail
    assert (await world.engine.show_backup("latest:db")).proof is Proof.DRILLED
    assert _names(postgres) == names


async def test_a_users_own_check_can_fail_a_drill(world: World, shop: str) -> None:
    """The database is whole, and yet it is last year's; on a machine with the recovery kit alone, too."""
    statement = "SELECT max(id) FROM orders"
    checks = ((shop, statement, "3001"), ("", "SELECT nothing", ""))
    result = await world.engine.drill(DrillRequest("db", checks=checks, scenario="kit-only"))
    assert result.status == "failed"
    assert _wrong(result) == [statement, "SELECT nothing"]


async def test_a_dump_that_lacks_something_fails_its_drill(
    world: World, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 0, every byte as it was written, and still no backup: only a drill sees that."""
    tool = tmp_path / "tools" / "pg_dump"
    tool.parent.mkdir()
    real = next(folder for folder in os.environ["PATH"].split(":") if Path(folder, "pg_dump").exists())
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    lacking = {
        "--exclude-table-data=orders": {"rows of public.orders"},
        "--exclude-table=empty": {"tables", "rows of public.empty"},
        "--exclude-schema=public": {"not empty", "tables", "rows of public.orders", "rows of public.empty"},
    }
    for words, found in lacking.items():
        tool.write_text(
            f'#!/bin/sh\ncase $1 in --version) exec {real}/pg_dump "$@";; esac\nexec {real}/pg_dump {words} "$@"\n',
            encoding="ascii",
        )
        tool.chmod(0o755)
        await world.one_backup("db")
        result = await world.engine.drill(DrillRequest("db"))
        assert (result.status, found - set(_wrong(result))) == ("failed", set())
        assert (await world.engine.show_backup("latest:db")).proof is Proof.TAKEN


async def test_a_dump_is_parsed_and_a_damaged_one_fails_on_every_level(world: World, shop: str) -> None:
    """Truncated, of another database, or none at all; with a server and without one."""
    good = await world.engine.drill(DrillRequest("db", level="parse"))
    assert (good.status, good.level, _wrong(good)) == ("passed", "parse", [])
    assert (await world.engine.show_backup("latest:db")).proof is Proof.VERIFIED
    damages: list[Change] = [lambda data: data[:-6], lambda data: data.replace(b"orders", b"ordarz")]
    for change in damages:
        undo = await tamper(world, "db", {".dump": change})
        assert (await world.engine.drill(DrillRequest("db", level="parse"))).status == "failed"
        await undo()
    undo = await tamper(world, "db", {".dump": cut})
    assert (await world.engine.drill(DrillRequest("db"))).status == "failed"
    await undo()
    _damage(world)
    assert (await world.engine.drill(DrillRequest("db", level="parse"))).status == "failed"


async def test_one_database_that_fails_leaves_the_others_in_an_incomplete_backup(
    world: World, postgres: Postgres, shop: str
) -> None:
    """A database that somebody dropped must not cost the backup of all the rest."""
    await world.engine.edit_source("db", {"database": (shop, "no such database")})
    done = await world.backup("db")
    assert done.status == "incomplete"
    (source,) = done.backups
    assert any("no such database" in warning for warning in source.warnings)
    await _restore(world, into="copy_of_shop", databases=(shop,))
    assert postgres.psql(COUNT, database="copy_of_shop") == postgres.psql(COUNT, database=shop)
