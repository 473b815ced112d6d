"""Kind `postgres` as a source, against real servers: what a dump holds, and every way in which one is not whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import (
    ConfigurationError,
    IncompleteDumpError,
    SourceError,
    ToolMissingError,
)
from engine.format.layout import encode_name
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue
from tests.families.hosts import Watcher, opened, ssh_definition
from tests.families.postgres import (
    NASTY_NAME,
    NASTY_TABLE,
    ROWS,
    back_up,
    make_shop,
    new_name,
    opened_postgres,
    read_backup,
)
from tests.families.sources import drain
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.sshd import Sshd

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


def _make_big(server: Postgres, rows: int = 400_000) -> str:
    """A database whose dump takes a while."""
    name = new_name("big")
    server.psql(f"create database {name}")
    server.psql(f"create table a as select i, repeat('x', 100) t from generate_series(1, {rows}) i", name)
    return name


async def test_a_backup_holds_roles_dumps_and_a_manifest_in_that_order(
    host: OpenHost, postgres: Postgres
) -> None:
    """The manifest comes last: it says what the others hold."""
    name, other = make_shop(postgres, NASTY_NAME), make_shop(postgres)
    async with opened_postgres(host, postgres.options(database=[name, other])) as source:
        assert (await source.check())["server_version"] == postgres.version
        read = await read_backup(source)
    assert list(read.data) == [
        "globals.sql",
        f"databases/{encode_name(name)}.dump",
        f"databases/{other}.dump",
        "manifest.json",
    ]
    assert (read.errors, read.warnings) == ({}, [])
    assert b"CREATE ROLE owner" in read.data["globals.sql"]
    assert b"SCRAM-SHA-256" in read.data["globals.sql"]


async def test_a_manifest_counts_what_the_dump_holds(here: OpenHost, postgres: Postgres) -> None:
    """Restores and drills are compared with it."""
    name = make_shop(postgres)
    facts = (await back_up(here, postgres, name)).facts(name)
    rows = {table.name: table.rows for table in facts.tables}
    assert rows == {
        "public.customers": ROWS,
        "shipping.orders": ROWS,
        f"public.{NASTY_TABLE}": 2,
        "public.events": 0,
        "public.events_1": 9,
    }
    assert not any(table.is_estimated for table in facts.tables)
    assert "shipping.by_customer" in facts.indexes
    assert {"public.customers.customers_pkey", "shipping.orders.heavy"} <= set(facts.constraints)
    assert {each.name: each.last_value for each in facts.sequences} == {
        "public.customers_id_seq": ROWS,
        "public.unused": None,
        "shipping.orders_id_seq": ROWS,
    }
    assert (facts.views, facts.extensions) == (["public.heavy_orders"], ["pgcrypto", "plpgsql"])
    assert facts.routines == ["public.noticed()", "shipping.total(integer)"]
    assert facts.triggers == ["public.customers.notice"]
    assert (facts.owner, facts.encoding, facts.collation) == ("owner", "UTF8", "C.UTF-8")


async def test_all_takes_every_database_that_lets_us_in(here: OpenHost, other_postgres: Postgres) -> None:
    """A database that was made yesterday is in today's backup, and templates are not."""
    name, closed = make_shop(other_postgres), make_shop(other_postgres)
    other_postgres.psql(f"alter database {closed} with allow_connections false")
    async with opened_postgres(here, other_postgres.options(all=True)) as source:
        items = [item.path for item in await source.items()]
        found = await source.check()
    assert f"databases/{name}.dump" in items
    assert f"databases/{closed}.dump" not in items
    assert not [path for path in items if "template" in path]
    assert closed in found["closed"]


async def test_a_name_is_a_name_whatever_stands_in_it(
    here: OpenHost, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of a database's name is run, nor taken for an option or a connection string."""
    monkeypatch.chdir(tmp_path)
    for name in ("postgresql://127.0.0.1:1/x", "-x", "host=/nowhere"):
        make_shop(postgres, name)
        read = await back_up(here, postgres, name)
        assert read.facts(name).path == f"databases/{encode_name(name)}.dump"
        assert len(read.facts(name).tables) == 5
    assert list(tmp_path.iterdir()) == []


async def test_one_database_that_fails_leaves_the_others(here: OpenHost, postgres: Postgres) -> None:
    """A database that is gone must not cost the backup of the rest."""
    name = make_shop(postgres)
    async with opened_postgres(here, postgres.options(database=["not there", name])) as source:
        with pytest.raises(SourceError, match="not there"):
            await source.check()
        read = await read_backup(source)
    assert list(read.errors) == ["databases/not there.dump"]
    assert 'database "not there" does not exist' in str(read.errors["databases/not there.dump"])
    assert [each.name for each in read.manifest.databases] == [name]


async def test_a_row_that_came_after_the_snapshot_is_in_neither(here: OpenHost, postgres: Postgres) -> None:
    """Dump and manifest are of one instant, though they are read one after the other."""
    name = make_shop(postgres)
    async with opened_postgres(here, postgres.options(database=[name])) as source:
        _roles, item, manifest = await source.items()
        async with item.open() as stream:
            postgres.psql("insert into customers (name) values ('latecomer')", name)
            data = await drain(stream)
            await stream.judge()
        async with manifest.open() as stream:
            said = await drain(stream)
    assert b"latecomer" not in data
    assert re.search(rb'"public.customers",\s+"rows": 1000,', said)


async def test_sequences_have_the_values_of_the_dump(here: OpenHost, postgres: Postgres) -> None:
    """They follow no snapshot: one that goes on during the dump would else fail every comparison."""
    name = make_shop(postgres)
    async with opened_postgres(here, postgres.options(database=[name])) as source:
        item = (await source.items())[1]
        postgres.psql("select nextval('unused')", name)
        async with item.open() as stream:
            data = await drain(stream)
            await stream.judge()
    assert b"'public.unused', 1, true" in data


async def test_a_backend_that_is_killed_in_mid_dump_is_never_whole(
    here: OpenHost, postgres: Postgres
) -> None:
    """A half dump must never become a backup; the table is named."""
    name = _make_big(postgres)
    of_ours = f"datname = '{name}' and application_name = 'holdfast pg_dump'"
    async with opened_postgres(here, postgres.options(database=[name])) as source:
        item = (await source.items())[1]
        async with item.open() as stream:
            size = 0
            while size < 1_000_000:
                size += len(await stream.read())
            statement = f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {of_ours}"
            assert postgres.psql(statement) == "1"
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match=f'{name}.*(terminating connection|table "a")'):
                await stream.judge()


async def test_a_dump_that_is_left_early_ends_on_the_host(host: OpenHost, postgres: Postgres) -> None:
    """A backup that is cancelled leaves no transaction behind, which would hold the server's vacuum up."""
    name = _make_big(postgres)
    async with opened_postgres(host, postgres.options(database=[name])) as source:
        item = (await source.items())[1]
        async with item.open() as stream:
            await stream.read()
            with pytest.raises(IncompleteDumpError, match="not read to its end"):
                await stream.judge()
    async with asyncio.timeout(60):
        while postgres.psql(f"select count(*) from pg_stat_activity where datname = '{name}'") != "0":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_table_that_is_dropped_during_the_dump_is_in_it_or_fails_it(
    here: OpenHost, postgres: Postgres
) -> None:
    """Never does a table go missing in silence."""
    name = _make_big(postgres)
    postgres.psql("create table b as select 1 as x", name)
    async with opened_postgres(here, postgres.options(database=[name])) as source:
        item = (await source.items())[1]
        async with item.open() as stream:
            with contextlib.suppress(AssertionError):
                postgres.psql("set lock_timeout = '1s'; drop table b", name)
            with contextlib.suppress(SourceError):
                data = await drain(stream)
                await stream.judge()
                assert b"CREATE TABLE public.b" in data


async def test_a_table_that_somebody_holds_fails_the_dump_in_time(
    here: OpenHost, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump that waits for a lock would make everybody else wait behind it."""
    monkeypatch.setattr("engine.sources.postgres.dumping.LOCK_TIMEOUT", "200ms")
    name = make_shop(postgres)
    words = [
        str(postgres.binaries / "psql"),
        "-h",
        str(postgres.directory),
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
    ]
    statement = "begin; lock table customers in access exclusive mode; \\echo held\nselect pg_sleep(60);"
    with subprocess.Popen(
        [*words, "-XAtq", "-d", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(statement)
        holder.stdin.flush()
        assert holder.stdout.readline() == "held\n"
        async with opened_postgres(here, postgres.options(database=[name])) as source:
            read = await read_backup(source)
        holder.kill()
    assert "held a table" in str(read.errors[f"databases/{name}.dump"].hint)


async def test_a_wrong_password_fails_at_once_and_is_seen_nowhere(host: OpenHost, postgres: Postgres) -> None:
    """Nobody sits there to be asked; and what was tried is a secret too."""
    name = make_shop(postgres)
    options: dict[str, OptionValue] = {
        "db_host": "127.0.0.1",
        "port": postgres.port,
        "user": "backup",
        "database": [name],
    }
    async with opened_postgres(host, options, "wrong-7f3a") as source:
        with pytest.raises(SourceError, match="password authentication failed") as caught:
            await source.check()
    assert "wrong-7f3a" not in repr(caught.value)
    async with opened_postgres(host, options) as source:
        with pytest.raises(SourceError, match="no password supplied"):
            await source.check()


async def test_the_password_is_in_no_command_line(host: OpenHost, postgres: Postgres) -> None:
    """Any user of the host sees every command line. In an environment it is only the client's own."""
    name = _make_big(postgres, 100_000)
    # A secret that no other test has, whose processes run beside these.
    secret, role = f"only-here-{os.urandom(8).hex()}", f"watched_{os.urandom(4).hex()}"
    postgres.psql(f"create role {role} login password '{secret}'; grant pg_read_all_data to {role}")
    options: dict[str, OptionValue] = {
        "db_host": "127.0.0.1",
        "port": postgres.port,
        "user": role,
        "database": [name],
    }
    with Watcher(secret) as watcher:
        async with opened_postgres(host, options, secret) as source:
            read = await read_backup(source)
    assert read.errors == {}
    assert watcher.command_lines == set()
    # A process that is just being made, or ends, has no command line.
    clients = {line.split(b"\0")[0].rpartition(b"/")[2] for line in watcher.environments if line}
    assert clients <= {b"psql", b"pg_dump", b"pg_dumpall", b"perl", b"sh", b"env"}


async def test_an_account_that_reads_all_makes_the_same_backup(here: OpenHost, postgres: Postgres) -> None:
    """A backup needs no superuser."""
    name = make_shop(postgres)
    options: dict[str, OptionValue] = {
        "db_host": "127.0.0.1",
        "port": postgres.port,
        "user": "backup",
        "database": [name],
    }
    async with opened_postgres(here, options, PASSWORD) as source:
        read = await read_backup(source)
    assert read.errors == {}
    assert b"SCRAM" in read.data["globals.sql"]
    assert read.facts(name) == (await back_up(here, postgres, name)).facts(name)


async def test_an_account_that_may_not_read_passwords_saves_roles_without(
    here: OpenHost, postgres: Postgres
) -> None:
    """An owner of databases can back them up; that the roles come back without passwords is said."""
    name = new_name()
    postgres.psql(f"create database {name} owner owner")
    postgres.psql("create table t as select 1 as x", name, "owner")
    options: dict[str, OptionValue] = {"user": "owner", "database": [name]}
    async with opened_postgres(here, {**postgres.options(), **options}) as source:
        read = await read_backup(source)
    assert read.errors == {}
    assert ["without their passwords" in warning for warning in read.warnings] == [True]
    assert b"CREATE ROLE owner" in read.data["globals.sql"]
    assert b"SCRAM" not in read.data["globals.sql"]


async def test_an_account_that_may_not_read_is_told_what_it_needs(here: OpenHost, postgres: Postgres) -> None:
    """Not the words of the server alone."""
    name = make_shop(postgres, owner="postgres")
    options: dict[str, OptionValue] = {
        "db_host": "127.0.0.1",
        "port": postgres.port,
        "user": "owner",
        "database": [name],
    }
    async with opened_postgres(here, options, PASSWORD) as source:
        read = await read_backup(source)
    error = read.errors[f"databases/{name}.dump"]
    assert "permission denied" in str(error)
    assert "host grants" in str(error.hint)


async def test_tls_is_checked_in_full(here: OpenHost, postgres: Postgres, other_postgres: Postgres) -> None:
    """A server in the middle with a certificate of its own gets no password."""
    options: dict[str, OptionValue] = {
        "db_host": "localhost", "port": postgres.port, "user": "backup", "all": True, "tls": "verify-full",
    }  # fmt: skip
    async with opened_postgres(here, {**options, "tls_ca": str(postgres.authority)}, PASSWORD) as source:
        assert await source.check()
    for authority in ({"tls_ca": str(other_postgres.authority)}, {}):
        async with opened_postgres(here, {**options, **authority}, PASSWORD) as source:
            with pytest.raises(SourceError, match="certificate"):
                await source.check()


async def test_chosen_tables_come_alone(here: OpenHost, postgres: Postgres) -> None:
    """The manifest is of the same tables, so that a restore can be compared."""
    name = make_shop(postgres)
    tables = ["shipping.orders", f"public.{NASTY_TABLE}"]
    async with opened_postgres(here, postgres.options(database=[name], table=tables)) as source:
        read = await read_backup(source)
    facts = read.facts(name)
    assert [table.name for table in facts.tables] == sorted(tables)
    assert facts.indexes == ["shipping.by_customer", "shipping.orders_pkey"]
    assert [each.name for each in facts.sequences] == ["shipping.orders_id_seq"]
    assert b"CREATE TABLE shipping.orders" in read.dump(name)
    assert b"CREATE TABLE public.customers" not in read.dump(name)


async def test_a_chosen_table_that_is_not_there_fails(here: OpenHost, postgres: Postgres) -> None:
    """pg_dump itself takes a pattern that fits nothing for an error only where nothing fits at all."""
    name = make_shop(postgres)
    async with opened_postgres(
        here, postgres.options(database=[name], table=["customers", "gone"])
    ) as source:
        read = await read_backup(source)
    assert "no table 'gone'" in str(read.errors[f"databases/{name}.dump"])


async def test_a_schema_alone_has_no_rows(here: OpenHost, postgres: Postgres) -> None:
    """And its manifest expects none."""
    name = make_shop(postgres)
    async with opened_postgres(here, postgres.options(database=[name], schema_only=True)) as source:
        read = await read_backup(source)
    assert read.manifest.scope == "schema"
    assert {table.rows for table in read.facts(name).tables} == {0}
    assert b"customer 1" not in read.dump(name)


async def test_a_missing_client_is_named(
    here: OpenHost, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`sh is missing` would lead nowhere."""
    (tmp_path / "psql").symlink_to(postgres.binaries / "psql")
    for name in ("sh", "cat", "sleep"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    async with (
        opened(Host("this", kind="local")) as bare,
        opened_postgres(bare, postgres.options(database=[make_shop(postgres)])) as source,
    ):
        read = await read_backup(source)
    messages = [str(error) for error in read.errors.values() if isinstance(error, ToolMissingError)]
    assert any(message.startswith("pg_dump is missing") for message in messages)
    assert any(message.startswith("pg_dumpall is missing") for message in messages)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs --database"),
        ({"all": True, "database": ["x"]}, "needs --database"),
        ({"all": True, "physical": True}, "takes the whole cluster"),
        ({"all": True, "table": ["x"]}, "exactly one --database"),
        ({"all": True, "socket": "/run", "db_host": "x"}, "exclude each other"),
        ({"all": True, "tls": "maybe"}, "--tls must be one of"),
        ({"all": True, "port": 70000}, "--port"),
        ({"all": True, "in_container": "lxc:x"}, "names no container"),
        ({"all": True, "path": "/x"}, "--path .* is not known"),
        ({"database": ["x", "x"]}, "one twice"),
    ],
)
async def test_a_wrong_option_is_named(here: OpenHost, options: dict[str, OptionValue], words: str) -> None:
    """Before anything is asked of the server."""
    with pytest.raises(ConfigurationError, match=words):
        async with opened_postgres(here, options):
            pass


async def test_a_service_file_says_where_the_server_is(postgres: Postgres, tmp_path: Path) -> None:
    """What administrators keep for their own psql serves us too."""
    file = tmp_path / "services"
    file.write_text(f"[shop]\nhost={postgres.directory}\nport={postgres.port}\nuser=postgres\n")
    definition = Host("this", kind="local", options={"environment": [f"PGSERVICEFILE={file}"]})
    name = make_shop(postgres)
    async with (
        opened(definition) as host,
        opened_postgres(host, {"service": "shop", "database": [name]}) as source,
    ):
        assert (await read_backup(source)).errors == {}


async def test_another_user_runs_the_client(sshd_with_guests: Sshd, postgres: Postgres) -> None:
    """Peer authentication: the database's own account, by sudo, with no password anywhere."""
    name = make_shop(postgres)
    async with opened(ssh_definition(sshd_with_guests, "guest")) as host:
        options = postgres.options(database=[name], as_user=postgres.account)
        async with opened_postgres(host, options) as source:
            read = await read_backup(source)
    assert read.errors == {}
    assert len(read.facts(name).tables) == 5
