"""The recovery kit, stock restic, the databases' own tools and the storage: nothing else is needed, and what the kit says is done word for word."""

from __future__ import annotations

import datetime
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from engine.jobs.kit_databases import FOLDER, INSTANT, STOP
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.requests import ShipRequest
from tests.families.postgres import new_name
from tests.jobs.world import World, open_world
from tests.servers.mariadb import MariadbServer, started_mariadb
from tests.servers.postgres import Postgres, running_postgres, started_postgres
from tests.servers.restic import PASSWORD, ResticProgram
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

_ROWS = """
create table goods (id int primary key, name text not null);
insert into goods select i, 'good ' || i from generate_series(1, 500) i;
create table sales (id int primary key, good int not null references goods);
insert into sales select i, i from generate_series(1, 500) i;
create view sold as select count(*) n from sales join goods on goods.id = good;
"""


def commands(kit: str) -> Sequence[str]:
    """What the kit has a person type, up to where holdfast itself comes back."""
    text = kit.partition("To bring holdfast's own catalog back")[0]
    return re.findall(r"^  (.+)$", text, re.MULTILINE)


def typed(
    kit: str, folder: Path, environment: dict[str, str], first: str, last: str = "", skipped: int = 0
) -> str:
    """Types the kit's lines from the one that begins with `first` on, but for so many such, in a new shell without anything of ours."""
    lines = list(commands(kit))
    begin = [number for number, line in enumerate(lines) if line.startswith(first)][skipped]
    end = next(
        (n for n, line in enumerate(lines) if n > begin and last and line.startswith(last)), len(lines)
    )
    script = "set -e\n" + "\n".join(lines[begin:end]).replace(FOLDER, str(folder))
    ran = subprocess.run(
        ["sh", "-c", script],
        env={**environment, "RESTIC_PASSWORD": PASSWORD},  # which it would ask a person for
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, (script, ran.stderr)
    return ran.stdout


async def backed_up(world: World, name: str, kind: str, options: dict[str, OptionValue]) -> str:
    """Backs one source up, and gives the kit of its storage."""
    await world.engine.add_source(Source(name, kind, LOCAL_HOST, options))
    await world.one_backup(name)
    return await world.engine.recovery_kit("near")


@pytest.fixture(scope="module")
def foreign_postgres() -> Iterator[Postgres]:
    """A server of this file's own: what the kit brings changes the roles of all its databases."""
    with running_postgres() as server:
        yield server


@pytest.mark.parametrize("jobs", [1, 2], ids=["in one dump", "in parts"])
async def test_postgresql_comes_back_by_the_kit_alone(
    postgres: Postgres, foreign_postgres: Postgres, restic_newest: ResticProgram, tmp_path: Path, jobs: int
) -> None:
    """On another server, which never heard of us."""
    name = new_name()
    postgres.psql(f"create database {name}")
    postgres.psql(_ROWS, name)
    options: dict[str, OptionValue] = {
        "database": (name,), "user": "postgres", "socket": str(postgres.directory), "port": postgres.port, "jobs": jobs,
    }  # fmt: skip
    async with open_world(tmp_path / "world", copies_catalog=True) as world:
        await world.add_storages("near")
        kit = await backed_up(world, "shop", "postgres", options)
    folder = tmp_path / "empty"
    path = f"{foreign_postgres.binaries}:{restic_newest.path.parent}:/usr/bin:/bin"
    environment = {
        "PATH": path, "HOME": str(tmp_path), "PGHOST": str(foreign_postgres.directory),
        "PGPORT": str(foreign_postgres.port), "PGUSER": "postgres",
    }  # fmt: skip
    listed = typed(kit, folder, environment, "restic", "cd ")
    assert "no errors were found" in listed
    typed(kit, folder, environment, "cd ")
    assert foreign_postgres.psql("select n from sold", name).strip() == "500"


async def test_postgresql_comes_back_to_an_instant_by_the_kit_alone(
    restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """Or to the last byte that was streamed, of a segment that the server was still writing: base and log by stock restic, and a server of that version."""
    with running_postgres() as server:
        async with open_world(tmp_path / "world", copies_catalog=True) as world:
            await world.add_storages("near")
            server.psql("create table stamps (i int)")
            options: dict[str, OptionValue] = {**server.options(physical=True, log_slot="holdfast")}
            await backed_up(world, "shop", "postgres", options)
            server.psql("insert into stamps values (1)")
            at = server.psql("select clock_timestamp()")
            server.psql("insert into stamps select generate_series(2, 100)")
            await world.engine.ship(ShipRequest(("shop",)))
            kit = await world.engine.recovery_kit("near")
        path = f"{restic_newest.path.parent}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(tmp_path)}
        for asked, rows in ((kit.replace(INSTANT, at.strip()), "1"), (_whole(kit, INSTANT), "100")):
            with tempfile.TemporaryDirectory(prefix="hf-kit-", dir="/tmp") as folder:
                typed(asked, Path(folder), environment, "restic", "cd ")
                assert list(Path(folder).rglob("*.partial"))
                typed(asked, Path(folder), environment, "cd ")
                with started_postgres(Path(folder) / "postgres" / "shop") as again:
                    while again.psql("select pg_is_in_recovery()").strip() == "t":
                        pass
                    assert again.psql("select count(*) from stamps").strip() == rows
                    again.psql("insert into stamps values (2)")


def _whole(kit: str, instant: str) -> str:
    """Without the line that says up to where."""
    return "".join(line for line in kit.splitlines(keepends=True) if instant not in line)


async def test_mariadb_comes_back_to_an_instant_by_the_kit_alone(
    start_mariadb: Callable[..., MariadbServer], restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """Through a full copy and an increment; or to the last event of the last log that was shipped."""
    require_tool("mariadb-backup")
    server = start_mariadb(
        "--log-bin=log", "--server-id=9", "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"
    )
    server.sql("create database shop; create table shop.t (i int primary key)")
    options: dict[str, OptionValue] = {
        "socket": str(server.socket), "user": "root", "physical": True, "log_binlog": True,
    }  # fmt: skip
    async with open_world(tmp_path / "world", copies_catalog=True) as world:
        await world.add_storages("near")
        await backed_up(world, "shop", "mariadb", options)
        server.sql("insert into shop.t values (9)")
        assert (await world.one_backup("shop")).kind == "incremental"
        for number in range(1, 4):
            server.sql(f"set timestamp = {2_000_000_000 + number}; insert into shop.t values ({number})")
            await world.engine.ship(ShipRequest(("shop",)))
        kit = await world.engine.recovery_kit("near")
    path = f"{restic_newest.path.parent}:/usr/bin:/bin"
    with tempfile.TemporaryDirectory(prefix="hf-kit-", dir="/tmp") as folder:
        place = Path(folder) / "mariadb" / "shop"
        client = f"[client]\nuser=root\nsocket={place}/socket\n"
        (tmp_path / ".my.cnf").write_text(client, encoding="ascii")
        environment = {"PATH": path, "HOME": str(tmp_path)}
        whole = _whole(kit, STOP)
        typed(whole, Path(folder), environment, "restic", "cd ")
        typed(whole, Path(folder), environment, "cd ", "cd ")
        for each in (Path(folder), place.parent):
            each.chmod(0o755)
        with started_mariadb(place) as again:
            typed(whole, Path(folder), environment, "cd ", skipped=1)
            assert again.sql("select count(*) from shop.t") == [["4"]]
        (tmp_path / "mariadb").write_text("#!/bin/sh\nexec cat\n", encoding="ascii")
        (tmp_path / "mariadb").chmod(0o755)
        until = f"{datetime.datetime.fromtimestamp(2_000_000_003, datetime.UTC):%Y-%m-%d %H:%M:%S}"
        for asked, commits in ((whole, 3), (kit.replace(STOP, until), 2)):
            told = typed(asked, Path(folder), {**environment, "PATH": f"{tmp_path}:{path}"}, "cd ", skipped=1)
            assert told.count("COMMIT/*!*/") == commits


async def test_mariadb_comes_back_by_the_kit_alone(
    mariadb: MariadbServer,
    start_mariadb: Callable[..., MariadbServer],
    restic_newest: ResticProgram,
    tmp_path: Path,
) -> None:
    """The same for the other one."""
    other_mariadb = start_mariadb()
    name = new_name()
    mariadb.sql(
        f"create database {name}; create table {name}.t (i int primary key); insert into {name}.t values (1),(2),(3)"
    )
    options: dict[str, OptionValue] = {"database": (name,), "user": "root", "socket": str(mariadb.socket)}
    async with open_world(tmp_path / "world", copies_catalog=True) as world:
        await world.add_storages("near")
        kit = await backed_up(world, "shop", "mariadb", options)
    folder = tmp_path / "empty"
    (tmp_path / ".my.cnf").write_text(
        f"[client]\nuser=root\nsocket={other_mariadb.socket}\n", encoding="ascii"
    )
    environment = {"PATH": f"{restic_newest.path.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    typed(kit, folder, environment, "restic", "cd ")
    typed(kit, folder, environment, "cd ")
    assert other_mariadb.sql(f"select count(*) from {name}.t") == [["3"]]
