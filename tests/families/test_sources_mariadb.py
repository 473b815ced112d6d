"""Kind `mariadb` against real servers: what a backup holds, and what never passes for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.errors import (
    ConfigurationError,
    IncompleteDumpError,
    SourceError,
)
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue, Source
from engine.sources.registry import open_source
from tests.families.hosts import opened, ssh_definition
from tests.families.mariadb import NASTY, back_up, fresh_name, make_shop, names, opened_mariadb, quoted
from tests.families.sources import drain
from tests.servers.mariadb import KEEPER, PASSWORD, MariadbServer

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "ssh"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


async def test_a_backup_holds_users_dumps_and_last_a_manifest(host: OpenHost, mariadb: MariadbServer) -> None:
    """What a restore needs lies in one snapshot, and the manifest knows all that was read before it."""
    shop = make_shop(mariadb)
    async with opened_mariadb(host, mariadb, database=[shop]) as source:
        assert shop in (await source.check())["databases"]
        backup = await back_up(source)
    assert backup.order == ["globals.sql", f"databases/{shop}.sql", "manifest.json"]
    assert backup.failures == {}
    assert f"CREATE USER IF NOT EXISTS `{KEEPER}`@`localhost`".encode() in backup.data["globals.sql"]
    facts = backup.facts(shop)
    assert {table.name: (table.rows, table.is_estimated) for table in facts.tables} == {
        "children": (3, False), "empty_one": (0, False), "log": (0, False), "parents": (4, False), "parts": (3, False),
    }  # fmt: skip
    assert facts.views == ["a_first", "a_later", "families"]
    assert facts.triggers == ["shout", "tell"]
    assert facts.routines == ["function four", "procedure show_all"]
    assert facts.events == ["asleep", "daily"]
    assert [(each.name, each.last_value) for each in facts.sequences] == [("numbers", 1005)]
    assert "parents.by_name" in facts.indexes
    assert {"children.has_parent", "children.positive"} <= set(facts.constraints)
    assert (facts.encoding, facts.collation) == ("utf8mb4", "utf8mb4_unicode_ci")
    manifest = backup.manifest
    assert "MariaDB" in manifest.server_version
    assert f"{KEEPER}@localhost" in manifest.roles
    assert str(mariadb.socket) in manifest.identity
    assert manifest.position.startswith(f"databases/{shop}.sql log.0")


async def test_rows_are_those_of_the_dumps_own_instant(here: OpenHost, mariadb: MariadbServer) -> None:
    """A shop that sells while it is backed up must not fail its drill for a row that came in between."""
    shop = make_shop(mariadb)
    mariadb.sql("INSERT INTO log SELECT REPEAT('x', 1000) FROM seq_1_to_5000", shop)
    async with opened_mariadb(here, mariadb, database=[shop]) as source:
        _users, dump, manifest = await source.items()
        async with dump.open() as stream:
            first = await stream.read()
            while b"Dumping data" not in first:
                first += await stream.read()
            mariadb.sql("INSERT INTO parts VALUES (5); INSERT INTO log VALUES ('late')", shop)
            data = first + await drain(stream)
            await stream.judge()
        async with manifest.open() as stream:
            assert b'"rows": 5000' in await drain(stream)
    assert b"'late'" not in data


async def test_any_name_is_only_a_name(host: OpenHost, mariadb: MariadbServer, tmp_path: Path) -> None:
    """Nothing of a name is ever run, by a shell or a server."""
    mariadb.sql(f"DROP DATABASE IF EXISTS {quoted(NASTY)}; CREATE DATABASE {quoted(NASTY)}")
    mariadb.sql(
        f"CREATE TABLE {quoted(NASTY)} (`x\n(y` INT); INSERT INTO {quoted(NASTY)} VALUES (1), (2)", NASTY
    )
    dashed = f"--{fresh_name()}"
    mariadb.sql(f"CREATE DATABASE {quoted(dashed)}; CREATE TABLE {quoted(dashed)}.t (id INT)")
    async with opened_mariadb(host, mariadb, database=[NASTY, dashed]) as source:
        backup = await back_up(source)
        commands = await source.commands()
    assert backup.failures == {}
    assert [(table.name, table.rows) for table in backup.facts(NASTY).tables] == [(NASTY, 2)]
    assert names(backup.facts(dashed).tables) == ["t"]
    assert all(PASSWORD.encode() not in str(command.words).encode() for command in commands)
    assert not Path("ran").exists()
    mariadb.sql(f"DROP DATABASE {quoted(NASTY)}; DROP DATABASE {quoted(dashed)}")


async def test_all_takes_every_database_but_the_servers_own(
    here: OpenHost, other_mariadb: MariadbServer
) -> None:
    """A new database is backed up without anybody's doing."""
    shop = make_shop(other_mariadb)
    async with opened_mariadb(here, other_mariadb, all=True) as source:
        paths = [item.path for item in await source.items()]
        dumps = [command for command in await source.commands() if command.program == "mariadb-dump"]
    assert f"databases/{shop}.sql" in paths
    assert not {
        f"databases/{name}.sql" for name in ("mysql", "sys", "information_schema", "performance_schema")
    } & set(paths)
    assert not any("--databases" in command.words or "--all-databases" in command.words for command in dumps)


async def test_a_server_without_a_log_is_dumped_without_its_position(
    here: OpenHost, other_mariadb: MariadbServer
) -> None:
    """Asking for what is not there would end the dump with status 2."""
    shop = make_shop(other_mariadb)
    async with opened_mariadb(here, other_mariadb, database=[shop], kind="mysql") as source:
        backup = await back_up(source)
    assert (backup.failures, backup.manifest.position, backup.manifest.kind) == ({}, "", "mysql")


async def test_an_account_that_may_only_read_is_told_what_is_left_out(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """One database of a shared server is backed up with what its account may see."""
    shop = make_shop(mariadb)
    user = fresh_name("u")
    mariadb.sql(
        f"CREATE USER {user}@localhost IDENTIFIED BY 'x'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {shop}.* TO {user}@localhost"
    )
    async with opened_mariadb(here, mariadb, database=[shop], user=user, password="x") as source:
        backup = await back_up(source)
    mariadb.sql(f"DROP USER {user}@localhost")
    told = "\n".join(backup.warnings)
    assert "users and grants" in told
    assert "position of the binary log" in told
    assert names(backup.facts(shop).tables)


async def test_accounts_that_the_server_passes_over_cost_nobody_theirs(
    here: OpenHost, start_mariadb: Callable[..., MariadbServer]
) -> None:
    """A server that resolves no names stumbles over accounts of host names, and the dumper then writes no user at all."""
    server = start_mariadb()
    server.sql(
        "CREATE DATABASE d; CREATE ROLE readers; GRANT SELECT ON d.* TO readers; GRANT readers TO keeper@localhost"
    )
    server.sql("INSERT INTO mysql.global_priv VALUES ('some.machine', 'web', '{}'); FLUSH PRIVILEGES")
    async with opened_mariadb(here, server, all=True) as source:
        backup = await back_up(source)
    script = backup.data["globals.sql"]
    assert backup.failures == {}
    assert b"CREATE USER IF NOT EXISTS `keeper`@`localhost`" in script
    assert b"CREATE ROLE IF NOT EXISTS `readers`;" in script
    assert b"GRANT `readers` TO `keeper`@`localhost`;" in script
    assert "1133" in backup.warnings[0]
    server.sql(script.decode())


async def test_tables_without_transactions_are_named(here: OpenHost, mariadb: MariadbServer) -> None:
    """Their rows may be of several instants, and only a person can say whether that matters."""
    shop = make_shop(mariadb)
    mariadb.sql("CREATE TABLE old_one (id INT) ENGINE=MyISAM; CREATE TABLE other (id INT) ENGINE=Aria", shop)
    async with opened_mariadb(here, mariadb, database=[shop]) as source:
        backup = await back_up(source)
    assert len(backup.warnings) == 1
    assert "old_one (MyISAM), other (Aria)" in backup.warnings[0]


async def test_selected_tables_and_schema_alone(here: OpenHost, mariadb: MariadbServer) -> None:
    """Less is taken where less is asked for, and the manifest says so."""
    shop = make_shop(mariadb)
    async with opened_mariadb(here, mariadb, database=[shop], table=["parents", "children"]) as source:
        some = await back_up(source)
    async with opened_mariadb(here, mariadb, database=[shop], schema_only=True) as source:
        bare = await back_up(source)
    assert names(some.facts(shop).tables) == ["children", "parents"]
    assert some.facts(shop).views == []
    assert b"CREATE TABLE `log`" not in some.data[f"databases/{shop}.sql"]
    assert b"INSERT INTO `parents` VALUES" not in bare.data[f"databases/{shop}.sql"]
    assert {table.rows for table in bare.facts(shop).tables} == {0}
    assert bare.manifest.scope == "schema"


async def test_a_database_that_is_not_there_fails_alone(here: OpenHost, mariadb: MariadbServer) -> None:
    """One name that is wrong must not cost the other backups of the night."""
    shop = make_shop(mariadb)
    async with opened_mariadb(here, mariadb, database=["no_such", shop]) as source:
        with pytest.raises(SourceError, match="no database named 'no_such'"):
            await source.check()
        backup = await back_up(source)
    assert list(backup.failures) == ["databases/no_such.sql"]
    assert isinstance(backup.failures["databases/no_such.sql"], IncompleteDumpError)
    assert "Unknown database" in str(backup.failures["databases/no_such.sql"])
    assert names(backup.manifest.databases) == [shop]


async def test_a_killed_session_is_no_backup(
    here: OpenHost, start_mariadb: Callable[..., MariadbServer]
) -> None:
    """Half a dump must never become a snapshot."""
    server = start_mariadb()
    shop = make_shop(server)
    server.sql("INSERT INTO log SELECT REPEAT('x', 10000) FROM seq_1_to_5000", shop)
    async with opened_mariadb(here, server, database=[shop]) as source:
        _users, dump, manifest = await source.items()
        async with dump.open() as stream:
            while b"INSERT INTO `log`" not in await stream.read():
                pass
            rows = server.sql("SELECT id FROM information_schema.processlist WHERE user = 'keeper'")
            assert rows
            for (number,) in rows:
                server.sql(f"KILL {number}")
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match="hung up"):
                await stream.judge()
        async with manifest.open() as stream:
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match="no database was dumped"):
                await stream.judge()


@pytest.mark.parametrize("cut", ["boundary", "inside", "marker"])
async def test_a_dump_that_stops_early_is_no_backup(
    here: OpenHost, mariadb: MariadbServer, cut: str, tmp_path: Path
) -> None:
    """A dump that ends between two statements loads without an error, and lacks what came after."""
    shop = make_shop(mariadb)
    tool = tmp_path / "bin" / "mariadb-dump"
    tool.parent.mkdir()
    ends = {
        "boundary": "sed '/Table structure for table `parts`/,$d'",
        "inside": "head -c 3000",
        "marker": "sed '$d'",
    }
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*|*--system*) exec /usr/bin/mariadb-dump "$@";; esac\n/usr/bin/mariadb-dump "$@" | {ends[cut]}\n'
    )
    tool.chmod(0o755)
    definition = Host(
        "this", kind="local", options={"environment": [f"PATH={tool.parent}:/usr/bin:/bin:/usr/sbin"]}
    )
    async with opened(definition) as host, opened_mariadb(host, mariadb, database=[shop]) as source:
        backup = await back_up(source)
    assert "end marker" in str(backup.failures[f"databases/{shop}.sql"])


async def test_a_table_dropped_during_the_dump_is_told(here: OpenHost, mariadb: MariadbServer) -> None:
    """The dumper lists tables first and reads them later."""
    shop = make_shop(mariadb)
    mariadb.sql("INSERT INTO children SELECT seq, 1 FROM seq_4_to_300000; CREATE TABLE z_last (id INT)", shop)
    async with opened_mariadb(here, mariadb, database=[shop]) as source:
        _users, dump, _manifest = await source.items()
        async with dump.open() as stream:
            await stream.read()
            mariadb.sql("DROP TABLE z_last", shop)
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match="z_last"):
                await stream.judge()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"all": True, "database": ["x"]},
        {"all": True, "table": ["t"]},
        {"database": ["x"], "tls": "maybe"},
        {"database": ["x"], "tls_ca": "/ca.pem"},
        {"database": ["x"], "socket": "/s", "port": 1},
        {"database": ["x"], "port": "many"},
        {"database": ["x"], "colour": "red"},
        {"database": ["x", "x"]},
        {"database": ["x"], "in_container": "lxc:x"},
        {"physical": True, "database": ["x"]},
        {"physical": True, "all": True, "schema_only": True},
        {"physical": True, "db_host": "db.example.org"},
    ],
    ids=[
        "nothing",
        "both",
        "tables-of-all",
        "tls",
        "tls-ca",
        "socket-and-port",
        "port",
        "unknown",
        "twice",
        "container",
        "a-database-of-all-files",
        "a-schema-of-all-files",
        "files-of-another-machine",
    ],
)
async def test_an_option_that_makes_no_sense_is_told(here: OpenHost, options: dict[str, OptionValue]) -> None:
    """A typing error shows when the source is added, not at night."""
    with pytest.raises(ConfigurationError):
        async with open_source(Source("wares", "mariadb", options=options), here):
            pass
