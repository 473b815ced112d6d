"""Restores into MariaDB against real servers: load, compare, swap, and that the live data is as it was wherever it goes wrong."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import HoldfastError, IncompleteDumpError, SourceError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.sources.base import Database, LoadStream, Selection
from tests.families.hosts import opened, ssh_definition, wait_until
from tests.families.mariadb import (
    dumped,
    failed,
    fresh_name,
    load,
    make_shop,
    opened_database,
    restored,
    told,
)
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


async def test_a_corrupt_page_is_found(here: OpenHost, start_mariadb: Callable[..., MariadbServer]) -> None:
    """A drill fails on it: the checker says so, or the server does not survive the look."""
    server = start_mariadb()
    shop = make_shop(server)
    server.sql("INSERT INTO log SELECT REPEAT('x', 1000) FROM seq_1_to_3000", shop)
    async with opened_database(here, server) as database:
        assert all(each.passed for each in await database.inspect(shop))
        server.process.terminate()
        server.process.wait()
        with (server.directory / "data" / shop / "log.ibd").open("r+b") as file:
            file.seek(20 * 16384 + 5000)
            file.write(b"damage" * 100)
        again = replace(server, process=subprocess.Popen(server.process.args, stderr=subprocess.DEVNULL))
        try:
            await wait_until(lambda: _answers(again))
            found = await _found(database, shop)
        finally:
            again.stop()
    assert found


def _answers(server: MariadbServer) -> bool:
    with contextlib.suppress(RuntimeError):
        return server.sql("SELECT 1") == [["1"]]
    return False


async def _found(database: Database, name: str) -> bool:
    try:
        return not all(each.passed for each in await database.inspect(name))
    except SourceError:
        return True


async def test_a_target_that_runs_out_of_space_is_told(
    here: OpenHost, mariadb: MariadbServer, start_mariadb: Callable[..., MariadbServer]
) -> None:
    """The dump is half there, in a database that nobody uses."""
    shop = make_shop(mariadb)
    mariadb.sql("INSERT INTO log SELECT REPEAT('x', 1000) FROM seq_1_to_20000", shop)
    dump, facts = await dumped(here, mariadb, shop)
    small = start_mariadb(
        "--innodb-data-file-path=ibdata1:12M:autoextend:max:16M", "--innodb-file-per-table=OFF"
    )
    live = make_shop(small)
    before = told(small, live)
    async with opened_database(here, small) as database:
        await database.create("fresh", facts)
        with pytest.raises(SourceError, match="is full"):
            await load(database, "fresh", dump)
        await database.drop("fresh")
    assert told(small, live) == before
