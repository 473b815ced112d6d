"""A PostgreSQL server as a place for restores: what comes back, what cannot be hurt, and scratch servers that leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import HoldfastError, SourceError, UnknownNameError, UsageError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import DatabaseFacts, compare
from engine.sources.base import Database, Selection
from tests.families.hosts import opened, ssh_definition, wait_until
from tests.families.postgres import (
    NASTY_NAME,
    NASTY_TABLE,
    ROWS,
    Read,
    back_up,
    failed,
    load,
    make_shop,
    new_name,
    opened_postgres,
    quoted,
    read_backup,
)
from tests.servers.postgres import Postgres
from tests.servers.sshd import Sshd
from tests.servers.tools import missing

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "ssh"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    is_local = request.param == "local"
    definition = Host("this", kind="local") if is_local else ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


@pytest.fixture
async def database(here: OpenHost, postgres: Postgres) -> AsyncIterator[Database]:
    """The session's server, for restores."""
    async with opened_postgres(here, postgres.options(all=True)) as source, source.database() as database:
        yield database


@pytest.fixture(scope="session")
def shop(postgres: Postgres) -> tuple[DatabaseFacts, bytes]:
    """What a shop's backup says of it, and its dump."""

    async def take() -> Read:
        async with opened(Host("this", kind="local")) as host:
            return await back_up(host, postgres, name)

    name = make_shop(postgres)
    read = asyncio.run(take())
    return read.facts(name), read.dump(name)


async def test_a_restored_database_has_all_that_its_manifest_has(
    host: OpenHost, postgres: Postgres, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """Rows, indexes, constraints, sequences, owners: to the last one, under a name as nasty as they come."""
    facts, dump = shop
    async with opened_postgres(host, postgres.options(all=True)) as source, source.database() as database:
        await database.drop(NASTY_NAME)
        await database.create(NASTY_NAME, facts)
        assert await load(database, NASTY_NAME, dump) == []
        assert NASTY_NAME in await database.names()
        found = await database.facts(NASTY_NAME)
        assert (found.owner, found.encoding, found.collation) == ("owner", "UTF8", "C.UTF-8")
        assert failed(compare(facts, found)) == []
        assert failed(await database.inspect(NASTY_NAME)) == []
        assert failed(compare(facts, await database.facts(NASTY_NAME))) == []
    content = f"select md5(string_agg(t::text, '' order by t::text)) from {quoted(NASTY_TABLE)} t"
    assert postgres.psql(content, NASTY_NAME) == postgres.psql(content, facts.name)
    assert postgres.psql("select count(*) > 0 from pg_statistic where starelid > 16384", NASTY_NAME) == "t"


async def test_a_dump_comes_back_on_another_server(
    here: OpenHost, other_postgres: Postgres, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """And the two are told apart."""
    facts, dump = shop
    name = new_name()
    async with (
        opened_postgres(here, other_postgres.options(all=True)) as source,
        source.database() as database,
    ):
        assert str(other_postgres.data) in await database.identity()
        await database.create(name, facts)
        await load(database, name, dump)
        assert failed(compare(facts, await database.facts(name))) == []
        assert (await database.free_bytes() or 0) > 1 << 20


async def test_a_dump_comes_back_where_its_tablespaces_are_not(
    here: OpenHost, postgres: Postgres, other_postgres: Postgres
) -> None:
    """A throwaway server has none, and a drill on one proves nothing about them; a person is told."""
    name, place = new_name(), other_postgres.directory / "elsewhere"
    place.mkdir()
    shutil.chown(place, other_postgres.account)
    other_postgres.psql(f"create tablespace elsewhere location '{place}'; create database {quoted(name)}")
    other_postgres.psql(
        "create table kept (n int primary key using index tablespace elsewhere) tablespace elsewhere; insert into kept values (7)",
        name,
    )
    try:
        read = await back_up(here, other_postgres, name)
    finally:
        other_postgres.psql(f"drop database {quoted(name)}; drop tablespace elsewhere")
        place.rmdir()
    async with opened_postgres(here, postgres.options(all=True)) as source, source.database() as database:
        for is_owned, said in ((False, []), (True, ["the server has no tablespace elsewhere"])):
            await database.drop(name)
            await database.create(name, read.facts(name), is_owned=is_owned)
            warnings = await load(database, name, read.dump(name), Selection(is_owned=is_owned))
            assert [each.partition(":")[0] for each in warnings] == said
            assert failed(compare(read.facts(name), await database.facts(name))) == []


async def test_chosen_tables_come_with_all_that_hangs_on_them(
    database: Database, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """`pg_restore --table` brings no index, key or sequence; and a key to a table that does not come would fail."""
    facts, dump = shop
    name = new_name()
    tables = ("shipping.orders", f"public.{NASTY_TABLE}")
    await database.create(name, facts)
    await load(database, name, dump, Selection(tables))
    found = await database.facts(name)
    assert failed(compare(facts, found, tables)) == []
    assert found.indexes == ["shipping.by_customer", "shipping.orders_pkey"]
    assert found.constraints == ["shipping.orders.heavy", "shipping.orders.orders_pkey"]
    assert [(each.name, each.last_value) for each in found.sequences] == [("shipping.orders_id_seq", ROWS)]
    assert (found.views, found.extensions) == ([], ["plpgsql"])


async def test_tables_that_belong_together_keep_their_keys(
    database: Database, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """Triggers come with the functions that they call, partitions with their table, defaults with their sequence."""
    facts, dump = shop
    name = new_name()
    await database.create(name, facts)
    await load(database, name, dump, Selection(("public.customers", "shipping.orders", "public.events")))
    found = await database.facts(name)
    assert "shipping.orders.orders_customer_fkey" in found.constraints
    assert (found.triggers, found.routines) == (["public.customers.notice"], ["public.noticed()"])
    assert {table.name: table.rows for table in found.tables}["public.events_1"] == 9


async def test_a_dump_of_chosen_tables_comes_back(
    here: OpenHost, postgres: Postgres, database: Database
) -> None:
    """It does not hold the schema that they lie in, nor the tables that their keys lead to."""
    origin, name = make_shop(postgres), new_name()
    tables = ("shipping.orders",)
    async with opened_postgres(here, postgres.options(database=[origin], table=tables)) as source:
        read = await read_backup(source)
    facts = read.facts(origin)
    await database.create(name, facts)
    (warning,) = await load(database, name, read.dump(origin))
    assert "orders_customer_fkey was left out" in warning
    assert failed(compare(facts, await database.facts(name))) == []


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
async def test_a_truncated_dump_does_not_load(
    database: Database, shop: tuple[DatabaseFacts, bytes], kept: float
) -> None:
    """Restored into a fresh database, it costs nothing but that."""
    facts, dump = shop
    name = new_name()
    await database.create(name, facts)
    with pytest.raises(SourceError):
        await load(database, name, dump[: int(len(dump) * kept)])
    await database.drop(name)
    assert name not in await database.names()


async def test_a_row_that_is_refused_is_not_told(
    postgres: Postgres, database: Database, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """What the server says of it holds the row, and that is somebody's data."""
    facts, dump = shop
    name = new_name()
    await database.create(name, facts)
    with pytest.raises(SourceError, match="customers") as caught:
        await load(database, name, dump.replace(b"\tcustomer 77\n", b"\tcustomer 78\n"))
    assert "customer 7" not in str(caught.value)


async def test_a_role_that_is_missing_fails_unless_owners_are_left_out(
    here: OpenHost, postgres: Postgres, database: Database
) -> None:
    """A drill on a server without the roles, or without the locale, still proves the content."""
    origin, name, role = make_shop(postgres), new_name(), new_name("role")
    postgres.psql(f"create role {role}; alter table customers owner to {role}", origin)
    read = await back_up(here, postgres, origin)
    postgres.psql(f"alter table customers owner to postgres; drop role {role}", origin)
    facts = read.facts(origin)
    await database.create(name, facts)
    with pytest.raises(SourceError, match=f'role "{role}" does not exist'):
        await load(database, name, read.dump(origin))
    await database.drop(name)
    await database.create(name, replace(facts, owner=role, collation="xx_XX.utf8"), is_owned=False)
    await load(database, name, read.dump(origin), Selection(is_owned=False))
    assert failed(compare(facts, await database.facts(name))) == []


async def test_a_database_that_is_there_is_not_made_again(postgres: Postgres, database: Database) -> None:
    """Nothing is ever loaded into something that was there before."""
    name = make_shop(postgres)
    facts = await database.facts(name)
    with pytest.raises(SourceError, match="already exists"):
        await database.create(name, facts)
    with pytest.raises(SourceError, match="longer than 63 bytes"):
        await database.create("x" * 64, facts)
    with pytest.raises(UnknownNameError):
        await database.facts(new_name())


async def test_a_swap_ends_sessions_and_keeps_what_belongs_to_the_name(
    postgres: Postgres, database: Database, shop: tuple[DatabaseFacts, bytes]
) -> None:
    """Promoted, a restored database would else have lost its owner, grants and settings; done again, all is as before."""
    live, fresh, aside = make_shop(postgres), make_shop(postgres, owner="postgres"), new_name("aside")
    postgres.psql("delete from shipping.orders", live)
    postgres.psql(
        f"alter database {live} set search_path to \"$user\", shipping; alter role backup in database {live} set work_mem to '7MB'"
    )
    postgres.psql(
        f"revoke connect on database {live} from public; grant create on database {live} to backup with grant option"
    )
    postgres.psql(f"comment on database {live} is $c$it's$c$; alter database {live} connection limit 50")
    before = _of_the_name(postgres, live)
    with _session(postgres, live) as holder:
        assert await database.swap(fresh, live, aside) == []
        assert holder.wait(10) != 0
    assert _of_the_name(postgres, live) == before
    assert postgres.psql("select count(*) from orders", live) == str(ROWS)
    assert postgres.psql("select count(*) from orders", aside) == "0"
    await database.swap(aside, live, fresh)
    assert _of_the_name(postgres, live) == before
    assert postgres.psql("select count(*) from orders", live) == "0"


def _of_the_name(server: Postgres, name: str) -> str:
    grants = "select array(select a::text from unnest(datacl) a order by 1)"
    return server.psql(
        f"{grants}, datdba, datconnlimit, datallowconn, shobj_description(oid, 'pg_database') from pg_database where datname = '{name}';"
        f"select setrole, setconfig from pg_db_role_setting s, pg_database d where setdatabase = d.oid and datname = '{name}' order by 1"
    )


@contextlib.contextmanager
def _session(server: Postgres, name: str) -> Iterator[subprocess.Popen[str]]:
    words = ["-XAtq", "-h", str(server.directory), "-p", str(server.port), "-U", "postgres", "-d", name]
    process = subprocess.Popen(
        [str(server.binaries / "psql"), *words, "-c", "select 1", "-c", "select pg_sleep(300)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


async def test_a_swap_that_fails_leaves_the_live_database_as_it_was(
    postgres: Postgres, database: Database
) -> None:
    """Under its name, open, with its data: a prepared transaction keeps its name from being changed."""
    live, fresh, aside = make_shop(postgres), make_shop(postgres), new_name("aside")
    postgres.psql("begin; delete from shipping.orders; prepare transaction 'held'", live)
    before = _of_the_name(postgres, live)
    with pytest.raises(SourceError, match="could not take the place"):
        await database.swap(fresh, live, aside)
    postgres.psql("rollback prepared 'held'", live)
    assert _of_the_name(postgres, live) == before
    assert postgres.psql("select count(*) from shipping.orders", live) == str(ROWS)
    assert {fresh, live} <= set(await database.names())


async def test_a_swap_that_is_cancelled_leaves_no_closed_database(
    postgres: Postgres, database: Database
) -> None:
    """Whoever presses ^C at the worst moment finds the live database open, under its name."""
    live, fresh, aside = make_shop(postgres), make_shop(postgres), new_name("aside")
    postgres.psql("begin; delete from shipping.orders; prepare transaction 'held too'", live)
    is_open = f"select datallowconn from pg_database where datname = '{live}'"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60) as deadline, asyncio.TaskGroup() as group:
            group.create_task(database.swap(fresh, live, aside))
            while postgres.psql(is_open) == "t":  # noqa: ASYNC110 -- the server sets no event
                await asyncio.sleep(0.01)
            deadline.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
    await wait_until(lambda: postgres.psql(is_open) == "t", 20)
    postgres.psql("rollback prepared 'held too'", live)
    assert postgres.psql("select count(*) from shipping.orders", live) == str(ROWS)


async def test_a_swap_with_a_name_that_is_taken_or_missing_is_refused(
    postgres: Postgres, database: Database
) -> None:
    """Before anything is done."""
    live, fresh = make_shop(postgres), make_shop(postgres)
    with pytest.raises(SourceError, match="already"):
        await database.swap(fresh, live, make_shop(postgres))
    with pytest.raises(SourceError, match="no database"):
        await database.swap(new_name(), live, new_name())
    with pytest.raises(SourceError, match="cannot be swapped"):
        await database.swap("postgres", live, new_name())
    assert {fresh, live} <= set(await database.names())


async def test_swaps_know_no_name_that_could_be_sql(postgres: Postgres, database: Database) -> None:
    """Nothing of a name is run."""
    names = [NASTY_NAME, '$holdfast$; drop database "postgres"; --', "\\! touch ran"]
    live, fresh, aside = names
    for name in names:
        await database.drop(name)
    make_shop(postgres, live)
    make_shop(postgres, fresh)
    await database.swap(fresh, live, aside)
    assert {live, aside} <= set(await database.names())
    await database.drop(aside)
    assert not Path("ran").exists()


async def test_a_database_in_use_is_dropped_and_one_that_is_gone_is_no_error(
    postgres: Postgres, database: Database
) -> None:
    """Scratch things are always removed."""
    name = make_shop(postgres)
    with _session(postgres, name):
        await database.drop(name)
    await database.drop(name)
    assert name not in await database.names()
    with pytest.raises(SourceError):
        await database.drop("postgres")


async def test_a_query_can_change_nothing(postgres: Postgres, database: Database, tmp_path: Path) -> None:
    """A user's check is told what it found, or the server's words."""
    name = make_shop(postgres)
    assert await database.query(name, "select count(*), 'a|b' from customers; ") == f"{ROWS}|a|b"
    assert (
        await database.query(name, "select name from customers order by id limit 2")
        == "customer 1\ncustomer 2"
    )
    for statement in ("delete from customers", "commit; delete from customers", "drop table customers"):
        with pytest.raises(SourceError, match="read-only transaction"):
            await database.query(name, statement)
    for statement in (f"\\! touch {tmp_path}/ran", f" \n\\! touch {tmp_path}/ran"):
        with pytest.raises(UsageError):
            await database.query(name, statement)
    with pytest.raises(SourceError, match="syntax error"):
        await database.query(name, f"select 1 \\! touch {tmp_path}/ran")
    assert list(tmp_path.iterdir()) == []
    assert postgres.psql("select count(*) from customers", name) == str(ROWS)


async def test_a_corrupt_index_is_found(postgres: Postgres, database: Database) -> None:
    """The database's own checker reads what a count would not."""
    name = new_name()
    # Copied file by file: so no page of it is in the server's memory yet.
    postgres.psql(f"create database {name} template {make_shop(postgres)} strategy file_copy")
    file = postgres.data / postgres.psql("select pg_relation_filepath('shipping.by_customer')", name)
    data = bytearray(file.read_bytes())
    data[8192 + 7000 : 8192 + 8100] = bytes(1100)
    file.write_bytes(data)
    checks = await database.inspect(name)
    assert [check.check for check in failed(checks)] == ["damage that pg_amcheck finds"]
    assert "amcheck" not in (await database.facts(name)).extensions


async def test_a_connection_that_is_cut_in_mid_load_hurts_nothing_but_the_fresh_database(
    database: Database,
    start_sshd: Callable[..., Sshd],
    postgres: Postgres,
    shop: tuple[DatabaseFacts, bytes],
) -> None:
    """It is half full then, and can be dropped at once: nobody is left in it."""
    facts, dump = shop
    live, name, server = make_shop(postgres), new_name(), start_sshd()
    before = postgres.psql("select count(*) from customers", live)
    with contextlib.suppress(HoldfastError):
        async with (
            opened(ssh_definition(server)) as host,
            opened_postgres(host, postgres.options(all=True)) as source,
            source.database() as remote,
        ):
            await remote.create(name, facts)
            async with remote.load(name, Selection()) as stream:
                await stream.write(dump[: len(dump) // 2])
                server.drop_connections()
                await stream.write(dump[len(dump) // 2 :])
                await stream.finish()
                pytest.fail("a connection was cut, and nobody noticed")
    assert postgres.psql("select count(*) from customers", live) == before
    await database.drop(name)
    assert name not in await database.names()


async def test_a_target_without_room_hurts_nothing_but_the_fresh_database(
    here: OpenHost, postgres: Postgres, database: Database
) -> None:
    """The server goes on, and the live database with it."""
    live, name = make_shop(postgres), new_name()
    postgres.psql("create table long as select repeat('x', 1000) from generate_series(1, 5000)", live)
    read = await back_up(here, postgres, live)
    await database.create(name, read.facts(live))
    with _small_place(postgres, name):
        with pytest.raises(SourceError, match="No space left on device"):
            await load(database, name, read.dump(live))
        await database.drop(name)
    assert postgres.psql("select count(*) from customers", live) == str(ROWS)


@contextlib.contextmanager
def _small_place(server: Postgres, name: str) -> Iterator[None]:
    """The database in a tablespace that has room for it empty, and no more."""
    folder = server.directory / f"small-{name}"
    folder.mkdir()
    size = f"size={int(server.psql('select pg_database_size(current_database())', name)) // 1024 + 3000}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        missing("a small file system needs root and mounts")
    try:
        shutil.chown(folder, server.account)
        server.psql(f"create tablespace small_{name} location '{folder}'")
        server.psql(f"alter database {name} set tablespace small_{name}")
        yield
    finally:
        server.psql(f"drop database if exists {name}")
        server.psql(f"drop tablespace if exists small_{name}")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
