"""What goes to a staging environment is masked before anybody there can look at it, on real servers."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import errors
from engine.model import masking
from engine.model.definitions import OptionValue, Source
from engine.model.requests import RestoreRequest, RollbackRequest
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import Postgres
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

TABLES = (
    "create table people (email varchar(40) primary key, name varchar(60), phone varchar(20), number int);"
    "create table orders (id int primary key, email varchar(40) references people (email), code int);"
    "insert into people values ('ada@example.org', 'Ada', '1', 5), ('bob@example.org', null, '2', null);"
    "insert into orders values (1, 'ada@example.org', 5), (2, null, 6);"
)
RULES = (
    "people.email=hash", "orders.email=hash", "people.name=replace:it's", "people.phone=null", "people.number=hash", "orders.code=hash",
)  # fmt: skip
JOINED = "select count(*) from people p join orders o on o.email = p.email and o.code = p.number"
PEOPLE = "select email, name, phone, number from people order by name, email"

Ask = Callable[[str, str], list[list[str]]]


@dataclass(frozen=True, slots=True)
class Shop:
    """A database that was backed up, and how it and its copies are asked."""

    name: str
    copy: str
    ask: Ask
    """Database and statement; rows of texts, NULL as the empty one."""


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
async def shop(world: World, sshd: Sshd, request: pytest.FixtureRequest) -> Shop:
    """The source `db` on the host `staging`, with rules, backed up."""
    made, options = _made(world, request)
    await world.add_storages("first")
    await world.add_host(sshd, "staging", stage="staging")
    await world.engine.add_source(Source("db", request.param, "staging", {**options, "mask": RULES}))
    await world.one_backup("db")
    return made


def _made(world: World, request: pytest.FixtureRequest) -> tuple[Shop, dict[str, OptionValue]]:
    word = f"mask_{world.directory.stat().st_ino}"
    if request.param == "postgres":
        return _in_postgres(request.getfixturevalue("postgres"), word, request)
    if request.param == "mariadb":
        return _in_mariadb(request.getfixturevalue("mariadb"), word, request)
    return _in_a_file(world.directory / "shop.db")


def _in_postgres(
    server: Postgres, word: str, request: pytest.FixtureRequest
) -> tuple[Shop, dict[str, OptionValue]]:
    def ask(database: str, statement: str) -> list[list[str]]:
        return [line.split("|") for line in server.psql(statement, database=database).split("\n")]

    def clear() -> None:
        for name in server.psql(f"select datname from pg_database where datname like '{word}%'").split():
            server.psql(f"drop database {name} with (force)")

    request.addfinalizer(clear)
    server.psql(f"create database {word}")
    server.psql(TABLES, database=word)
    return Shop(word, f"{word}_copy", ask), dict(server.options(database=(word,)))


def _in_mariadb(
    server: MariadbServer, word: str, request: pytest.FixtureRequest
) -> tuple[Shop, dict[str, OptionValue]]:
    def ask(database: str, statement: str) -> list[list[str]]:
        return [[each.replace("NULL", "") for each in row] for row in server.sql(statement, database)]

    def clear() -> None:
        for (name,) in server.sql(f"show databases like '{word}%'"):
            server.sql(f"drop database `{name}`")

    request.addfinalizer(clear)
    server.sql(f"create database {word}")
    server.sql(TABLES, word)
    options: dict[str, OptionValue] = {"socket": str(server.socket), "user": "root", "database": (word,)}
    return Shop(word, f"{word}_copy", ask), options


def _in_a_file(path: Path) -> tuple[Shop, dict[str, OptionValue]]:
    def ask(database: str, statement: str) -> list[list[str]]:
        with closing(sqlite3.connect(path.with_name(database))) as opened:
            return [["" if each is None else str(each) for each in row] for row in opened.execute(statement)]

    with closing(sqlite3.connect(path)) as database:
        database.executescript(TABLES)
    return Shop("shop.db", "copy.db", ask), {"path": str(path)}


def _require_masked(shop: Shop, database: str) -> None:
    rows = shop.ask(database, PEOPLE)
    assert [row[1:3] for row in rows] == [["it's", ""], ["it's", ""]]
    assert all(re.fullmatch(r"[0-9a-f]{40,64}", row[0]) for row in rows)
    assert len({row[0] for row in rows}) == 2
    assert sorted(bool(row[3]) for row in rows) == [False, True]
    assert not {row[3] for row in rows} & {"5"}
    assert shop.ask(database, JOINED) == [["1"]]


async def test_a_restore_to_staging_always_masks_and_joins_still_fit(world: World, shop: Shop) -> None:
    """Nobody has to remember it, and the live data is not touched."""
    await world.engine.restore(RestoreRequest("latest:db", into=shop.copy))
    _require_masked(shop, shop.copy)
    assert shop.ask(shop.name, "select count(*) from people where name = 'Ada'") == [["1"]]


@pytest.mark.parametrize("shop", ["mariadb", "sqlite"], indirect=True)
async def test_the_key_of_the_hashes_stays_in_no_file_of_the_server(
    world: World, shop: Shop, request: pytest.FixtureRequest
) -> None:
    """Whoever has it can try names out until a hash fits. MariaDB writes statements into its binary log, and their text beside the rows."""
    await world.engine.restore(RestoreRequest("latest:db", into=shop.copy))
    key = (await world.engine._parts.vault.own("masking")).reveal()
    folder = world.directory
    if shop.copy != "copy.db":
        folder = request.getfixturevalue("mariadb").directory
    words = [word for pad in (key.hex(), *masking.pads(key)) for word in (bytes.fromhex(pad), pad.encode())]
    files = [path for path in folder.rglob("*") if path.is_file() and "home" not in path.parts]
    assert files
    for path in files:
        content = path.read_bytes().lower()
        assert not [word for word in words if word.lower() in content], path


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
async def test_a_restore_in_place_on_staging_masks_before_it_swaps(world: World, shop: Shop) -> None:
    """The same value is the same hash each time. It can be rolled back; the hooks of the restore are in its result."""
    await world.engine.restore(RestoreRequest("latest:db", into=shop.copy))
    done = await world.engine.restore(
        RestoreRequest(
            "latest:db",
            is_in_place=True,
            before_hook="echo stop",
            after_hook="echo $HOLDFAST_OUTCOME; exit 4",
        )
    )
    assert [(each.when, each.status, each.output) for each in done.hooks] == [
        ("before", 0, "stop"),
        ("after", 4, "completed"),
    ]
    assert done.status == "incomplete"
    (database,) = done.databases
    masked = {each.removeprefix("public.") for each in database.masked}
    assert masked == {each.partition("=")[0] for each in RULES}
    _require_masked(shop, shop.name)
    assert shop.ask(shop.name, PEOPLE) == shop.ask(shop.copy, PEOPLE)
    await world.engine.rollback(RollbackRequest(done.job_id))
    assert shop.ask(shop.name, "select count(*) from people where name = 'Ada'") == [["1"]]


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
async def test_a_rule_that_does_not_fit_leaves_no_database_at_all(world: World, shop: Shop) -> None:
    """Unmasked data must not be there under any name, nor as a file."""
    for rule, said in (("people.mail=hash", "no column mail"), ("persons.name=hash", "no table persons")):
        with pytest.raises(errors.UnknownNameError, match=said):
            await world.engine.restore(RestoreRequest("latest:db", into=shop.copy, masks=(rule,)))
    with pytest.raises(errors.RefusedError, match="has columns to be masked"):
        await world.engine.restore(
            RestoreRequest("latest:db", to=str(world.directory / "never"), host="staging")
        )
    await world.engine.edit_host("staging", "", {"stage": None})
    with pytest.raises(errors.RefusedError, match="would replace real data"):
        await world.engine.restore(RestoreRequest("latest:db", is_in_place=True, masks=RULES))
    await world.engine.restore(RestoreRequest("latest:db", into=shop.copy))
    assert shop.ask(shop.copy, "select count(*) from people where name = 'Ada'") == [["1"]]
