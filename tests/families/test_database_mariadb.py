"""Restores into MariaDB against real servers: load, compare, swap, and that the live data is as it was wherever it goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.errors import HoldfastError, IncompleteDumpError, RefusedError, SourceError, UnknownNameError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import DatabaseFacts, compare
from engine.sources.base import Database, LoadStream, Selection
from engine.sources.mariadb.connection import hides_events
from tests.families.hosts import opened, ssh_definition
from tests.families.mariadb import NASTY, back_up, fresh_name, make_shop, opened_mariadb, quoted
from tests.servers.mariadb import MariadbServer

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


@contextlib.asynccontextmanager
async def opened_database(host: OpenHost, server: MariadbServer) -> AsyncIterator[Database]:
    """The server, as root."""
    async with (
        opened_mariadb(host, server, user="root", password=None, all=True) as source,
        source.database() as database,
    ):
        yield database


async def dumped(host: OpenHost, server: MariadbServer, name: str) -> tuple[bytes, DatabaseFacts]:
    """A backup of one database: its dump and what the manifest says of it."""
    async with opened_mariadb(host, server, user="root", password=None, database=[name]) as source:
        backup = await back_up(source)
    assert backup.failures == {}
    facts = backup.facts(name)
    return backup.data[facts.path], facts


async def load(database: Database, name: str, dump: bytes, selection: Selection | None = None) -> list[str]:
    """Loads a dump in pieces that end anywhere."""
    async with database.load(name, selection or Selection()) as stream:
        for begin in range(0, len(dump), 7777):
            await stream.write(dump[begin : begin + 7777])
        return list(await stream.finish())


def failed(facts: DatabaseFacts, actual: DatabaseFacts, *tables: str) -> list[str]:
    """The checks that a restored database did not pass."""
    return [f"{each.check}: {each.actual}" for each in compare(facts, actual, tables) if not each.passed]


async def restored(host: OpenHost, server: MariadbServer, shop: str) -> str:
    """A fresh copy of a database beside it, checked."""
    dump, facts = await dumped(host, server, shop)
    fresh = fresh_name("holdfast_fresh")
    async with opened_database(host, server) as database:
        await database.create(fresh, facts)
        await load(database, fresh, dump)
        assert failed(facts, await database.facts(fresh)) == []
    return fresh


def told(server: MariadbServer, name: str) -> str:
    """A database's whole content, by its own dumper, without its name."""
    return server.dump(name, with_events=not hides_events(name))


async def test_a_database_comes_back_whole_beside_the_live_one(
    host: OpenHost, mariadb: MariadbServer
) -> None:
    """All that the manifest names is there, and the content is the same."""
    shop = make_shop(mariadb)
    before = told(mariadb, shop)
    fresh = await restored(host, mariadb, shop)
    copy = told(mariadb, fresh).replace("DISABLE ON SLAVE", "ENABLE")
    assert copy == before
    assert told(mariadb, shop) == before
    async with opened_database(host, mariadb) as database:
        checks = await database.inspect(fresh)
        assert fresh in await database.names()
        await database.drop(fresh)
        await database.drop(fresh)
        assert fresh not in await database.names()
    assert len(checks) == 9
    assert all(each.passed for each in checks)


async def test_events_of_a_copy_do_not_run(here: OpenHost, mariadb: MariadbServer) -> None:
    """Beside the live ones they would do everything twice."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        assert await load(database, fresh, dump) == ["1 events sleep until their database is put in place"]
    rows = mariadb.sql(
        f"SELECT event_name, status FROM information_schema.events WHERE event_schema = '{fresh}'"
    )
    assert sorted(rows) == [["asleep", "DISABLED"], ["daily", "SLAVESIDE_DISABLED"]]


async def test_what_names_the_live_database_in_a_dump_does_not_touch_it(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """Qualified triggers, a collation that was changed later, and views of two databases all carry the live name."""
    shop, other = make_shop(mariadb), make_shop(mariadb)
    mariadb.sql(
        f"CREATE TRIGGER {shop}.far AFTER DELETE ON {shop}.parents FOR EACH ROW SET @gone = 1;"
        f"CREATE VIEW far_view AS SELECT a.id, '`{shop}`.`x`.`y`' AS word FROM parents a JOIN {other}.log b;"
        f"ALTER DATABASE {shop} COLLATE utf8mb4_bin",
        shop,
    )
    dump, facts = await dumped(here, mariadb, shop)
    assert f"ALTER DATABASE `{shop}`".encode() in dump
    mariadb.sql(f"ALTER DATABASE {shop} COLLATE latin1_bin")
    mariadb.sql(f"DROP TRIGGER {shop}.far")
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        await load(database, fresh, dump)
        assert failed(facts, await database.facts(fresh)) == []
    (collation,) = mariadb.sql(
        f"SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = '{shop}'"
    )
    assert collation == ["latin1_bin"]
    assert mariadb.sql(
        f"SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = '{shop}' AND trigger_name = 'far'"
    ) == [["0"]]
    (view,) = mariadb.sql(
        f"SELECT view_definition FROM information_schema.views WHERE table_schema = '{fresh}' AND table_name = 'far_view'"
    )
    assert f"`{fresh}`.`parents`" in view[0]
    assert f"`{shop}`.`x`.`y`" in view[0]


@pytest.mark.parametrize(
    "statement",
    [
        "USE `{}`;",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `{}`;",
        "/*!40000 DROP DATABASE IF EXISTS `{}`*/;",
    ],
)
async def test_a_dump_that_chooses_its_database_is_refused(
    here: OpenHost, mariadb: MariadbServer, statement: str
) -> None:
    """Made with --databases, it would overwrite the live one wherever it is loaded."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    before = told(mariadb, shop)
    hostile = dump.replace(b"--\n-- Table", statement.format(shop).encode() + b"\n\n--\n-- Table", 1)
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        with pytest.raises(SourceError, match="chooses a database"):
            await load(database, fresh, hostile)
        await database.drop(fresh)
    assert told(mariadb, shop) == before


async def test_a_dump_that_was_cut_is_told(here: OpenHost, mariadb: MariadbServer) -> None:
    """At a statement's boundary the client says nothing, and rows are missing."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        with pytest.raises(IncompleteDumpError, match="end marker"):
            await load(database, fresh, dump[: dump.index(b"--\n-- Table structure for table `parts`")])
        await database.drop(fresh)


async def test_an_error_tells_no_row_of_data(here: OpenHost, mariadb: MariadbServer) -> None:
    """The client repeats the statement that failed, and the server quotes it."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    broken = dump.replace(b"'it\\'s',NULL", b"'a secret of somebody',NULL,")
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        with pytest.raises(SourceError, match="ERROR 1064") as caught:
            await load(database, fresh, broken)
    assert "secret" not in str(caught.value)


async def test_a_client_command_in_a_dump_is_never_run(
    here: OpenHost, mariadb: MariadbServer, tmp_path: Path
) -> None:
    """A hostile server could write anything into its dump."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    dump = dump.split(b"\n", 1)[1]  # without the sandbox line
    ran = tmp_path / "ran"
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        for command in (f"\\! touch {ran}", f"system touch {ran}", "source /etc/passwd"):
            await database.create(fresh, facts)
            with pytest.raises(SourceError, match="ERROR "):
                await load(
                    database, fresh, dump.replace(b"/*!40101 SET", command.encode() + b"\n/*!40101 SET", 1)
                )
            await database.drop(fresh)
    assert not ran.exists()


async def test_chosen_tables_come_with_their_triggers_alone(here: OpenHost, mariadb: MariadbServer) -> None:
    """One table beside the live data is what is most often wanted."""
    shop = make_shop(mariadb)
    dump, facts = await dumped(here, mariadb, shop)
    fresh = fresh_name()
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        await load(database, fresh, dump, Selection(("parents", "numbers", "a_later")))
        actual = await database.facts(fresh)
        with pytest.raises(SourceError, match="no table 'nothing'"):
            await load(database, fresh, dump, Selection(("nothing",)))
    assert failed(facts, actual, "parents") == []
    assert [each.name for each in actual.tables] == ["parents"]
    assert (actual.triggers, actual.views, actual.routines, actual.events) == (
        ["shout", "tell"],
        ["a_later"],
        [],
        [],
    )


async def test_a_drill_needs_none_of_the_accounts(
    here: OpenHost, mariadb: MariadbServer, other_mariadb: MariadbServer
) -> None:
    """On another server nobody has the names in which views and routines run."""
    shop = make_shop(mariadb)
    mariadb.sql(f"CREATE USER IF NOT EXISTS maker@localhost; GRANT ALL ON {shop}.* TO maker@localhost")
    mariadb.sql("CREATE DEFINER=maker@localhost VIEW mine AS SELECT * FROM parents; CREATE DEFINER=maker@localhost FUNCTION five() RETURNS INT DETERMINISTIC RETURN 5;"
                "CREATE DEFINER=maker@localhost TRIGGER his AFTER UPDATE ON parents FOR EACH ROW SET @x = 1; CREATE DEFINER=maker@localhost EVENT ours ON SCHEDULE EVERY 1 DAY DO SET @x = 1", shop)  # fmt: skip
    dump, facts = await dumped(here, mariadb, shop)
    fresh = fresh_name()
    async with opened_database(here, other_mariadb) as database:
        await database.create(fresh, facts, is_owned=False)
        await load(database, fresh, dump, Selection(is_owned=False))
        assert failed(facts, await database.facts(fresh)) == []
        assert all(each.passed for each in await database.inspect(fresh))
        assert await database.query(fresh, "SELECT COUNT(*) FROM mine") == "4"
    definers = other_mariadb.sql(f"SELECT definer FROM information_schema.views WHERE table_schema = '{fresh}' UNION SELECT definer FROM information_schema.routines WHERE routine_schema = '{fresh}' UNION SELECT definer FROM information_schema.triggers WHERE trigger_schema = '{fresh}' UNION SELECT definer FROM information_schema.events WHERE event_schema = '{fresh}'")  # fmt: skip
    assert definers == [["root@localhost"]]


async def test_a_query_reads_and_nothing_else(here: OpenHost, mariadb: MariadbServer) -> None:
    """A check that a person wrote must not change what it checks."""
    shop = make_shop(mariadb)
    before = told(mariadb, shop)
    async with opened_database(here, mariadb) as database:
        assert (
            await database.query(shop, "SELECT id, name FROM parents WHERE id IN (2, 4) ORDER BY id")
            == "2|it's\n4|ü"
        )
        assert await database.query(shop, "select NULL, 'NULL', 'a\tb'") == "|NULL|a\tb"
        for statement in (
            "DELETE FROM log",
            "SELECT 1; DROP TABLE log",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "COMMIT",
        ):
            with pytest.raises(SourceError):
                await database.query(shop, statement)
        with pytest.raises(SourceError, match="READ ONLY"):
            await database.query(shop, "WITH a AS (SELECT 1) SELECT NEXTVAL(numbers)")
        with pytest.raises(SourceError, match="no_such"):
            await database.query(shop, "SELECT * FROM no_such")
    assert told(mariadb, shop) == before


async def test_a_swap_keeps_what_belongs_to_the_name(here: OpenHost, mariadb: MariadbServer) -> None:
    """The application logs in with the same rights, and finds the restored data; what was live is kept whole."""
    shop = make_shop(mariadb)
    good = told(mariadb, shop)
    fresh = await restored(here, mariadb, shop)
    user = fresh_name("u")
    mariadb.sql(
        f"CREATE USER {user}@localhost; GRANT SELECT ON {shop}.* TO {user}@localhost; GRANT INSERT ON {shop}.log TO {user}@localhost;"
        f"GRANT EXECUTE ON FUNCTION {shop}.four TO {user}@localhost; GRANT EXECUTE ON PROCEDURE {shop}.show_all TO {user}@localhost WITH GRANT OPTION"
    )
    grants = sorted(mariadb.sql(f"SHOW GRANTS FOR {user}@localhost"))
    mariadb.sql(
        "DELETE FROM children; CREATE TABLE late (id INT); DROP FUNCTION four; INSERT INTO log VALUES ('damage')",
        shop,
    )
    mariadb.sql(
        f"CREATE FUNCTION four() RETURNS INT DETERMINISTIC RETURN 5; GRANT EXECUTE ON FUNCTION {shop}.four TO {user}@localhost",
        shop,
    )
    damaged = told(mariadb, shop)
    aside = f"{shop}_before"
    async with opened_database(here, mariadb) as database:
        assert await database.swap(fresh, shop, aside) == []
        assert fresh not in await database.names()
        assert told(mariadb, shop) == good
        assert told(mariadb, aside).replace("DISABLE ON SLAVE", "ENABLE") == damaged
        assert sorted(mariadb.sql(f"SHOW GRANTS FOR {user}@localhost")) == grants
        assert await database.swap(aside, shop, fresh) == []
        assert told(mariadb, shop) == damaged
        assert sorted(mariadb.sql(f"SHOW GRANTS FOR {user}@localhost")) == grants
    mariadb.sql(f"DROP USER {user}@localhost")


async def test_a_swap_ends_the_sessions_that_are_in_its_way(here: OpenHost, mariadb: MariadbServer) -> None:
    """An application with a transaction open would keep a restore waiting for a day."""
    shop = make_shop(mariadb)
    good = told(mariadb, shop)
    fresh = await restored(here, mariadb, shop)
    words = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--user=root", "--unbuffered", shop]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(b"BEGIN; INSERT INTO log VALUES ('open'); SELECT 'begun';\n")
        session.stdin.flush()
        while b"begun" not in session.stdout.readline():
            pass
        async with opened_database(here, mariadb) as database:
            async with asyncio.timeout(20):
                await database.swap(fresh, shop, f"{shop}_before")
        session.stdin.close()
    assert told(mariadb, shop) == good


async def test_a_swap_that_fails_leaves_the_live_data_as_it_was(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """Whatever step it is that fails, triggers, views, routines and events are there again."""
    shop = make_shop(mariadb)
    fresh = await restored(here, mariadb, shop)
    live = told(mariadb, shop)
    mariadb.sql(
        "CREATE FUNCTION chance() RETURNS DOUBLE RETURN RAND(); SET GLOBAL log_bin_trust_function_creators = OFF",
        fresh,
    )
    copy = told(mariadb, fresh)
    async with opened_database(here, mariadb) as database:
        with pytest.raises(SourceError, match="is as it was: ERROR 1418"):
            await database.swap(fresh, shop, f"{shop}_before")
        assert f"{shop}_before" not in await database.names()
    mariadb.sql("SET GLOBAL log_bin_trust_function_creators = ON")
    assert told(mariadb, shop) == live
    now = told(mariadb, fresh)
    assert now.partition("FUNCTION IF EXISTS")[0] == copy.partition("FUNCTION IF EXISTS")[0]
    assert "FUNCTION `four`" in now
    assert "PROCEDURE `show_all`" in now


async def test_a_swap_refuses_what_it_could_not_undo(here: OpenHost, mariadb: MariadbServer) -> None:
    """A name that is taken, and foreign keys from elsewhere that would follow the old tables."""
    shop = make_shop(mariadb)
    fresh, other = await restored(here, mariadb, shop), fresh_name("other")
    async with opened_database(here, mariadb) as database:
        with pytest.raises(RefusedError, match="there already"):
            await database.swap(fresh, shop, fresh)
        with pytest.raises(UnknownNameError):
            await database.swap("no_such", shop, f"{shop}_before")
        mariadb.sql(
            f"CREATE DATABASE {other}; CREATE TABLE {other}.t (p INT, FOREIGN KEY (p) REFERENCES {shop}.parents (id))"
        )
        with pytest.raises(RefusedError, match="refers to tables of"):
            await database.swap(fresh, shop, f"{shop}_before")
        mariadb.sql(f"DROP DATABASE {other}")


async def test_a_broken_view_does_not_stand_in_the_way(here: OpenHost, mariadb: MariadbServer) -> None:
    """A dropped table is what restores are for, and its views are then broken."""
    shop = make_shop(mariadb)
    good = told(mariadb, shop)
    fresh = await restored(here, mariadb, shop)
    mariadb.sql("DROP TABLE children", shop)
    async with opened_database(here, mariadb) as database:
        (warning,) = await database.swap(fresh, shop, f"{shop}_before")
    assert "were broken already, and are left out: a_first, families" in warning
    assert told(mariadb, shop) == good


async def test_a_swap_that_is_cancelled_comes_to_one_of_its_ends(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """Ctrl-C between two steps must not leave a database without its triggers."""
    shop = make_shop(mariadb)
    fresh = await restored(here, mariadb, shop)
    live, copy = told(mariadb, shop), told(mariadb, fresh).replace("DISABLE ON SLAVE", "ENABLE")
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2):
        async with opened_database(here, mariadb) as database:
            names = await database.names()
            source = fresh if fresh in names else f"{shop}_before"
            aside = f"{shop}_before" if source == fresh else fresh
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await database.swap(source, shop, aside)
        assert told(mariadb, shop) in (live, copy)
        names = [name for (name,) in mariadb.sql("SHOW DATABASES")]
        for name in {fresh, f"{shop}_before"} & set(names):
            if not mariadb.sql(f"SHOW TABLES IN {name}"):
                mariadb.sql(f"DROP DATABASE {name}")


async def test_any_name_can_be_restored_swapped_and_dropped(here: OpenHost, mariadb: MariadbServer) -> None:
    """Nothing of a name is ever run."""
    mariadb.sql(f"DROP DATABASE IF EXISTS {quoted(NASTY)}")
    make_shop(mariadb, NASTY)
    mariadb.sql(
        f"CREATE TABLE {quoted(NASTY)} ({quoted(NASTY)} INT); INSERT INTO {quoted(NASTY)} VALUES (1)", NASTY
    )
    mariadb.sql("DROP EVENT daily; DROP EVENT asleep", NASTY)  # which the dumper cannot read here
    good = told(mariadb, NASTY)
    fresh, aside = "fr'e`sh\" $(touch ran)", "as\n;DROP DATABASE mysql;\\"
    dump, facts = await dumped(here, mariadb, NASTY)
    async with opened_database(here, mariadb) as database:
        await database.create(fresh, facts)
        await load(database, fresh, dump)
        assert failed(facts, await database.facts(fresh)) == []
        assert all(each.passed for each in await database.inspect(fresh))
        await database.swap(fresh, NASTY, aside)
        assert told(mariadb, NASTY) == good
        for name in (NASTY, aside):
            await database.drop(name)
        assert not {NASTY, aside, fresh} & set(await database.names())


async def test_two_servers_are_told_apart(
    here: OpenHost, mariadb: MariadbServer, other_mariadb: MariadbServer
) -> None:
    """A restore into the wrong one fails before it begins."""
    async with opened_database(here, mariadb) as one, opened_database(here, other_mariadb) as other:
        assert await one.identity() != await other.identity()
        assert await one.identity() == await one.identity()
        assert (await one.free_bytes() or 0) > 1_000_000


async def test_the_servers_own_databases_are_never_dropped(here: OpenHost, mariadb: MariadbServer) -> None:
    """No mistake of a caller may cost a server."""
    async with opened_database(here, mariadb) as database:
        for name in ("mysql", "MySQL", "sys"):
            with pytest.raises(SourceError, match="server's own"):
                await database.drop(name)


async def test_a_server_that_dies_while_it_loads_is_told(
    here: OpenHost, start_mariadb: Callable[..., MariadbServer]
) -> None:
    """The live data is as it was, because the dump went elsewhere."""
    server = start_mariadb()
    shop = make_shop(server)
    dump, facts = await dumped(here, server, shop)
    async with opened_database(here, server) as database:
        await database.create("fresh", facts)
        async with database.load("fresh", Selection()) as stream:
            await stream.write(dump[:2000])
            server.stop()
            with pytest.raises(HoldfastError):
                await _write_and_finish(stream, dump[2000:])


async def _write_and_finish(stream: LoadStream, data: bytes) -> None:
    await stream.write(data)
    await stream.finish()
