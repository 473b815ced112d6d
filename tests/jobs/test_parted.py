"""A large database by several dumps at once, through whole jobs: backed up, brought back each way, compared, drilled, by hand too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engine import events
from engine.format.layout import encode_name
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.results import Difference
from tests.families.postgres import quoted
from tests.jobs.world import World
from tests.servers.postgres import Postgres
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

_TABLES = """
create table goods (id serial primary key, name text not null);
insert into goods (name) select repeat(md5(i::text), 4) from generate_series(1, 12000) i;
create table sales (id serial primary key, good int not null references goods, note text);
insert into sales (good, note) select i, repeat('n', 120) from generate_series(1, 12000) i;
create index by_good on sales (good);
create table "a.*?""log" as select i, repeat('l', 120) t from generate_series(1, 12000) i;
create materialized view sold as select count(*) from sales join goods on goods.id = good;
"""
_COUNT = "select (select count(*) from goods), (select sum(good) from sales), (select count from sold), (select max(name) from goods)"


@dataclass(frozen=True, slots=True)
class Shop:
    """A database of the test's own."""

    server: Postgres
    name: str

    def copy(self, what: str) -> str:
        """The name of a copy of it."""
        return f"{self.name[:20]}_{what}"


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[Shop]:
    """Three tables that are worth a part, in a database whose name is hostile; all copies go with it."""
    name = f"parted {os.urandom(3).hex()} \"$(x)'\n/;"
    postgres.psql(f"create database {quoted(name)}")
    postgres.psql(_TABLES, name)
    yield Shop(postgres, name)
    drop = "select format('drop database %I with (force)', datname) from pg_database where datname like "
    postgres.psql(f"{drop}'{name[:13]}%' \\gexec")


async def _add(world: World, server: Postgres, host: str, *names: str) -> None:
    await world.add_storages("first")
    options = server.options(database=names, jobs=3)
    await world.engine.add_source(Source("db", "postgres", host, options))


async def _restore(world: World, **how: object) -> None:
    done = await world.engine.restore(RestoreRequest("latest:db", **how))  # type: ignore[arg-type]
    assert done.status == "completed"


async def _paths(world: World, backup: str = "latest:db") -> list[str]:
    found = [each async for each in world.engine.ls(backup, "/postgres/db", is_recursive=True)]
    return [each.path.removeprefix("/postgres/db/") for each in found if each.type == "file"]


async def test_a_database_in_parts_comes_back_each_way(world: World, sshd: Sshd, shop: Shop) -> None:
    """Through a host that has channels for a session and one dump alone: the parts wait for each other, and never for ever."""
    for host in ("server", "spare"):
        await world.add_host(sshd, host, max_channels=2)
    await _add(world, shop.server, "server", shop.name)
    backup = await world.one_backup("db")
    folder = f"databases/{encode_name(shop.name)}"
    parts = [f"{folder}.data/0001.dump", f"{folder}.data/0002.dump"]
    assert sorted(await _paths(world)) == sorted([*parts, f"{folder}.dump", "globals.sql", "manifest.json"])
    count = shop.server.psql(_COUNT, shop.name)
    change = "update sales set good = 7"
    shop.server.psql(change, shop.name)
    await _restore(world, into=shop.copy("beside"), masks=("public.goods.name=hash",))
    assert shop.server.psql(_COUNT, shop.copy("beside")).split("|")[:3] == count.split("|")[:3]
    assert (
        shop.server.psql(
            "select count(*) from goods where name like '%' || md5(id::text) || '%'", shop.copy("beside")
        )
        == "0"
    )
    await _restore(world, into=shop.copy("table"), tables=("public.sales",))
    assert shop.server.psql("select count(*), sum(good) from sales", shop.copy("table")) == "12000|72006000"
    await _restore(world, is_in_place=True)
    assert shop.server.psql(_COUNT, shop.name) == count
    shop.server.psql(change, shop.name)
    for level, host in (("parse", ""), ("server", "spare")):
        drilled = await world.engine.drill(DrillRequest("db", level=level, host=host))
        assert (drilled.status, drilled.level) == ("passed", level), drilled
    await _compared(world, shop, backup.backup_id)


async def _compared(world: World, shop: Shop, before: str) -> None:
    """What differs is told by table, however the tables were dealt out; what is live, too."""
    await world.engine.edit_source("db", {"jobs": 1})
    after = await world.one_backup("db")
    assert not [path for path in await _paths(world) if ".data/" in path]
    told: list[Difference] = []
    await world.engine.diff(before, after.backup_id, told.append)
    objects = {each.path.rpartition("/")[2] for each in told if each.what and "/tables/" in each.path}
    assert objects == {"public.sales"}
    live: list[Difference] = []
    compared = await world.engine.diff_live(before, live.append)
    assert "3 tables" in " ".join(compared.compared)
    assert {each.path.rpartition("/")[2] for each in live} == {"public.sales"}


async def test_a_part_whose_backend_is_killed_leaves_nothing_of_its_database(
    world: World, shop: Shop
) -> None:
    """What is left of half a dump must not look like one; the other database of the backup is whole."""
    other = shop.copy("other")
    shop.server.psql(f"create database {quoted(other)}")
    shop.server.psql(
        "insert into sales (good, note) select i % 100 + 1, repeat('n', 400) from generate_series(1, 40000) i",
        shop.name,
    )
    await _add(world, shop.server, LOCAL_HOST, shop.name, other)
    async with asyncio.TaskGroup() as group:
        backing_up = group.create_task(world.backup("db"))
        while not any(isinstance(each, events.Progress) and ".dump" in each.current for each in world.heard):
            world.more.clear()
            await world.more.wait()
        kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'COPY public.sales%'"
        # Nothing is read while this waits for psql, and a pipe takes but a little of the table.
        while shop.server.psql(kill) == "0":  # noqa: ASYNC110
            await asyncio.sleep(0)
    done = backing_up.result()
    assert done.status == "incomplete"
    (named,) = [each for each in done.backups[0].warnings if "is not in the backup" in each]
    assert "could not be dumped" in named
    assert await _paths(world) == [f"databases/{encode_name(other)}.dump", "globals.sql", "manifest.json"]
    left = f"select count(*) from pg_stat_activity where datname = {_literal(shop.name)} and application_name like 'holdfast%'"
    async with asyncio.timeout(60):
        while shop.server.psql(left) != "0":  # noqa: ASYNC110 -- the server tells nobody when a session ends
            await asyncio.sleep(0.05)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
