"""Drills of MariaDB: good backups pass, and whatever is wrong with one fails."""

from __future__ import annotations

import re

import pytest

from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from tests.families.mariadb import fresh_name
from tests.jobs.keeping import look_in
from tests.jobs.tampering import Change, cut, tamper
from tests.jobs.world import World
from tests.servers.mariadb import KEEPER, PASSWORD, MariadbServer

pytestmark = pytest.mark.slow

SHOP = """
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(80), KEY by_text (text));
INSERT INTO orders (text) VALUES ('one'), ('two'), ('three');
CREATE TABLE wares (id INT);
INSERT INTO wares VALUES (7);
"""
_ROW = re.compile(rb",\n\(3,'three'\)")
_TABLE = re.compile(rb"--\n-- Table structure for table `wares`\n.*?UNLOCK TABLES;\n.*?(?=\n)", re.DOTALL)


@pytest.fixture
async def shop(world: World, mariadb: MariadbServer) -> str:
    """A database, the source `db` of it, backed up."""
    name = fresh_name()
    mariadb.sql(f"CREATE DATABASE {name}")
    mariadb.sql(SHOP, name)
    secret = world.directory / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    await world.add_storages("first")
    options = {"socket": str(mariadb.socket), "user": KEEPER, "secret": f"file:{secret}", "database": (name,)}
    await world.engine.add_source(Source("db", "mariadb", options=options))
    await world.one_backup("db")
    return name


def _wrong(result: DrillResult) -> set[str]:
    return {each.check.partition(": ")[2] for each in result.checks if not each.passed}


async def test_a_good_backup_passes_in_a_server_of_its_own(
    world: World, mariadb: MariadbServer, shop: str
) -> None:
    """With the user's question answered, and the printed line leading to it as long as it is kept."""
    mariadb.sql("DELETE FROM orders", shop)
    checks = ((shop, "SELECT count(*) FROM orders", "3"), ("", "SELECT max(id) FROM orders", "4"))
    result, said = await look_in(
        world, DrillRequest("db", checks=checks), "-N -e 'SELECT sum(id) FROM orders'"
    )
    assert (said, result.level, result.steps[-1].status) == ("6", "server", "ok")
    assert (result.status, _wrong(result)) == ("failed", {"SELECT max(id) FROM orders"})
    assert (await world.engine.show_backup("latest:db")).proof is Proof.TAKEN


def _emptied(dump: bytes) -> bytes:
    """What a dump of an empty database looks like."""
    return dump[: dump.index(b"-- Table structure")] + b"\n-- Dump completed on 2026-11-20 14:05:00\n"


def _without(pattern: re.Pattern[bytes]) -> Change:
    return lambda dump: pattern.sub(b"", dump)


async def test_a_dump_that_is_not_what_was_backed_up_fails(world: World, shop: str) -> None:
    """Every checksum is right, and yet it would not bring the shop back: the dump itself tells, to whoever reads it."""
    damages: dict[str, tuple[Change, set[str]]] = {
        "rows": (_without(_ROW), {"rows of orders"}),
        "table": (_without(_TABLE), {"tables", "rows of wares"}),
        "another database": (lambda dump: b"USE mysql;\n" + dump, {"statement that chooses a database"}),
        "cut": (cut, set()),
    }
    good = await world.engine.drill(DrillRequest("db", level="parse"))
    assert (good.status, good.level) == ("passed", "parse")
    assert (await world.engine.show_backup("latest:db")).proof is Proof.VERIFIED
    for change, found in damages.values():
        undo = await tamper(world, "db", {f"{shop}.sql": change})
        result = await world.engine.drill(DrillRequest("db", level="parse"))
        assert (result.status, _wrong(result)) == ("failed", found)
        await undo()


async def test_a_server_that_is_not_what_was_backed_up_fails(world: World, shop: str) -> None:
    """What a restore would have left; on a machine that knows the recovery kit alone."""
    await tamper(world, "db", {f"{shop}.sql": _emptied})
    result = await world.engine.drill(DrillRequest("db", scenario="kit-only"))
    assert (result.status, result.level) == ("failed", "server")
    assert _wrong(result) >= {"not empty", "tables", "rows of orders", "rows of wares"}
    assert (await world.engine.show_backup("latest:db")).proof is Proof.TAKEN
