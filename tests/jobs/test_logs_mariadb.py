"""A MariaDB server's binary logs through whole jobs: shipped as they lie on the host, and nothing of them lost or taken for another's."""

from __future__ import annotations

import dataclasses
import datetime
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import RefusedError, RestoreError, SourceError
from engine.events import Warned
from engine.model.definitions import OptionValue, Source
from engine.model.instants import ChangeQuery
from engine.model.requests import DrillRequest, RestoreRequest, ShipRequest
from engine.model.shipments import ShippedLog
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer, started_mariadb
from tests.servers.tools import free_port, require_tool

pytestmark = pytest.mark.slow

OPTIONS = (
    "--log-bin=log", "--server-id=9", f"--port={free_port()}", "--binlog-expire-logs-seconds=864000",
    "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1",
)  # fmt: skip
"""A server that starts again does so on its port: its id is made of it. Where it may lose what it logged, its log and its data part in a crash."""


SHOP = "CREATE DATABASE shop; CREATE TABLE shop.stamps (id INT PRIMARY KEY AUTO_INCREMENT, at TIMESTAMP(6)) ENGINE=InnoDB"

BANK = """
CREATE DATABASE bank; USE bank; SET SESSION binlog_format = ROW; CREATE TABLE accounts (id INT PRIMARY KEY, text VARCHAR(300), more DECIMAL(9, 2));
INSERT INTO accounts SELECT seq, REPEAT('a', seq), NULL FROM seq_1_to_100; UPDATE accounts SET text = 'b' WHERE id <= 30;
DELETE FROM accounts WHERE id > 90; START TRANSACTION; DELETE FROM accounts WHERE id = 5; INSERT INTO accounts VALUES (5, '', 1); COMMIT
"""


@pytest.fixture
def server(start_mariadb: Callable[..., MariadbServer]) -> MariadbServer:
    """A server of this test's own."""
    require_tool("mariadb-backup")
    return start_mariadb(*OPTIONS)


async def _begin(world: World, server: MariadbServer) -> None:
    """A source with a base."""
    options: dict[str, OptionValue] = {
        "socket": str(server.socket), "user": "root", "physical": True, "log_binlog": True,
    }  # fmt: skip
    await world.engine.add_source(Source("shop", "mariadb", options=options))
    await world.one_backup("shop")


def _stamp(server: MariadbServer) -> None:
    server.sql("INSERT INTO shop.stamps (at) VALUES (SYSDATE(6))")


async def _ship(world: World) -> ShippedLog:
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
    return shipped


def _name(path: Path) -> str:
    return path.name


def _logs(server: MariadbServer) -> list[Path]:
    return sorted((server.directory / "data").glob("log.0*"))


async def test_a_server_without_a_log_is_told_what_it_lacks(
    world: World, other_mariadb: MariadbServer
) -> None:
    """In lines for its configuration; a shipment says that there is nothing to ship."""
    await world.add_storages("first")
    options: dict[str, OptionValue] = {"socket": str(other_mariadb.socket), "user": "root", "physical": True, "log_binlog": True}  # fmt: skip
    await world.engine.add_source(Source("shop", "mariadb", options=options))
    assert "log_bin = binlog" in await world.engine.log_setup("shop")
    with pytest.raises(SourceError, match="keeps no binary log"):
        await _ship(world)


async def test_closed_logs_are_shipped_and_what_is_wrong_with_them_is_told(
    world: World, server: MariadbServer
) -> None:
    """Each once; one that is cut short, or not as it was written, is not kept, and one that is gone is a gap; another under a known name is refused."""
    await world.add_storages("first", "second")
    server.sql(SHOP)
    await _begin(world, server)
    _stamp(server)
    first = await _ship(world)
    assert (first.status, first.waiting, first.gaps, first.warnings) == ("completed", 0, (), ()), first
    assert first.segments
    server.sql("SET GLOBAL binlog_expire_logs_seconds = 7200")
    again = await _ship(world)
    assert (again.status, again.segments, again.waiting) == ("completed", 0, 0)
    assert "forgets its binary logs after 7200 seconds" in str(again.warnings)
    (line,) = await world.engine.log_setup("shop")
    assert line.startswith("binlog_expire_logs_seconds")
    assert again.recoverable_to is not None
    assert first.recoverable_to is not None
    assert again.recoverable_to > first.recoverable_to

    whole = {}
    for damage in (_cut, _spoil):
        _stamp(server)
        server.sql("FLUSH BINARY LOGS")
        path = _logs(server)[-2]
        whole[path] = path.read_bytes()
        damage(path)
    damaged = await _ship(world)
    assert (damaged.status, damaged.segments, damaged.waiting) == ("incomplete", 0, 2), damaged
    told = " ".join(damaged.warnings)
    assert ("lacks its end" in told, "checksum" in told) == (True, True), told
    for path, content in whole.items():
        path.write_bytes(content)
    assert ((mended := await _ship(world)).segments, mended.gaps) == (2, ())

    _stamp(server)
    server.sql("FLUSH BINARY LOGS")
    _stamp(server)
    server.sql("FLUSH BINARY LOGS")
    server.sql(f"PURGE BINARY LOGS TO '{_logs(server)[-2].name}'")
    purged = await _ship(world)
    assert [each.last - each.first for each in purged.gaps] == [0]
    await _begin_anew(world, server)


async def _begin_anew(world: World, server: MariadbServer) -> None:
    """Logs of the same names that are others: nothing is replayed along them, and nothing is said to be covered by them."""
    reached_to = (await world.engine.log_report("shop")).recoverable_to
    server.sql("RESET MASTER")
    _stamp(server)
    with pytest.raises(RefusedError, match="another content") as refused:
        await _ship(world)
    assert "give its log another name" in str(refused.value.hint)
    assert (await world.engine.log_report("shop")).recoverable_to == reached_to
    again_at = await world.one_backup("shop")
    assert "no log can be replayed onto this backup" in str(again_at.warnings)
    reached = (await world.engine.log_report("shop")).reaches
    assert again_at.backup_id not in {each.base.backup_id for each in reached}


def _cut(path: Path) -> None:
    """Its last event, of which nothing tells, is missing."""
    rotate_bytes = 19 + 8 + len("log.000001") + 4
    os.truncate(path, path.stat().st_size - rotate_bytes)


def _spoil(path: Path) -> None:
    """A bit of the last transaction's end is another."""
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


@contextmanager
def _started_again(server: MariadbServer) -> Iterator[MariadbServer]:
    with started_mariadb(server.directory, *OPTIONS) as again:
        yield again


def _wait_stamps(server: MariadbServer, count: int) -> None:
    """Until so many more rows are there."""
    server.sql(
        "DELIMITER //\nBEGIN NOT ATOMIC SET @n = (SELECT COUNT(*) FROM stamps);"
        f"WHILE (SELECT COUNT(*) FROM stamps) < @n + {count} DO DO SLEEP(0.02); END WHILE; END//",
        "shop",
    )


@contextmanager
def _stamping(server: MariadbServer) -> Iterator[None]:
    """From here on until the server ends a row is stamped each 50 ms, by the clock that the log knows too."""
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "shop"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as client:
        assert client.stdin is not None
        loop = "WHILE 1 DO INSERT INTO stamps (at) VALUES (NOW(6)); DO SLEEP(0.05); END WHILE"
        client.stdin.write(f"DELIMITER //\nBEGIN NOT ATOMIC {loop}; END//\n".encode())
        client.stdin.flush()
        try:
            yield
        finally:
            client.kill()


async def test_any_instant_comes_back_with_exactly_what_was_committed_by_then(
    world: World, server: MariadbServer
) -> None:
    """Through a base, several logs and a crash; by whole seconds, as a binary log tells them, so that nothing of the instant's own second is there."""
    await world.add_storages("first")
    server.sql(SHOP)
    with _stamping(server):
        await _begin(world, server)
        for _ in range(2):
            _wait_stamps(server, 25)
            await _ship(world)
    server.stop()
    with _started_again(server) as again, _stamping(again):
        _wait_stamps(again, 25)
        shipped = await _ship(world)
        assert (shipped.status, shipped.gaps, shipped.warnings) == ("completed", (), ()), shipped
        stamps = [float(row[0]) for row in again.sql("SELECT UNIX_TIMESTAMP(at) FROM shop.stamps")]
        report = await world.engine.log_report("shop")
        assert report.recoverable_from is not None
        assert report.recoverable_to is not None
        begins, ends = report.recoverable_from.timestamp(), report.recoverable_to.timestamp()
        dice = random.Random(7)
        for _ in range(10):
            at = dice.uniform(int(begins) + 1, ends - 1)
            expected = sum(each < int(at) for each in stamps)
            instant = datetime.datetime.fromtimestamp(at, datetime.UTC)
            check = ("shop", "SELECT COUNT(*) FROM stamps", str(expected))
            drilled = await world.engine.drill(DrillRequest("shop", at=instant, checks=(check,)))
            assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (
                drilled.steps,
                drilled.checks,
            )
            assert "the log knows whole seconds" in str(drilled.steps)


async def test_a_dropped_table_is_found_in_the_log_and_comes_back_into_the_live_server(
    world: World, server: MariadbServer
) -> None:
    """By the transaction, without it; the log says which, among thousands of others. What is not in the log is refused."""
    server.sql(SHOP)
    server.sql("SET GLOBAL sync_binlog = 0; SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    server.sql("CREATE TABLE orders (id INT); CREATE TABLE other (id INT)", "shop")
    (rows := server.directory / "rows").write_text("2\n3\n", encoding="ascii")
    await world.add_storages("first")
    await _begin(world, server)
    # A file that is loaded comes by the log too, and accounts of the server's own are other ones then.
    more = f"SET SESSION binlog_format = STATEMENT; LOAD DATA INFILE '{rows}' INTO TABLE orders; CREATE USER mysql@localhost IDENTIFIED BY 'a'; CREATE USER late; FLUSH PRIVILEGES"
    many = "BEGIN NOT ATOMIC FOR i IN 1..1500 DO INSERT INTO stamps (at) VALUES (NOW(6)); END FOR; END//"
    server.sql(
        f"INSERT INTO orders VALUES (1); {more}; DO SLEEP(1.1 - (UNIX_TIMESTAMP(NOW(6)) % 1));\nDELIMITER //\n{many}\nDROP TABLE other, `orders`//\n{many}\n",
        "shop",
    )
    server.sql(BANK)
    await _ship(world)
    for query, expected in (
        (ChangeQuery("shop", "bank.accounts", least_rows=1, is_largest_first=True), [("updated", 30), ("deleted", 10), ("deleted", 1)]),
        (ChangeQuery("shop", statement="from ACCOUNTS  where id = 5"), [("deleted", 1)]),
        (ChangeQuery("shop", statement="create database bank"), [("said", 0)]),
    ):  # fmt: skip
        sought = (await world.engine.find_changes(dataclasses.replace(query, least_rows=1))).changes
        assert [(each.kind, each.rows) for each in sought] == expected
        assert [
            each for each in sought if each.position.rpartition(":")[0] not in map(_name, _logs(server))
        ] == []
    found = await world.engine.find_changes(ChangeQuery("shop", table="orders"))
    (change,) = found.changes
    assert (change.kind, change.database, change.tables) == ("dropped", "shop", ("other", "orders"))
    then = RestoreRequest(
        "", into="then", source="shop", at_transaction=change.transaction, is_before=True, databases=("shop",)
    )
    restored = await world.engine.restore(then)
    assert (restored.status, restored.databases[0].into) == ("completed", "then")
    assert server.sql("SELECT COUNT(*) FROM orders; SELECT COUNT(*) FROM stamps", "then") == [["3"], ["1500"]]
    restored = await world.engine.restore(dataclasses.replace(then, into="after", is_before=False))
    assert server.sql("SHOW TABLES; SELECT COUNT(*) FROM stamps", "after") == [["stamps"], ["1500"]]
    restored = await world.engine.restore(dataclasses.replace(then, into="alone", tables=("orders",)))
    assert server.sql("SHOW TABLES; SELECT COUNT(*) FROM orders", "alone") == [["orders"], ["3"]]
    assert not [each for each in world.heard if isinstance(each, Warned) and "holdfast_" in each.message]
    with pytest.raises(RestoreError, match="0-9-99999"):
        await world.engine.restore(dataclasses.replace(then, at_transaction="0-9-99999"))
