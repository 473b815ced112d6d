"""PostgreSQL through whole jobs: from a source's definition to files that stock tools take back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import LoginRefusedError
from engine.model.definitions import OptionValue, Source
from tests.families.postgres import NASTY_NAME, ROWS, make_shop, new_name
from tests.jobs.world import World
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.sshd import STRANGER, Sshd
from tests.servers.tools import missing, require_tool

pytestmark = pytest.mark.slow


async def test_what_a_backup_keeps_goes_back_by_the_databases_own_tools(
    world: World, postgres: Postgres, tmp_path: Path
) -> None:
    """If holdfast is gone, pg_restore is enough."""
    make_shop(postgres, NASTY_NAME)
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    options: dict[str, OptionValue] = {
        "db_host": "127.0.0.1",
        "port": postgres.port,
        "user": "backup",
        "database": [NASTY_NAME],
    }
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "postgres", options={**options, "secret": f"file:{secret}"}))
    await world.one_backup("shop")
    folder = (await world.restore("latest:shop", world.directory / "back")) / "postgres" / "shop"
    assert sorted(each.name for each in folder.iterdir()) == ["databases", "globals.sql", "manifest.json"]
    (dump,) = (folder / "databases").iterdir()
    fresh = new_name()
    postgres.psql(f"create database {fresh} template template0")
    words = [
        "-h",
        str(postgres.directory),
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
        "-d",
        fresh,
        str(dump),
    ]
    subprocess.run([str(postgres.binaries / "pg_restore"), "--exit-on-error", *words], check=True)
    assert postgres.psql("select count(*) from customers", fresh) == str(ROWS)


async def test_a_second_backup_of_what_did_not_change_adds_little(world: World, postgres: Postgres) -> None:
    """A dump is not compressed by its tool, so the repository finds again what it has."""
    name = new_name()
    postgres.psql(f"create database {name}")
    rows = "select i, md5(i::text) || md5((i + 1)::text) from generate_series(1, 120000) i"
    postgres.psql(f"create table sales as {rows}", name)
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "postgres", options=postgres.options(database=[name])))
    first = (await world.backup("shop")).backups[0]
    postgres.psql("insert into sales select i, md5(i::text) from generate_series(1, 1000) i", name)
    second = (await world.backup("shop")).backups[0]
    assert second.added_bytes < first.added_bytes / 2


async def test_the_printed_lines_are_enough_for_a_backup_as_the_databases_own_user(
    world: World, start_sshd: Callable[..., Sshd], postgres: Postgres
) -> None:
    """Peer authentication through sudo, with the rules that were printed and no others."""
    server = start_sshd()
    if not server.has_guests:
        missing("logging in as another user needs root and mount namespaces")
    require_tool("sudo")
    name = make_shop(postgres)
    await world.add_storages("first")
    await world.add_host(server, "db", STRANGER)
    options = postgres.options(database=[name], as_user=postgres.account)
    await world.engine.add_source(Source("shop", "postgres", "db", options))
    with pytest.raises(LoginRefusedError):
        await world.backup("shop")
    grants = await world.engine.host_grants("db")
    rules = "".join(f"{line}\n" for line in grants.splitlines() if " NOPASSWD: " in line)
    (server.directory / "sudoers").write_text(rules, encoding="utf-8")
    assert (await world.one_backup("shop")).size_bytes > 0
