"""Users and roles of a MariaDB backup on another server: made where they are missing, and left alone where they are there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SourceError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.sources.base import RoleKeeper
from engine.sources.mariadb import roles
from engine.sources.mariadb.roles import Account
from tests.families.hosts import opened
from tests.families.mariadb import back_up, fresh_name, opened_database, opened_mariadb
from tests.servers.mariadb import MariadbServer

END = "\n-- Dump completed on 2026-11-20 14:05:00\n"


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


def _told(server: MariadbServer, *accounts: str) -> list[list[list[str]]]:
    statements = [f"SHOW GRANTS FOR {each}" for each in accounts]
    statements += [f"SHOW CREATE USER {each}" for each in accounts if "@" in each]
    return [sorted(server.sql(each)) for each in statements]


@pytest.mark.slow
async def test_missing_accounts_come_with_their_rights_and_others_stay(
    here: OpenHost, mariadb: MariadbServer, other_mariadb: MariadbServer
) -> None:
    """A new server has none of them; one in use has some, with passwords and rights of its own. All of them come, or none."""
    word, shop = fresh_name("u"), fresh_name()
    nasty, reader, there = f"`o'\"b;-- {word}`@`10.%`", f"`{word} r`", f"{word}_there@localhost"
    plain = f"`{word}`@`localhost`"
    for server in (mariadb, other_mariadb):
        server.sql(f"CREATE DATABASE {shop}; CREATE TABLE {shop}.wares (id INT)")
    mariadb.sql(
        f"CREATE TABLE {shop}.orders (id INT, n INT); CREATE ROLE {reader};"
        f"CREATE USER {nasty} IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('it''s \\\\ x') REQUIRE SSL WITH MAX_USER_CONNECTIONS 3;"
        f"CREATE USER {plain} IDENTIFIED BY 'one' PASSWORD EXPIRE INTERVAL 30 DAY; CREATE USER {there} IDENTIFIED BY 'one';"
        f"GRANT SELECT ON {shop}.* TO {reader}; GRANT {reader} TO {plain}; SET DEFAULT ROLE {reader} FOR {plain}; GRANT ALL ON *.* TO {there};"
        f"GRANT RELOAD ON *.* TO {nasty} WITH GRANT OPTION; GRANT UPDATE ON {shop}.wares TO {plain}; GRANT PROXY ON {there} TO {plain}"
    )
    other_mariadb.sql(f"CREATE USER {there} IDENTIFIED BY 'another'")
    kept = _told(other_mariadb, there)
    async with opened_mariadb(here, mariadb, user="root", password=None, database=[shop]) as source:
        script = (await back_up(source)).data["globals.sql"]
    # What else stands in a script is never run.
    script = script.replace(
        END[:3].encode(), f"\nDROP DATABASE {shop};\nGRANT ALL ON *.* TO {there};\n--".encode(), 1
    )
    async with opened_database(here, other_mariadb) as database:
        assert isinstance(database, RoleKeeper)
        missing = await database.missing_roles(script)
        assert {nasty, reader, plain} <= set(missing)
        assert there not in missing
        made = await database.create_roles(script)
        assert (set(made.names), list(made.warnings)) == (set(missing), [])
        assert _told(other_mariadb, nasty, reader, plain) == _told(mariadb, nasty, reader, plain)
        assert (_told(other_mariadb, there), await database.missing_roles(script)) == (kept, [])
        await database.drop_roles(made.names)
        assert await database.missing_roles(script) == missing

        mariadb.sql(f"GRANT SELECT (id) ON {shop}.orders TO {plain}")
        async with opened_mariadb(here, mariadb, user="root", password=None, database=[shop]) as source:
            script = (await back_up(source)).data["globals.sql"]
        made = await database.create_roles(script)
        assert [f"{shop}.orders' doesn't exist" in each for each in made.warnings] == [True]
        await database.drop_roles(made.names)
        spoiled = script.replace(b"unix_socket", b"no_such_plugin", 1)
        with pytest.raises(SourceError):
            await database.create_roles(spoiled)
        assert await database.missing_roles(script) == missing
    for server in (mariadb, other_mariadb):
        server.sql(f"DROP DATABASE {shop}; DROP USER {there}")
    mariadb.sql(f"DROP USER {plain}, {nasty}; DROP ROLE {reader}")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE USER IF NOT EXISTS `a`@`b`, `root`@`localhost`",
        "CREATE USER IF NOT EXISTS `a`",
        "CREATE OR REPLACE USER `root`@`localhost`",
        "CREATE ROLE IF NOT EXISTS mariadb_dump_import_role",
        "GRANT ALL ON *.* TO `root`@`localhost`",
        "GRANT ALL ON *.* TO `new`@`h`, `root`@`localhost`",
        "GRANT SELECT ON (SELECT 1) TO `new`@`h`",
        "GRANT `r` TO `root`@`localhost` WITH ADMIN OPTION",
        "GRANT x TO CURRENT_USER()",
        "SET DEFAULT ROLE `r` FOR `root`@`localhost`",
        "SET GLOBAL read_only = 1",
        "DROP USER `new`@`h`",
        "/*!80001 CREATE ROLE IF NOT EXISTS 'mysqls' */",
        "EXECUTE IMMEDIATE CONCAT('SET ROLE ', @x)",
    ],
)
def test_what_is_of_no_known_form_is_left_out(statement: str) -> None:
    """A backup's script is text that a server wrote, and perhaps somebody else."""
    made = "CREATE USER IF NOT EXISTS `new`@`h` IDENTIFIED BY PASSWORD '*00';\n"
    planned = roles.plan(f"{made}{statement};{END}".encode(), [Account("root", "localhost")])
    assert [each.sql for each in planned.accounts] == ["`new`@`h`"]
    assert planned.statements == ["CREATE USER `new`@`h` IDENTIFIED BY PASSWORD '*00';"]
    assert planned.object_grants == []


@given(st.text(max_size=12), st.text(max_size=8), st.sampled_from("`'"))
def test_any_name_is_taken_for_one(user: str, host: str, mark: str) -> None:
    """Nothing of a name becomes a part of a statement."""
    quoted = [
        each.replace("\\", "\\\\" if mark == "'" else "\\").replace(mark, mark * 2) for each in (user, host)
    ]
    name = f"{mark}{quoted[0]}{mark}@{mark}{quoted[1]}{mark}"
    script = f"CREATE USER IF NOT EXISTS {name};\nGRANT USAGE ON *.* TO {name};{END}"
    planned = roles.plan(script.encode("utf-8", "surrogateescape"), ())
    assert planned.accounts == [Account(user, host)]
    assert len(planned.statements) == 2
    assert roles.drop([planned.accounts[0].sql]) == f"DROP USER IF EXISTS {planned.accounts[0].sql};\n"


def test_a_backup_without_accounts_says_so() -> None:
    """Its account was not allowed to read them."""
    with pytest.raises(SourceError, match="holds no users and roles"):
        roles.plan(b"-- The account of the backup may not read users and grants.\n", ())
    with pytest.raises(SourceError, match="no account that was made"):
        roles.drop(["`a`@`b`; DROP DATABASE shop"])
