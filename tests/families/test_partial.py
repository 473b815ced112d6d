"""Backups of a part of a server: the schema, the rows, the roles, the configuration files; each against the real server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from engine.errors import SourceError
from engine.hosts.base import OpenHost
from engine.model.backup import Scope
from engine.model.definitions import Host, OptionValue, Source
from engine.sources.base import DatabaseSource, Item, PartialSource
from engine.sources.configuration import item_path
from engine.sources.mariadb.source import MariadbSource
from engine.sources.registry import open_source
from tests.families import mariadb as families_mariadb
from tests.families.hosts import opened, ssh_definition
from tests.families.postgres import NASTY_NAME, ROWS, Read, load, make_shop, new_name, opened_postgres
from tests.families.sources import drain
from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import Postgres
from tests.servers.redis import running_redis
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def host(sshd: Sshd) -> AsyncIterator[OpenHost]:
    """Over SSH, as it mostly is."""
    async with opened(ssh_definition(sshd)) as host:
        yield host


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that the accounts of the servers may read."""
    with tempfile.TemporaryDirectory(prefix="hf-etc-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


async def read_part(source: object, scope: Scope) -> Read:
    """All items of a part, each whole."""
    assert isinstance(source, PartialSource)
    read = Read()
    for item in cast("list[Item]", await source.partial_items(scope)):
        async with item.open() as stream:
            data = await drain(stream)
            read.warnings += await stream.judge()
        read.data[item.path] = data
    assert list(read.data)[-1] == "manifest.json"
    assert read.manifest.scope == scope.value
    return read


async def test_schema_and_rows_of_postgres_make_the_whole_again(host: OpenHost, postgres: Postgres) -> None:
    """Each part is what its name says, no more and no less."""
    name, fresh = make_shop(postgres, NASTY_NAME), new_name()
    async with (
        opened_postgres(host, postgres.options(database=[name])) as source,
        source.database() as database,
    ):
        schema = await read_part(source, Scope.SCHEMA)
        content = await read_part(source, Scope.CONTENT)
        assert [len(each.data) for each in (schema, content)] == [2, 2]
        await database.create(fresh, schema.facts(name))
        await load(database, fresh, schema.dump(name))
        assert postgres.psql("select count(*) from customers", fresh) == "0"
        await load(database, fresh, content.dump(name))
    assert postgres.psql("select count(*) from customers", fresh) == str(ROWS)
    rows = {table.name: table.rows for table in content.facts(name).tables}
    assert rows["public.customers"] == ROWS
    assert {table.rows for table in schema.facts(name).tables} == {0}


async def test_roles_and_configuration_of_postgres(
    host: OpenHost, postgres: Postgres, request: pytest.FixtureRequest
) -> None:
    """What a server is set up with is lost as often as its data; an included file is part of it."""
    folder = postgres.directory / "data"
    main, extra = folder / "postgresql.conf", folder / "it's $(extra).conf"
    before = main.read_bytes()
    request.addfinalizer(lambda: main.write_bytes(before))
    extra.write_text("log_line_prefix = '%m '\n", encoding="utf-8")
    extra.chmod(0o644)
    main.write_bytes(before + b"\ninclude 'it''s $(extra).conf'\n")
    async with opened_postgres(host, postgres.options(database=[make_shop(postgres)])) as source:
        roles = await read_part(source, Scope.ROLES)
        files = await read_part(source, Scope.CONFIGURATION)
    assert list(roles.data) == ["globals.sql", "manifest.json"]
    assert b"CREATE ROLE owner" in roles.data["globals.sql"]
    assert (list(roles.manifest.databases), "owner" in roles.manifest.roles) == ([], True)
    for path in (main, extra, folder / "pg_hba.conf", folder / "pg_ident.conf"):
        assert files.data[item_path(str(path))] == path.read_bytes()


async def test_an_account_that_may_not_know_the_files_is_told_so(here: OpenHost, postgres: Postgres) -> None:
    """An empty backup of a configuration would be believed."""
    options = postgres.options(database=[make_shop(postgres)], user="backup")
    async with opened_postgres(here, options, None) as source:
        with pytest.raises(SourceError, match="may not know") as caught:
            await cast("PartialSource", source).partial_items(Scope.CONFIGURATION)
    assert "pg_read_all_settings" in str(caught.value.hint)


def _option_files(directory: Path) -> Path:
    """An option file that includes a folder with another; gives the first."""
    (directory / "d").mkdir(parents=True)
    main = directory / "my.cnf"
    main.write_text(
        f"# !include nothing\n[mysqld]\nskip-name-resolve\n!includedir {directory}/d/\n", encoding="utf-8"
    )
    (directory / "d" / "a $(touch ran).cnf").write_text("[mysqld]\nmax_connections=50\n", encoding="utf-8")
    for each in (directory, directory / "d"):
        each.chmod(0o755)
    return main


async def test_each_part_of_mariadb(
    host: OpenHost, start_mariadb: Callable[..., MariadbServer], readable: Path
) -> None:
    """The same four parts, and what they make together is the database as it was."""
    main = _option_files(readable / "etc")
    server = start_mariadb(f"--defaults-file={main}")
    shop, fresh = families_mariadb.make_shop(server), families_mariadb.fresh_name()
    given: dict[str, OptionValue] = {"socket": str(server.socket), "user": "root", "database": [shop]}
    async with open_source(Source("wares", "mariadb", options=given), host, {}) as opened_source:
        source = cast("DatabaseSource", opened_source)
        parts = {scope: await read_part(source, scope) for scope in sorted(MariadbSource.scopes)}
        schema, content = parts[Scope.SCHEMA], parts[Scope.CONTENT]
        async with source.database() as database:
            await database.create(fresh, schema.facts(shop))
            await families_mariadb.load(database, fresh, schema.dump(shop))
            assert server.sql("SELECT count(*) FROM parents", fresh) == [["0"]]
    # Triggers would fire for rows that they have changed already.
    server.sql("DROP TRIGGER shout; DROP TRIGGER tell", fresh)
    server.sql(content.dump(shop).decode(), fresh)
    rows = "SELECT id, name, HEX(picture), born FROM parents"
    assert server.sql(rows, fresh) == server.sql(rows, shop)
    assert {table.name: table.rows for table in content.facts(shop).tables}["children"] == 3
    assert content.warnings == []
    assert b"keeper" in parts[Scope.ROLES].data["globals.sql"]
    files = parts[Scope.CONFIGURATION].data
    assert [path for path in files if path != "manifest.json"] == [
        item_path(str(path)) for path in (main, *main.parent.glob("d/*"))
    ]


async def test_a_server_without_option_files_has_no_configuration(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """Nothing is said to be nothing."""
    given: dict[str, OptionValue] = {"socket": str(mariadb.socket), "user": "root", "all": True}
    async with open_source(Source("wares", "mariadb", options=given), here, {}) as source:
        with pytest.raises(SourceError, match="no configuration file"):
            await cast("PartialSource", source).partial_items(Scope.CONFIGURATION)


async def test_the_configuration_of_redis(host: OpenHost, readable: Path) -> None:
    """With what it includes, and the file of its users."""
    main, more, users = (readable / name for name in ("redis.conf", "more one.conf", "users.acl"))
    more.write_text("maxmemory 100mb\n", encoding="utf-8")
    users.write_text("user default on nopass ~* &* +@all\n", encoding="utf-8")
    main.write_text(f'# include nothing\ninclude "{more}"\naclfile {users}\n', encoding="utf-8")
    with running_redis(config=main) as server:
        given: dict[str, OptionValue] = {"socket": str(server.socket)}
        async with open_source(Source("cache", "redis", options=given), host, {}) as source:
            read = await read_part(source, Scope.CONFIGURATION)
    assert {path: read.data[item_path(str(path))] for path in (main, more, users)} == {
        path: path.read_bytes() for path in (main, more, users)
    }
