"""What the tests of kind `postgres` share: databases of their own, and backups read whole."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from engine.errors import HoldfastError
from engine.hosts.base import OpenHost
from engine.model.definitions import OptionValue, Source
from engine.model.manifest import CheckResult, DatabaseFacts, Manifest
from engine.model.secret import Secret
from engine.sources.base import Database, DatabaseSource, FolderStream, Item, Member, PartedItem, Selection
from engine.sources.postgres.source import PostgresSource
from tests.families.sources import drain
from tests.servers.postgres import Postgres

NASTY_NAME = 'it\'s "$(touch ran)"; `touch x`\n&ü=\\ $x$ %s {0} dbname=postgres'
NASTY_TABLE = "O'r \"d\\e*;r?s\n:x $$ 日本"
ROWS = 1000
_SHOP = f"""
create table customers (id serial primary key, name text not null unique);
insert into customers (name) select 'customer ' || i from generate_series(1, {ROWS}) i;
create schema shipping;
create table shipping.orders (id bigint generated always as identity primary key, customer int not null references customers, weight numeric,
  constraint heavy check (weight < 1000));
insert into shipping.orders (customer, weight) select i, i % 7 from generate_series(1, {ROWS}) i;
create index by_customer on shipping.orders (customer);
create table "{{table}}" ("a ""b"" c" int, t text);
insert into "{{table}}" values (1, E'x\\ty\\n\\\\.'), (2, null);
create view heavy_orders as select * from shipping.orders where weight > 5;
create function shipping.total(int) returns bigint language sql as 'select count(*) from shipping.orders where customer = $1';
create function noticed() returns trigger language plpgsql as 'begin return new; end';
create trigger notice before insert on customers for each row execute function noticed();
create table events (at int) partition by range (at);
create table events_1 partition of events for values from (0) to (10);
insert into events select i from generate_series(1, 9) i;
create extension pgcrypto;
create sequence unused;
"""


def new_name(prefix: str = "shop") -> str:
    """A database that nobody else has."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def make_shop(server: Postgres, name: str = "", owner: str = "owner") -> str:
    """A database with one of everything; returns its name."""
    name = name or new_name()
    if server.psql("select count(*) from pg_database where datname = 'shop template'") == "0":
        server.psql('create database "shop template"')
        server.psql(_SHOP.format(table=NASTY_TABLE.replace('"', '""')), "shop template")
        server.psql('alter database "shop template" with is_template true allow_connections false')
    server.psql(f"drop database if exists {quoted(name)}")
    server.psql(f'create database {quoted(name)} template "shop template" owner {quoted(owner)}')
    return name


@dataclass(slots=True)
class Read:
    """A backup that was read whole."""

    data: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)
    """Of items that are folders; the contents of their files are in `data` under the same paths."""
    errors: dict[str, HoldfastError] = field(default_factory=dict)
    """By the path of the item that failed."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        return msgspec.json.decode(self.data["manifest.json"], type=Manifest)

    def facts(self, name: str) -> DatabaseFacts:
        """Of one database."""
        return next(each for each in self.manifest.databases if each.name == name)

    def dump(self, name: str) -> bytes:
        """Of one database."""
        return self.data[self.facts(name).path]


@asynccontextmanager
async def opened_postgres(
    host: OpenHost,
    options: Mapping[str, OptionValue],
    password: str | None = None,
) -> AsyncIterator[DatabaseSource]:
    """A source of kind postgres, open."""
    secrets = {} if password is None else {"secret": Secret(password)}
    async with PostgresSource.open(Source("wares", "postgres", options=options), host, secrets) as source:
        yield source


async def read_backup(source: DatabaseSource) -> Read:
    """All items, one failing leaving the rest, as a backup reads them."""
    read = Read()
    for item in await source.items():
        try:
            if isinstance(item, PartedItem):
                async with item.open_parts() as parts:
                    for each in parts.items:
                        await _read_item(each, read)
                    read.warnings += await parts.judge()
            else:
                await _read_item(item, read)
        except HoldfastError as error:
            read.errors[item.path] = error
    return read


async def _read_item(item: Item, read: Read) -> None:
    async with item.open() as stream:
        if isinstance(stream, FolderStream):
            await _read_folder(stream, item.path, read)
            read.warnings += await stream.judge()
            return
        data = await drain(stream)
        read.warnings += await stream.judge()
        read.data[item.path] = data


async def _read_folder(stream: FolderStream, path: str, read: Read) -> None:
    while (member := await stream.next_member()) is not None:
        assert isinstance(member, Member)
        name = f"{path}/{member.path}" if member.path else path
        read.members[name] = member
        if member.type == "f":
            read.data[name] = await drain(stream)


async def back_up(host: OpenHost, server: Postgres, *names: str) -> Read:
    """These databases as the superuser, without fault."""
    async with opened_postgres(host, server.options(database=names)) as source:
        read = await read_backup(source)
    assert read.errors == {}
    return read


async def load(
    database: Database, name: str, data: bytes, selection: Selection | None = None
) -> Sequence[str]:
    """A dump into a database that is there, in pieces as they come from a repository."""
    async with database.load(name, selection or Selection()) as stream:
        for begin in range(0, len(data), 30_000):
            await stream.write(data[begin : begin + 30_000])
        return await stream.finish()


def failed(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Those that did not pass."""
    return [check for check in checks if not check.passed]
