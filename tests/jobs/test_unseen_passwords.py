"""The password of a database, during backups and restores: another user of the machine sees it nowhere, and nothing of ours keeps it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import HoldfastError
from engine.model.definitions import OptionValue, Source
from engine.model.requests import DrillRequest, RestoreRequest
from tests.fakes import container_tools
from tests.families.mariadb import make_shop as make_mariadb_shop
from tests.families.postgres import make_shop, quoted
from tests.jobs.onlooker import Onlooker
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parents[1] / "fakes" / "mongodump"
Given = Mapping[str, OptionValue]


@contextmanager
def of_postgres(request: pytest.FixtureRequest, secret: str, _folder: Path) -> Iterator[Given]:
    """A superuser of its own, by TCP."""
    server: Postgres = request.getfixturevalue("postgres")
    role, name = f"watched_{secret[-8:]}", make_shop(server)
    server.psql(f"create role {role} superuser login password '{secret}'")
    yield {"db_host": "127.0.0.1", "port": server.port, "user": role, "database": (name,)}
    for each in (name, "watched_copy"):
        server.psql(f"drop database if exists {quoted(each)}")
    server.psql(f"drop role {role}")


@contextmanager
def of_postgres_in_a_container(request: pytest.FixtureRequest, secret: str, folder: Path) -> Iterator[Given]:
    """Through the stand-in for docker."""
    container_tools.install(folder)
    with of_postgres(request, secret, folder) as given:
        yield {**given, "in_container": "docker:db-1"}


@contextmanager
def of_mariadb(request: pytest.FixtureRequest, secret: str, _folder: Path) -> Iterator[Given]:
    """An account with all rights, by the socket."""
    server: MariadbServer = request.getfixturevalue("mariadb")
    user, name = f"watched_{secret[-8:]}@localhost", make_mariadb_shop(server)
    server.sql(f"CREATE USER {user} IDENTIFIED BY '{secret}'; GRANT ALL ON *.* TO {user} WITH GRANT OPTION")
    yield {"socket": str(server.socket), "user": user.partition("@")[0], "database": (name,)}
    server.sql(f"DROP DATABASE IF EXISTS watched_copy; DROP USER {user}")


@contextmanager
def of_mariadb_files(request: pytest.FixtureRequest, secret: str, folder: Path) -> Iterator[Given]:
    """The same account, for mariadb-backup."""
    with of_mariadb(request, secret, folder) as given:
        yield {name: value for name, value in given.items() if name != "database"} | {"physical": True}


@contextmanager
def of_redis(request: pytest.FixtureRequest, secret: str, _folder: Path) -> Iterator[Given]:
    """A user of its own."""
    server: Redis = request.getfixturevalue("redis")
    server.cli("FLUSHALL")
    server.fill(100)
    server.cli("ACL", "SETUSER", "watched", "on", f">{secret}", "~*", "&*", "+@all")
    yield {"socket": str(server.socket), "user": "watched"}
    server.cli("ACL", "DELUSER", "watched")


@contextmanager
def of_mongodb(_request: pytest.FixtureRequest, secret: str, folder: Path) -> Iterator[Given]:
    """Its stand-in, which is given a connection string."""
    shutil.copy(STAND_IN, folder / "mongodump")
    (folder / "behaviour").write_text("well", encoding="ascii")
    (folder / "secret").write_text(f"mongodb://backup:{secret}@db1/", encoding="ascii")
    yield {}


Kind = Callable[[pytest.FixtureRequest, str, Path], object]
KINDS: Mapping[str, tuple[str, Kind, str]] = {
    "postgres": ("postgres", of_postgres, "watched_copy"),
    "container": ("postgres", of_postgres_in_a_container, ""),
    "mariadb": ("mariadb", of_mariadb, "watched_copy"),
    "mariadb-files": ("mariadb", of_mariadb_files, ""),
    "redis": ("redis", of_redis, ""),
    "mongodb": ("mongodb", of_mongodb, ""),
}


@pytest.mark.parametrize("which", KINDS)
async def test_another_user_sees_no_password_on_either_side_and_nothing_keeps_it(
    world: World, sshd: Sshd, which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Whoever may log in to the host, or to this machine, may list its processes; and logs are sent to others for help."""
    kind, make, into = KINDS[which]
    secret = f"only-here-{os.urandom(8).hex()}"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "secret").write_text(secret, encoding="ascii")
    await world.add_host(sshd, environment=(f"PATH={tools}:{os.environ['PATH']}",))
    await world.add_storages("first")
    said: list[str] = []
    with make(request, secret, tools) as given:  # type: ignore[attr-defined]
        name = "uri_from" if kind == "mongodb" else "secret"
        options = {**given, name: f"file:{tools / 'secret'}"}
        await world.engine.add_source(Source("db", kind, "server", options))
        with Onlooker(secret) as onlooker:
            await world.one_backup("db")
            if into:
                await world.engine.restore(RestoreRequest("latest:db", into=into))
            if kind == "redis":
                assert (await world.engine.drill(DrillRequest("db"))).status == "passed"
            said += await _failure(world, kind, options)
        assert onlooker.found == []
    kept = [path for path in (world.directory / "home").rglob("*") if path.is_file()]
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []
    assert [each for each in (*said, *map(repr, world.heard)) if secret in each] == []


async def _failure(world: World, kind: str, options: Mapping[str, OptionValue]) -> list[str]:
    """What a backup says that cannot be: of a user who is not there."""
    if kind == "mongodb":
        return []
    await world.engine.add_source(Source("wrong", kind, "server", {**options, "user": "nobody_at_all"}))
    with pytest.raises(HoldfastError) as caught:
        await world.backup("wrong")
    return [str(caught.value), repr(caught.value), str(caught.value.hint)]
