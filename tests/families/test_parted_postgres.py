"""Kind `postgres` by several dumps at once: parts of one instant, that load in parts, and of which none counts unless all do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.errors import ConfigurationError, IncompleteDumpError
from engine.hosts import script
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue
from engine.model.manifest import DatabaseFacts, compare
from engine.sources.base import Database, Item, PartedDatabase, PartedItem, Parts, Selection
from engine.sources.postgres import dumping
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.dumping import Wanted
from engine.sources.postgres.facts import TableName
from tests.families.hosts import opened
from tests.families.postgres import NASTY_TABLE, Read, failed, new_name, opened_postgres, quoted
from tests.families.sources import drain
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow

ROWS = 15_000
_HOSTILE = ("*", "a?.[b]|c", 'O\'r "x" \\.$1', "\n\t", "-t x", "日本 %s", NASTY_TABLE)
_BANK = f"""
create table debit (id serial primary key, amount bigint not null default 5, t text default repeat('x', 100));
create table credit (id bigint generated always as identity primary key, of_debit int not null references debit, amount bigint not null default 5,
  twice bigint generated always as (amount * 2) stored, t text default repeat('x', 100));
insert into debit select from generate_series(1, {ROWS});
insert into credit (of_debit) select i from generate_series(1, {ROWS}) i;
create index by_debit on credit (of_debit);
create materialized view money as select (select sum(amount) from debit) + (select sum(amount) from credit) as total;
create unique index one_total on money (total);
create function never() returns trigger language plpgsql as 'begin raise exception ''no trigger runs in a restore''; end';
create trigger never before delete on debit for each statement execute function never();
alter table debit enable row level security;
create policy mine on debit using (amount > 0);
create table events (at int, t text default repeat('x', 100)) partition by range (at);
create table events_1 partition of events for values from (0) to ({ROWS});
create table events_2 partition of events for values from ({ROWS}) to ({10 * ROWS});
insert into events select i from generate_series(1, {2 * ROWS}) i;
create unlogged table hasty as select i, repeat('x', 100) t from generate_series(1, {ROWS}) i;
create table few as select 1 as x;
create sequence loose;
select nextval('loose') from generate_series(1, 7);
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table abroad (x text) server files options (filename '/nowhere');
alter table credit owner to owner;
revoke insert on credit from owner;
grant select on credit to backup;
select lo_from_bytea(0, 'a large object');
"""
_CONTENT = """
select (select sum(amount) from debit) + (select sum(amount) from credit), (select total from money), (select sum(twice) from credit),
(select count(*) from hasty), (select last_value from loose), (select convert_from(lo_get(oid), 'UTF8') from pg_largeobject_metadata)"""
_GRANTS = "select relname, relacl, relowner, relrowsecurity from pg_class where relname in ('credit', 'debit') order by 1"


@pytest.fixture(scope="module")
def bank(postgres: Postgres) -> str:
    """A database with one of everything, and tables that are worth a part whose names are no names. Nobody changes it but by `_transfer`."""
    name = new_name("bank")
    postgres.psql(f"create database {name}")
    postgres.psql(_BANK, name)
    for table in _HOSTILE:
        rows = f"select i, repeat('y', 100) t from generate_series(1, {ROWS}) i"
        postgres.psql(f"create table {quoted(table)} as {rows}", name)
    return name


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


def _transfer(server: Postgres, name: str) -> None:
    """From one table to the other: the sum stays. Sequences go on, whatever a snapshot says."""
    server.psql(
        "begin; update debit set amount = amount - 1 where id <= 50; update credit set amount = amount + 1 where id <= 50; commit;"
        "select nextval('debit_id_seq'), nextval('credit_id_seq')",
        name,
    )


async def _take(item: Item, read: Read) -> None:
    async with item.open() as stream:
        read.data[item.path] = await drain(stream)
        read.warnings += await stream.judge()


@asynccontextmanager
async def _in_parts(
    host: OpenHost, server: Postgres, name: str, **options: OptionValue
) -> AsyncIterator[tuple[Parts, Item]]:
    """The parts, and the manifest's item."""
    given = {**server.options(database=[name]), "jobs": 4, **options}
    async with opened_postgres(host, given) as source:
        _roles, item, manifest = await source.items()
        assert isinstance(item, PartedItem)
        async with item.open_parts() as parts:
            yield parts, manifest


async def _load(database: Database, facts: DatabaseFacts, read: Read, name: str, chosen: Selection) -> None:
    """One after the other, the main one last: it must not matter to what comes of it."""
    assert isinstance(database, PartedDatabase)
    whole = await database.load_parts(name, chosen)
    assert whole.most_parts > 1
    data = read.data[facts.path]
    async with whole.main() as main:
        await main.write(data[:200_000])
        for path in facts.parts:
            async with whole.part() as part:
                await part.write(read.data[path])
                await part.finish()
        await main.write(data[200_000:])
        await main.finish()
    assert await whole.finish() == []


async def test_parts_are_of_one_instant_and_what_is_loaded_of_them_is_what_was_there(
    here: OpenHost, postgres: Postgres, bank: str
) -> None:
    """Money that goes from one table to another between the dumps of both is neither lost nor doubled; nor is anything else."""
    read = Read()
    grants = postgres.psql(_GRANTS, bank)
    async with _in_parts(here, postgres, bank) as (parts, manifest):
        for item in parts.items:
            await _take(item, read)
            _transfer(postgres, bank)
        assert not await parts.judge()
        await _take(manifest, read)
    facts = read.facts(bank)
    assert (len(facts.parts), read.warnings) == (3, [])
    sizes = [len(read.data[path]) for path in (facts.path, *facts.parts)]
    assert max(sizes) < 1.5 * min(sizes)
    fresh = new_name("loaded")
    async with (
        opened_postgres(here, postgres.options(database=[bank])) as source,
        source.database() as database,
    ):
        await database.create(fresh, facts)
        await _load(database, facts, read, fresh, Selection())
        assert failed(compare(facts, await database.facts(fresh))) == []
        few = new_name("few")
        await database.create(few, facts)
        tables = ("public.credit", f"public.{NASTY_TABLE}", "public.events")
        await _load(database, facts, read, few, Selection(tables=tables))
        there = {each.name: each.rows for each in (await database.facts(few)).tables if each.rows}
    total = 2 * 5 * ROWS
    assert postgres.psql(_CONTENT, fresh) == f"{total}|{total}|{2 * 5 * ROWS}|{ROWS}|7|a large object"
    assert postgres.psql(_GRANTS, fresh) == grants
    assert there == {
        "public.credit": ROWS, f"public.{NASTY_TABLE}": ROWS, "public.events_1": ROWS - 1, "public.events_2": ROWS + 1,
    }  # fmt: skip
    for name in (fresh, few):
        postgres.psql(f"drop database {name} with (force)")


async def test_a_part_that_fails_fails_the_whole(here: OpenHost, postgres: Postgres, bank: str) -> None:
    """Three good parts of four are no backup."""
    read = Read()
    killed = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'holdfast pg_dump' and datname = "
    async with _in_parts(here, postgres, bank) as (parts, _manifest):
        main, first, *others = parts.items
        for item in (main, *others):
            await _take(item, read)
        async with first.open() as stream:
            await stream.read()
            assert postgres.psql(f"{killed} '{bank}'") == "1"
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match="could not be dumped"):
                await stream.judge()
        with pytest.raises(IncompleteDumpError, match="not read to its end"):
            await parts.judge()


async def test_a_part_without_its_rows_fails_the_whole(
    here: OpenHost, postgres: Postgres, bank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a pattern ever fit another table than the one that it was made of, a table would be missing, or be there twice."""
    monkeypatch.setattr(dumping, "without_rows", lambda _table: "--exclude-table-data=nothing")
    async with _in_parts(here, postgres, bank) as (parts, _manifest):
        for item in parts.items:
            await _take(item, Read())
        with pytest.raises(IncompleteDumpError, match="holds rows that"):
            await parts.judge()


def test_the_commands_are_the_same_whatever_tables_they_are_about(here: OpenHost) -> None:
    """A rule of sudoers names a command word for word, and tables grow."""
    wanted = Wanted(here, Connection(as_user="postgres"), jobs=3)
    chosen = [[TableName(1, "public", name) for name in names] for names in (_HOSTILE[:2], _HOSTILE[2:])]
    mains = {script.privileged(dumping.main_command(wanted, "shop", "1-2", (), each)) for each in chosen}
    parts = {script.privileged(dumping.part_command(wanted, "shop", "1-2", each)) for each in chosen}
    assert (len(mains), len(parts)) == (1, 1)
    assert b"\n" not in b"".join(
        script.preamble(dumping.part_command(wanted, "", "1-2", chosen[1])).splitlines()
    )


async def test_a_small_database_is_one_dump(here: OpenHost, postgres: Postgres) -> None:
    """Many files for a few rows are no help."""
    name, read = new_name("small"), Read()
    postgres.psql(f"create database {name}")
    postgres.psql("create table t as select 1 as x", name)
    async with _in_parts(here, postgres, name) as (parts, manifest):
        (item,) = parts.items
        await _take(item, read)
        await parts.judge()
        await _take(manifest, read)
    assert (read.facts(name).path, read.facts(name).parts) == (f"databases/{name}.dump", [])


@pytest.mark.parametrize("options", [{"physical": True}, {"all": True, "schema_only": True}])
async def test_jobs_go_with_dumps_of_rows_alone(here: OpenHost, options: dict[str, OptionValue]) -> None:
    """Rather than that the option does nothing."""
    with pytest.raises(ConfigurationError, match="is for dumps of rows"):
        async with opened_postgres(here, {"jobs": 2, **options}):
            pass
    with pytest.raises(ConfigurationError, match="at most 16"):
        async with opened_postgres(here, {"jobs": 17, "all": True}):
            pass
