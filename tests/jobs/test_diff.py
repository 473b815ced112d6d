"""Backups of databases compared with each other and with the live server, table by table."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.events import Progress
from engine.model.backup import Scope
from engine.model.definitions import Host, Source
from engine.model.requests import BackupRequest
from engine.model.results import Compared, Difference
from tests.families.mariadb import make_shop as make_mariadb_shop
from tests.families.postgres import make_shop
from tests.jobs.world import World
from tests.servers.mariadb import KEEPER, PASSWORD, MariadbServer
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parents[1] / "fakes" / "mongodump"

Told = set[tuple[str, str, str]]
"""Path below the database, change, what."""

BEFORE = """
create table alike (id int, text text);
insert into alike select i, md5(i::text) from generate_series(1, 30000) i;
create table moved (id int primary key, text text);
insert into moved select i, null from generate_series(1, 100) i;
create table touched (id int primary key, "a ""b"", c" text);
insert into touched select i, E'x\\t\\\\.\\n' || i from generate_series(1, 100) i;
create table grown (id serial primary key);
insert into grown default values;
create table gone (id int);
create table altered (id int);
insert into altered values (1);
create view seen as select id from alike;
create table typed (a timestamptz, b interval, c float8, d bytea, e numeric, dropped int, f text[], g jsonb, h double precision[],
  i timetz, j int generated always as (1) stored, k regclass);
alter table typed drop column dropped;
insert into typed values (now(), '1 mon -2 days', 0.1 + 0.2, '\\x00ff', 1.50, array['a,b', null, '"'], '{"a": [1]}', '{1e-300}', '10:00+02',
  default, 'alike');
insert into typed default values;
create table twice (id int);
insert into twice values (1), (1), (2);
select lo_from_bytea(4711, '\\x00ff');
"""
AFTER = """
update moved set text = null where id < 10;
delete from twice;
insert into twice values (1), (2), (2);
update touched set "a ""b"", c" = '' where id = 7;
insert into grown default values;
drop table gone;
create table "new/one" (id int);
alter table altered add unique (id), add column more int;
create or replace view seen as select id from alike where id > 1;
"""
CONTENT: Told = {
    ("tables/public.touched", "modified", "content"),
    ("tables/public.twice", "modified", "content"),
    ("tables/public.grown", "modified", "content"),
    ("sequences/public.grown_id_seq", "modified", "content"),
}
OBJECTS: Told = {
    ("tables/public.gone", "removed", "schema"),
    ("tables/public.new%2Fone", "added", "schema"),
    ("indexes/public.altered_id_key", "added", "schema"),
    ("constraints/public.altered.altered_id_key", "added", "schema"),
}
COLUMNS: Told = {("tables/public.altered", "modified", "schema")}
DEFINITIONS: Told = {
    ("tables/public.altered", "modified", "content"),
    ("views/public.seen", "modified", "schema"),
    *COLUMNS,
}


async def _diff(
    world: World, before: str, after: str = "", *, is_checksum: bool = False
) -> tuple[list[Difference], Compared]:
    told: list[Difference] = []
    if after:
        return told, await world.engine.diff(before, after, told.append)
    return told, await world.engine.diff_live(before, told.append, is_checksum=is_checksum)


def _below(told: list[Difference], name: str) -> Told:
    begin = f"databases/{name}/"
    return {
        (each.path.removeprefix(begin), each.change, each.what)
        for each in told
        if each.path.startswith(begin)
    }


async def test_what_changed_in_a_postgres_database_is_told_per_table(
    world: World, postgres: Postgres
) -> None:
    """The first question after a bad night; and rows that only moved are no change."""
    name = make_shop(postgres)
    postgres.psql(BEFORE, name)
    await world.add_storages("first")
    await world.engine.add_source(Source("db", "postgres", options=postgres.options(database=(name,))))
    before = await world.one_backup("db")
    told, compared = await _diff(world, before.backup_id)
    assert told == [], compared
    assert any(f"databases/{name}: all other rows" in each for each in compared.not_compared)
    postgres.psql(AFTER, name)
    after = await world.one_backup("db")
    told, compared = await _diff(world, before.backup_id, after.backup_id)
    assert _below(told, name) == CONTENT | OBJECTS | DEFINITIONS
    assert f"/postgres/db/databases/{name}.dump" in {each.path for each in told}
    rows = {
        each.path.rpartition(".")[2]: (each.rows_before, each.rows_after)
        for each in told
        if each.what == "content"
    }
    assert (rows["grown"], rows["touched"]) == ((1, 2), (100, 100))
    assert compared.compared == (f"databases/{name}: definitions, and all rows of 12 tables",)
    told, compared = await _diff(world, before.backup_id)
    assert _below(told, name) == CONTENT | OBJECTS | COLUMNS
    assert any("rows of large objects" in each for each in compared.not_compared)
    assert [each.detail for each in told if each.path.endswith(".touched")] == [
        "1 of 100 rows that were looked at are not in the backup"
    ]
    told, _compared = await _diff(world, before.backup_id, is_checksum=True)
    assert _below(told, name) == CONTENT | OBJECTS | DEFINITIONS
    postgres.psql(f"drop database {name}")
    told, _compared = await _diff(world, before.backup_id)
    assert (f"databases/{name}", "removed") in {(each.path, each.change) for each in told}


SHOP = """
CREATE TABLE alike (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT);
INSERT INTO alike (text) SELECT MD5(seq) FROM seq_1_to_3000;
CREATE TABLE moved (id INT, text TEXT);
INSERT INTO moved VALUES (1, NULL), (2, 'two'), (3, 'three');
CREATE TABLE touched (id INT PRIMARY KEY, text TEXT, data BLOB);
INSERT INTO touched SELECT seq, CONCAT('a\n(b),(''', seq), 0x00ff27 FROM seq_1_to_100;
CREATE TABLE grown (id INT PRIMARY KEY AUTO_INCREMENT);
INSERT INTO grown VALUES ();
CREATE TABLE gone (id INT);
CREATE TABLE altered (id INT);
CREATE VIEW seen AS SELECT id FROM alike;
"""
CHANGED = """
DELETE FROM moved;
INSERT INTO moved VALUES (3, 'three'), (1, NULL), (2, 'two');
INSERT INTO alike (text) VALUES ('x');
DELETE FROM alike WHERE text = 'x';
UPDATE touched SET text = '' WHERE id = 7;
INSERT INTO grown VALUES ();
DROP TABLE gone;
CREATE TABLE fresh (id INT);
ALTER TABLE altered ADD UNIQUE (id);
ALTER VIEW seen AS SELECT id FROM alike WHERE id > 1;
"""
MARIADB_CONTENT: Told = {
    ("tables/touched", "modified", "content"),
    ("tables/grown", "modified", "content"),
}
MARIADB_OBJECTS: Told = {
    ("tables/gone", "removed", "schema"),
    ("tables/fresh", "added", "schema"),
    ("indexes/altered.id", "added", "schema"),
    ("constraints/altered.id", "added", "schema"),
}
MARIADB_DEFINITIONS: Told = {("views/seen", "modified", "schema"), ("tables/altered", "modified", "schema")}


async def test_what_changed_in_a_mariadb_database_is_told_per_table(
    world: World, mariadb: MariadbServer
) -> None:
    """Its dumps are text, with the number of the next row in the definition of each table."""
    name = make_mariadb_shop(mariadb)
    mariadb.sql(SHOP, name)
    secret = world.directory / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    options = {"socket": str(mariadb.socket), "user": KEEPER, "database": (name,), "secret": f"file:{secret}"}
    await world.add_storages("first")
    await world.engine.add_source(Source("db", "mariadb", options=options))
    before = await world.one_backup("db")
    told, _compared = await _diff(world, before.backup_id)
    assert told == []
    mariadb.sql(CHANGED, name)
    after = await world.one_backup("db")
    told, _compared = await _diff(world, before.backup_id, after.backup_id)
    assert _below(told, name) == MARIADB_CONTENT | MARIADB_OBJECTS | MARIADB_DEFINITIONS
    told, compared = await _diff(world, before.backup_id)
    assert _below(told, name) == MARIADB_CONTENT | MARIADB_OBJECTS
    assert any("--checksum reads everything" in each for each in compared.not_compared)
    told, _compared = await _diff(world, before.backup_id, is_checksum=True)
    assert _below(told, name) == MARIADB_CONTENT | MARIADB_OBJECTS | MARIADB_DEFINITIONS


async def test_a_sqlite_database_is_compared_row_by_row(world: World) -> None:
    """What makes two files differ byte by byte need be no difference to its owner; 1 and 1.0 are one to him."""
    path = world.directory / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (a, b)")
        database.execute('CREATE TABLE "it\'s ""alike""" (a TEXT)')
        database.executemany("INSERT INTO wares VALUES (?, ?)", [(each, -1) for each in range(100)])
        database.execute('INSERT INTO "it\'s ""alike""" VALUES (?)', (b"\xff",))
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    before = await world.one_backup("shop")
    assert (await _diff(world, before.backup_id))[0] == []
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE wares SET b = -2 WHERE a = 7")
        database.execute("CREATE INDEX by_b ON wares (b)")
        database.execute("PRAGMA user_version = 7")
    told: Told = {
        ("tables/wares", "modified", "content"),
        ("indexes/by_b", "added", "schema"),
        ("settings/user_version", "modified", "schema"),
    }
    assert _below((await _diff(world, before.backup_id))[0], "shop.db") == told
    after = await world.one_backup("shop")
    assert _below((await _diff(world, before.backup_id, after.backup_id))[0], "shop.db") == told
    assert list((world.directory / "home" / "cache").glob("holdfast-diff-*")) == []


KEYS = (
    "SET text value EX 100000", "SET number 42", "SET negative -7", f"SET long {'x' * 5000}", "RPUSH list a b c", "SADD ints 1 2 3",
    "SADD words a b c", "HSET hash a 1 b 2", "ZADD sorted 1 a 2.5 b", "XADD stream * a 1", "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group reader STREAMS stream >", "PFADD guess a b",
)  # fmt: skip
"""One of each type, short."""
LONG_KEYS = """
for i = 1, 600 do
  redis.call('RPUSH', 'long list', string.rep('v', 90) .. i); redis.call('SADD', 'long set', 'm' .. i)
  redis.call('HSET', 'long hash', 'f' .. i, i); redis.call('ZADD', 'long sorted', i / 3, 'm' .. i); redis.call('XADD', 'long stream', '*', 'f', i)
end"""


async def test_of_redis_keys_of_all_types_are_compared_one_by_one(world: World, redis: Redis) -> None:
    """No two dumps are the same bytes, and keys lie in no order; a live server is not asked for a dump unless that is wanted."""
    redis.cli("FLUSHALL")
    for words in KEYS:
        redis.cli(*words.split(" "))
    redis.cli("EVAL", LONG_KEYS, "0")
    redis.cli("SET", "elsewhere", "1", database=3)
    secret = world.directory / "secret"
    secret.write_text(redis.password, encoding="utf-8")
    await world.add_storages("first")
    options = {"socket": str(redis.socket), "secret": f"file:{secret}"}
    await world.engine.add_source(Source("cache", "redis", options=options))
    before = await world.one_backup("cache")
    alike = await world.one_backup("cache")
    told, compared = await _diff(world, before.backup_id, alike.backup_id)
    assert (_below(told, "dump"), compared.not_compared) == (set(), ())
    redis.cli("ZADD", "long sorted", "7", "m1")
    changed: Told = {("tables/db0", "modified", "content")}
    told, compared = await _diff(world, before.backup_id)
    assert _below(told, "dump") == set()
    assert any("databases/dump: content" in each for each in compared.not_compared)
    told, compared = await _diff(world, before.backup_id, is_checksum=True)
    assert (_below(told, "dump"), compared.not_compared) == (changed, ())
    redis.cli("SET", "one more", "value")
    told, compared = await _diff(world, before.backup_id)
    assert [each.rows_after - each.rows_before for each in told if each.rows_before and each.rows_after] == [
        1
    ]


async def test_a_comparison_that_is_cancelled_leaves_nothing_behind(
    world: World,
) -> None:
    """No lock that keeps a prune waiting, and no copy of somebody's data in the cache."""
    path = world.directory / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (a)")
        database.executemany("INSERT INTO wares VALUES (?)", [(os.urandom(500),) for _ in range(8000)])
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    before = await world.one_backup("shop")
    world.heard.clear()
    async with asyncio.TaskGroup() as group:
        comparing = group.create_task(world.engine.diff_live(before.backup_id, lambda _each: None))
        while not any(isinstance(each, Progress) and each.done_bytes for each in world.heard):
            world.more.clear()
            await world.more.wait()
        comparing.cancel()
    assert comparing.cancelled()
    assert list((world.directory / "home" / "cache").glob("holdfast-diff-*")) == []
    assert list((world.place("first") / "locks").iterdir()) == []


async def test_a_part_is_compared_as_far_as_it_goes(world: World, mariadb: MariadbServer) -> None:
    """A backup of the schema alone has no rows, and that is no loss of them."""
    name = make_mariadb_shop(mariadb)
    secret = world.directory / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    options = {"socket": str(mariadb.socket), "user": KEEPER, "database": (name,), "secret": f"file:{secret}"}
    await world.add_storages("first")
    await world.engine.add_source(Source("db", "mariadb", options=options))
    whole = await world.one_backup("db")
    parts = {}
    for scope in (Scope.SCHEMA, Scope.CONTENT, Scope.ROLES):
        done = await world.engine.backup(BackupRequest(("db",), scope=scope))
        parts[scope] = done.backups[0].backup_id
        told, compared = await _diff(world, whole.backup_id, parts[scope])
        assert _below(told, name) == set(), scope
        assert compared.not_compared
    mariadb.sql("DROP VIEW a_first; CREATE VIEW a_first AS SELECT 1 AS one; DELETE FROM log", name)
    view: Told = {("views/a_first", "modified", "schema")}
    mariadb.sql("INSERT INTO empty_one VALUES (1)", name)
    rows: Told = {("tables/empty_one", "modified", "content")}
    for scope, expected in ((Scope.SCHEMA, view), (Scope.CONTENT, rows)):
        told, _compared = await _diff(world, parts[scope], is_checksum=True)
        assert _below(told, name) == expected, scope
    await world.engine.edit_source("db", {"table": ("parents", "children")})
    chosen = await world.one_backup("db")
    told, compared = await _diff(world, chosen.backup_id)
    assert told == []
    assert any("the source takes chosen tables alone" in each for each in compared.not_compared)


async def test_of_mongodb_the_databases_of_an_archive_are_told_apart(world: World) -> None:
    """By its stand-in: one archive holds all of them."""
    tools = world.directory / "tools"
    tools.mkdir()
    shutil.copy(STAND_IN, tools / "mongodump")
    (tools / "behaviour").write_text("well", encoding="ascii")
    (tools / "secret").write_text("mongodb://db1/", encoding="ascii")
    await world.engine.add_host(
        Host("db", "local", "", {"environment": (f"PATH={tools}:{os.environ['PATH']}",)})
    )
    await world.add_storages("first")
    await world.engine.add_source(Source("m", "mongodb", "db", {"uri_from": f"file:{tools}/secret"}))
    before = await world.one_backup("m")
    (tools / "mongodump").write_text(STAND_IN.read_text().replace('"x" * 100_000', '"y" * 100_000'))
    after = await world.one_backup("m")
    told, compared = await _diff(world, before.backup_id, after.backup_id)
    changed: Told = {("tables/a to b", "modified", "content"), ("tables/orders", "modified", "content")}
    assert _below(told, "shop") == changed
    assert _below(told, "people") == {("tables/names", "modified", "content")}
    assert compared.not_compared == ()
