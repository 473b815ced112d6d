"""A MariaDB server's binary logs through whole jobs: shipped as they lie on the host, and nothing of them lost or taken for another's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import RefusedError
from engine.model.definitions import OptionValue, Source
from engine.model.logs import ShippedLog
from engine.model.requests import ShipRequest
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer
from tests.servers.tools import free_port, require_tool

pytestmark = pytest.mark.slow


@pytest.fixture
def server(start_mariadb: Callable[..., MariadbServer]) -> MariadbServer:
    """A server of this test's own, on a port that it keeps when it starts again: the server's id is made of it."""
    require_tool("mariadb-backup")
    return start_mariadb(
        "--log-bin=log", "--server-id=9", f"--port={free_port()}", "--binlog-expire-logs-seconds=864000"
    )


async def _begin(world: World, server: MariadbServer) -> None:
    """A source with a base, and a table."""
    options: dict[str, OptionValue] = {
        "socket": str(server.socket), "user": "root", "physical": True, "log_binlog": True,
    }  # fmt: skip
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.stamps (id INT PRIMARY KEY AUTO_INCREMENT, at TIMESTAMP(6)) ENGINE=InnoDB"
    )
    await world.engine.add_source(Source("shop", "mariadb", options=options))
    await world.one_backup("shop")


def _stamp(server: MariadbServer) -> None:
    server.sql("INSERT INTO shop.stamps (at) VALUES (SYSDATE(6))")


async def _ship(world: World) -> ShippedLog:
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
    return shipped


def _logs(server: MariadbServer) -> list[Path]:
    return sorted((server.directory / "data").glob("log.0*"))


async def test_closed_logs_are_shipped_and_what_is_wrong_with_them_is_told(
    world: World, server: MariadbServer
) -> None:
    """Each once; one that is cut short, or not as it was written, is not kept, and one that is gone is a gap; another under a known name is refused."""
    await world.add_storages("first", "second")
    await _begin(world, server)
    _stamp(server)
    first = await _ship(world)
    assert (first.status, first.waiting, first.gaps, first.warnings) == ("completed", 0, (), ()), first
    assert first.segments
    again = await _ship(world)
    assert (again.status, again.segments, again.waiting) == ("completed", 0, 0)
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
    server.sql("RESET MASTER")
    _stamp(server)
    with pytest.raises(RefusedError, match="another content"):
        await _ship(world)


def _cut(path: Path) -> None:
    """Its last event, of which nothing tells, is missing."""
    rotate_bytes = 19 + 8 + len("log.000001") + 4
    os.truncate(path, path.stat().st_size - rotate_bytes)


def _spoil(path: Path) -> None:
    """A bit of the last transaction's end is another."""
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)
