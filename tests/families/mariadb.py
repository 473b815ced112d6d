"""What the tests of MariaDB share: a database with a little of everything, sources on a server, and all that a source gives."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from engine.errors import HoldfastError
from engine.hosts.base import OpenHost
from engine.model.definitions import OptionValue, Source
from engine.model.manifest import DatabaseFacts, Manifest, compare
from engine.model.secret import Secret
from engine.sources.base import Database, DatabaseSource, FolderStream, ItemStream, Member, Renamed, Selection
from engine.sources.mariadb.connection import hides_events
from engine.sources.registry import open_source
from tests.families.sources import drain
from tests.servers.mariadb import KEEPER, PASSWORD, MariadbServer

NASTY = "a`b \"c' $(touch ran); `touch ran`\n-- &ü %"
"""A name of a database; one that ends in a space MariaDB does not take."""

SHOP = r"""
CREATE TABLE parents (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), picture BLOB, born DATETIME, KEY by_name (name));
CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT has_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE,
  CONSTRAINT positive CHECK (id > 0));
CREATE TABLE parts (id INT) PARTITION BY RANGE (id)
(PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE log (what TEXT);
CREATE TABLE empty_one (id INT);
INSERT INTO parents (name, picture, born) VALUES ('a\n(b),(', 0x00ff27, NOW()), ('it''s', NULL, NULL), ('\\', '', '2026-01-01'), ('ü', 'x', NULL);
INSERT INTO children VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO parts VALUES (1), (11), (12);
CREATE VIEW a_later AS SELECT id FROM parents;
CREATE VIEW families AS SELECT p.id, c.id AS child FROM parents p JOIN children c ON c.parent = p.id;
CREATE VIEW a_first AS SELECT * FROM families;
CREATE SEQUENCE numbers START WITH 5;
SELECT NEXTVAL(numbers);
DELIMITER ;;
CREATE TRIGGER shout BEFORE INSERT ON parents FOR EACH ROW BEGIN SET NEW.name = UPPER(NEW.name);
SET @said = '
USE mysql;
-- Table structure for table `nothing`
';
END;;
CREATE TRIGGER tell AFTER INSERT ON parents FOR EACH ROW INSERT INTO log VALUES (NEW.name);;
CREATE PROCEDURE show_all(IN most INT) BEGIN SELECT * FROM parents LIMIT most;
END;;
CREATE FUNCTION four() RETURNS INT DETERMINISTIC RETURN 4;;
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO BEGIN DELETE FROM log; END;;
CREATE EVENT asleep ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM log;;
DELIMITER ;
"""


def fresh_name(prefix: str = "shop") -> str:
    """A database that nobody else on the server has."""
    return f"{prefix}_{uuid.uuid4().hex[:10]}"


def quoted(name: str) -> str:
    """A name in SQL."""
    return "`" + name.replace("`", "``") + "`"


def make_shop(server: MariadbServer, name: str | None = None, collation: str = "utf8mb4_unicode_ci") -> str:
    """A database with a little of everything; returns its name."""
    name = name or fresh_name()
    server.sql(f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4 COLLATE {collation}")
    server.sql(SHOP, name)
    return name


@dataclass(slots=True)
class Backup:
    """All that a source's items gave."""

    data: dict[str, bytes] = field(default_factory=dict)
    """Of the items that were judged whole, by path."""
    order: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: dict[str, HoldfastError] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    """Of an item that is a folder; the contents of its files are in `data` under the same paths."""

    @property
    def manifest(self) -> Manifest:
        """What the manifest says."""
        return msgspec.json.decode(self.data["manifest.json"], type=Manifest)

    def facts(self, name: str) -> DatabaseFacts:
        """What the manifest says of a database."""
        (found,) = [each for each in self.manifest.databases if each.name == name]
        return found


@asynccontextmanager
async def opened_mariadb(
    host: OpenHost,
    server: MariadbServer,
    *,
    user: str = KEEPER,
    password: str | None = PASSWORD,
    kind: str = "mariadb",
    **options: OptionValue,
) -> AsyncIterator[DatabaseSource]:
    """A source on that server, by its socket."""
    secrets = {} if password is None else {"secret": Secret(password)}
    given = {"socket": str(server.socket), "user": user, **options}
    if password is not None:
        given["secret"] = "env:NOTHING"
    async with open_source(Source("wares", kind, options=given), host, secrets) as source:
        yield cast("DatabaseSource", source)


async def back_up(source: DatabaseSource) -> Backup:
    """Reads every item as the job does: one that fails leaves the others."""
    backup = Backup()
    for item in await source.items():
        backup.order.append(item.path)
        try:
            async with item.open() as stream:
                found = await _content(stream, item.path, backup)
                backup.warnings += await stream.judge()
            backup.data |= found
        except HoldfastError as error:
            backup.failures[item.path] = error
    return backup


async def _content(stream: ItemStream, path: str, backup: Backup) -> dict[str, bytes]:
    """Of an item, or of the files that it brings, as a job stores them."""
    if not isinstance(stream, FolderStream):
        return {path: await drain(stream)}
    files: dict[str, dict[int, bytes]] = {}
    while (member := await stream.next_member()) is not None:
        name = f"{path}/{member.path}" if member.path else path
        if isinstance(member, Renamed):
            parts = files.pop(name)
            files |= {f"{path}/{member.to}": parts} if member.to else {}
            continue
        backup.members[name] = member
        if member.type == "f":
            files.setdefault(name, {})[member.offset] = await drain(stream)
    return {name: b"".join(parts[each] for each in sorted(parts)) for name, parts in files.items()}


def as_json(data: bytes) -> Any:
    """JSON as plain values."""
    return json.loads(data)


def names(objects: Sequence[Any]) -> list[str]:
    """The names of tables or sequences."""
    return [each.name for each in objects]


@asynccontextmanager
async def opened_database(host: OpenHost, server: MariadbServer) -> AsyncIterator[Database]:
    """The server, as root."""
    async with (
        opened_mariadb(host, server, user="root", password=None, all=True) as source,
        source.database() as database,
    ):
        yield database


async def dumped(host: OpenHost, server: MariadbServer, name: str) -> tuple[bytes, DatabaseFacts]:
    """A backup of one database: its dump and what the manifest says of it."""
    async with opened_mariadb(host, server, user="root", password=None, database=[name]) as source:
        backup = await back_up(source)
    assert backup.failures == {}
    facts = backup.facts(name)
    return backup.data[facts.path], facts


async def load(database: Database, name: str, dump: bytes, selection: Selection | None = None) -> list[str]:
    """Loads a dump in pieces that end anywhere."""
    async with database.load(name, selection or Selection()) as stream:
        for begin in range(0, len(dump), 7777):
            await stream.write(dump[begin : begin + 7777])
        return list(await stream.finish())


def failed(facts: DatabaseFacts, actual: DatabaseFacts, *tables: str) -> list[str]:
    """The checks that a restored database did not pass."""
    return [f"{each.check}: {each.actual}" for each in compare(facts, actual, tables) if not each.passed]


async def restored(host: OpenHost, server: MariadbServer, shop: str) -> str:
    """A fresh copy of a database beside it, checked."""
    dump, facts = await dumped(host, server, shop)
    fresh = fresh_name("holdfast_fresh")
    async with opened_database(host, server) as database:
        await database.create(fresh, facts)
        await load(database, fresh, dump)
        assert failed(facts, await database.facts(fresh)) == []
    return fresh


def told(server: MariadbServer, name: str) -> str:
    """A database's whole content, by its own dumper, without its name."""
    return server.dump(name, with_events=not hides_events(name))
