"""The swap of a restored database with the live one, against real servers: it keeps what belongs to the name, and fails without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable

import pytest

from engine.errors import HoldfastError, RefusedError, SourceError, UnknownNameError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.sources.base import Database
from tests.families.hosts import cut_connections, opened, ssh_definition, wait_until
from tests.families.mariadb import (
    NASTY,
    dumped,
    failed,
    fresh_name,
    load,
    make_shop,
    opened_database,
    quoted,
    restored,
    told,
)
from tests.servers.mariadb import MariadbServer
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


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
            async with asyncio.timeout(60):
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


async def test_a_connection_that_is_cut_in_a_swap_leaves_one_of_both(
    start_sshd: Callable[..., Sshd], here: OpenHost, mariadb: MariadbServer
) -> None:
    """The host has all of the steps before the first of them, and what undoes them."""
    shop = make_shop(mariadb)
    aside = f"{shop}_before"
    fresh = await restored(here, mariadb, shop)
    live, copy = told(mariadb, shop), told(mariadb, fresh).replace("DISABLE ON SLAVE", "ENABLE")
    sshd = start_sshd()
    with contextlib.suppress(HoldfastError):
        async with (
            opened(ssh_definition(sshd)) as host,
            opened_database(host, mariadb) as database,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_cut_when_there(sshd, mariadb, aside))
            group.create_task(_swapped(database, fresh, shop, aside))

    def is_settled() -> bool:
        """The steps are clients of their own: between two of them nobody is connected, and nothing can be dumped yet."""
        if mariadb.sql(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'"
        ):
            return False
        with contextlib.suppress(subprocess.CalledProcessError):
            return told(mariadb, shop) in (live, copy)
        return False

    await wait_until(is_settled)


async def _swapped(database: Database, fresh: str, live: str, aside: str) -> None:
    with contextlib.suppress(HoldfastError):
        await database.swap(fresh, live, aside)


async def _cut_when_there(sshd: Sshd, server: MariadbServer, name: str) -> None:
    """Cuts the connection as soon as the swap's first step is seen."""
    while [name] not in await asyncio.to_thread(server.sql, "SHOW DATABASES"):
        pass
    cut_connections(sshd)
