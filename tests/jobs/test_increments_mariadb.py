"""A MariaDB server's own files by increments, through whole jobs: what changed alone is sent, and each backup restores by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.events import Noted
from engine.model.backup import Backup
from engine.model.definitions import OptionValue, Source
from engine.model.requests import (
    DrillRequest,
    PruneRequest,
    ShipRequest,
    VerifyRequest,
)
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

SHOP = """
CREATE DATABASE shop; USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, text VARCHAR(500)) ENGINE=InnoDB;
INSERT INTO orders SELECT seq, REPEAT(SHA2(seq, 512), 3) FROM seq_1_to_20000;
CREATE TABLE old (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO old VALUES (1);
CREATE TABLE plain (id INT PRIMARY KEY) ENGINE=MyISAM; INSERT INTO plain VALUES (1);
"""
FIRST = "UPDATE orders SET text = 'one' WHERE id = 7; RENAME TABLE old TO older; CREATE TABLE fresh (id INT) ENGINE=InnoDB; INSERT INTO fresh VALUES (1)"
SECOND = "UPDATE orders SET text = 'two' WHERE id = 19000; DROP TABLE older; INSERT INTO plain VALUES (2); INSERT INTO fresh VALUES (2)"

ROWS = {
    "SELECT GROUP_CONCAT(text ORDER BY id) FROM orders WHERE id IN (7, 19000)": "one,two",
    "SELECT COUNT(*) FROM orders": "20000",
    "SELECT COUNT(*) FROM fresh": "3",
    "SELECT COUNT(*) FROM plain": "2",
    "SELECT GROUP_CONCAT(table_name ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'shop'": "fresh,orders,plain",
}


@pytest.fixture
def server(start_mariadb: Callable[..., MariadbServer]) -> MariadbServer:
    """A server of this test's own: all of it is copied."""
    require_tool("mariadb-backup")
    return start_mariadb("--log-bin=log", "--server-id=9", "--binlog-expire-logs-seconds=864000")


@pytest.fixture
def target() -> Iterator[Path]:
    """A folder with a short path, which the account of a server may enter."""
    with tempfile.TemporaryDirectory(prefix="hf-maria-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def _begin(world: World, server: MariadbServer) -> Backup:
    """A source with its first backup."""
    await world.add_storages("first")
    options: dict[str, OptionValue] = {
        "socket": str(server.socket),
        "user": "root",
        "physical": True,
        "log_binlog": True,
    }
    await world.engine.add_source(Source("all", "mariadb", options=options))
    return await world.one_backup("all")


def _noted(world: World) -> list[str]:
    said = [
        each.message for each in world.heard if isinstance(each, Noted) and "read in full" in each.message
    ]
    world.heard.clear()
    return said


async def test_an_increment_restores_although_all_before_it_is_forgotten(
    world: World, server: MariadbServer, target: Path
) -> None:
    """By --to, and by a drill with the log onto it; verify reads its whole chain."""
    server.sql(SHOP)
    full = await _begin(world, server)
    server.sql(FIRST, "shop")
    one = await world.one_backup("all")
    server.sql(SECOND, "shop")
    two = await world.one_backup("all")
    assert [full.kind, one.kind, two.kind] == ["full", "incremental", "incremental"]
    assert one.added_bytes < full.added_bytes / 4
    assert len(_noted(world)) == 1

    await world.engine.delete_backups((full.backup_id, one.backup_id))
    await world.engine.prune(PruneRequest("first", max_unused_percent=0))
    verified = await world.engine.verify(VerifyRequest(two.backup_id, is_reading_data=True))
    assert verified.status == "passed", verified
    server.sql("INSERT INTO fresh VALUES (3)", "shop")
    (shipped,) = (await world.engine.ship(ShipRequest(("all",)))).logs
    checks = [("shop", query, answer) for query, answer in ROWS.items()]
    request = DrillRequest("all", at=shipped.recoverable_to, checks=tuple(checks))
    drilled = await world.engine.drill(request)
    assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)

    folder = await world.restore("latest:all", target) / "mariadb" / "all"
    assert {each.name for each in folder.iterdir()} == {"data", "manifest.json"}
    assert "log-applied" in (folder / "data" / "xtrabackup_checkpoints").read_text(encoding="ascii")
