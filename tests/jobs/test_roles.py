"""Roles of a PostgreSQL backup on another server: made where they are missing, and left alone where they are there."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from engine import errors
from engine.events import Noted
from engine.model.definitions import Source
from engine.model.requests import RestoreRequest
from tests.families.mariadb import fresh_name
from tests.families.postgres import make_shop, new_name, quoted
from tests.jobs.test_databases import _damage
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow

HASH = "select coalesce(rolpassword, '') from pg_authid where rolname = "


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def test_missing_roles_come_with_a_restore_and_others_stay(
    world: World, postgres: Postgres, other_postgres: Postgres, request: pytest.FixtureRequest
) -> None:
    """A new server has none of the accounts; one in use has some, with passwords of its own."""
    role, readers = new_name("o'wner \"; drop role backup; --\n$(x)"), new_name("readers")
    shop = make_shop(postgres)

    def clear() -> None:
        other_postgres.psql("drop database if exists copy_of_shop")
        postgres.psql(f"drop database {shop}")
        for server in (postgres, other_postgres):
            server.psql(f"drop role if exists {quoted(role)}; drop role if exists {readers}")

    request.addfinalizer(clear)
    postgres.psql(
        f"create role {readers}; create role {quoted(role)} login password 'it''s; secret'; grant {readers} to {quoted(role)};"
        f"alter role {quoted(role)} set work_mem to '5MB'; alter database {shop} owner to {quoted(role)}"
    )
    before = other_postgres.psql(HASH + "'owner'")
    await world.add_storages("first")
    await world.engine.add_source(Source("db", "postgres", options=postgres.options(database=[shop])))
    await world.engine.add_source(Source("other", "postgres", options=other_postgres.options(all=True)))
    await world.one_backup("db")
    wanted = RestoreRequest("latest:db", into="copy_of_shop", target_source="other")
    with pytest.raises(errors.SourceError, match=r'ERROR: +role "o'):
        await world.engine.restore(wanted)
    with_roles = replace(wanted, is_with_roles=True)
    await world.engine.restore(replace(with_roles, is_dry_run=True))
    told = {each.message for each in world.heard if isinstance(each, Noted)}
    assert {f"create role {role}", f"create role {readers}"} <= told
    assert other_postgres.psql(HASH + _literal(role)) == ""
    await world.engine.restore(with_roles)
    assert other_postgres.psql(HASH + _literal(role)) == postgres.psql(HASH + _literal(role))
    member = f"select pg_has_role({_literal(role)}, '{readers}', 'member'), rolconfig from pg_roles where rolname = {_literal(role)}"
    assert other_postgres.psql(member) == "t|{work_mem=5MB}"
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'copy_of_shop'"
    assert other_postgres.psql(owner) == role
    assert other_postgres.psql(HASH + "'owner'") == before != postgres.psql(HASH + "'owner'")
    other_postgres.psql("drop database copy_of_shop")
    other_postgres.psql(f"drop role {quoted(role)}")
    _damage(world)
    with pytest.raises(errors.HoldfastError):
        await world.engine.restore(with_roles)
    roles = f"select count(*) from pg_roles where rolname in ({_literal(role)}, '{readers}')"
    assert other_postgres.psql(roles) == "1"


async def test_the_account_of_a_view_comes_with_a_restore(
    world: World, mariadb: MariadbServer, other_mariadb: MariadbServer, request: pytest.FixtureRequest
) -> None:
    """MariaDB runs a view as the account that made it: without that it is there, and of no use."""
    user, shop = fresh_name("u"), fresh_name()

    def clear() -> None:
        other_mariadb.sql("DROP DATABASE IF EXISTS copy_of_shop")
        mariadb.sql(f"DROP DATABASE {shop}")
        for server in (mariadb, other_mariadb):
            server.sql(f"DROP USER IF EXISTS {user}@localhost")

    request.addfinalizer(clear)
    mariadb.sql(
        f"CREATE DATABASE {shop}; CREATE USER {user}@localhost IDENTIFIED BY 'one'; GRANT SELECT ON *.* TO {user}@localhost;"
        f"CREATE DEFINER={user}@localhost VIEW {shop}.four AS SELECT 4"
    )
    await world.add_storages("first")
    for name, server in (("db", mariadb), ("other", other_mariadb)):
        options = {"socket": str(server.socket), "user": "root", "database": (shop,)}
        await world.engine.add_source(Source(name, "mariadb", options=options))
    await world.one_backup("db")
    wanted = RestoreRequest("latest:db", into="copy_of_shop", target_source="other", is_with_roles=True)
    await world.engine.restore(replace(wanted, is_dry_run=True))
    assert f"create role `{user}`@`localhost`" in {
        each.message for each in world.heard if isinstance(each, Noted)
    }
    await world.engine.restore(wanted)
    assert other_mariadb.sql("SELECT * FROM copy_of_shop.four") == [["4"]]


async def test_a_kind_without_roles_says_so(world: World, tmp_path: Path) -> None:
    """Rather than to restore without what was asked for."""
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as database:
        database.execute("create table items (name text)")
    await world.add_storages("first")
    await world.engine.add_source(Source("app", "sqlite", options={"path": str(tmp_path / "app.db")}))
    await world.one_backup("app")
    with pytest.raises(errors.UsageError, match="roles of kind sqlite"):
        await world.engine.restore(RestoreRequest("latest:app", into="copy.db", is_with_roles=True))
