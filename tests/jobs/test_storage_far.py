"""Backups on a storage that is reached over the network: the whole way there, and back from its recovery kit alone."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.model.definitions import LOCAL_HOST, Source, Storage
from engine.model.requests import DrillRequest
from tests.jobs.kit import Reader
from tests.jobs.world import World
from tests.servers.rclone import SECRET, USER, RestServer
from tests.servers.restic import ResticProgram
from tests.servers.sshd import Sshd
from tests.servers.vsftpd import Ftpd

pytestmark = pytest.mark.slow

ROWS = 5000
Add = Callable[[World, pytest.FixtureRequest], Awaitable[ResticProgram]]


@pytest.fixture
async def shop(world: World) -> Path:
    """A database, the source `shop`."""
    path = world.directory / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        database.executemany("INSERT INTO orders (what) VALUES (?)", [(f"order {n}",) for n in range(ROWS)])
    database.close()
    await world.engine.add_source(Source("shop", "sqlite", LOCAL_HOST, {"path": str(path)}))
    return path


def orders(path: Path) -> int:
    """How many rows came back."""
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM orders").fetchone()
    database.close()
    return int(count)


async def add_sftp(world: World, request: pytest.FixtureRequest) -> ResticProgram:
    """The storage `far` on a host of its own; gives the restic that opens it."""
    await world.add_host(request.getfixturevalue("sshd"), "nas")
    options = {"host": "nas", "path": str(world.place("far"))}
    await world.engine.add_storage(Storage("far", "sftp", options))
    return packaged(request)


async def add_rest(world: World, request: pytest.FixtureRequest) -> ResticProgram:
    """The same behind a REST server. Debian's restic takes a login in the URL alone."""
    server: RestServer = request.getfixturevalue("rest_server")
    secret = world.directory / "secret"
    secret.write_text(SECRET, encoding="ascii")
    options = {
        "url": f"{server.url}{world.directory.parent.name}/",
        "user": USER,
        "secret_ref": f"file:{secret}",
        "ca_file": str(server.certificate),
    }
    await world.engine.add_storage(Storage("far", "rest", options))
    newest: ResticProgram = request.getfixturevalue("restic_newest")
    return newest


async def add_rclone(world: World, request: pytest.FixtureRequest) -> ResticProgram:
    """The same behind rclone."""
    config = world.directory / "rclone.conf"
    config.write_text("[away]\ntype = alias\nremote = :local:/\n", encoding="ascii")
    options = {
        "remote": f"away:{world.place('far')}",
        "rclone_config": str(config),
        "rclone_program": str(request.getfixturevalue("rclone")),
    }
    await world.engine.add_storage(Storage("far", "rclone", options))
    return packaged(request)


def packaged(request: pytest.FixtureRequest) -> ResticProgram:
    """Debian's restic."""
    found: ResticProgram = request.getfixturevalue("restic_packaged")
    return found


@pytest.mark.parametrize("add", [add_sftp, add_rest, add_rclone], ids=["sftp", "rest", "rclone"])
async def test_the_kit_brings_a_database_back_word_for_word(
    world: World, shop: Path, request: pytest.FixtureRequest, add: Add
) -> None:
    """With stock restic, and with holdfast on a machine that never heard of it all."""
    restic = await add(world, request)
    await world.one_backup("shop")
    reader = Reader(world.directory / "foreign", await world.engine.recovery_kit("far"), restic.path)
    back = reader.restore_by_restic()
    (database,) = back.rglob("databases/*")
    assert orders(database) == ROWS
    reader.recover()
    reader.type(f"holdfast restore latest:shop --to {reader.directory / 'again'}")
    (database,) = (reader.directory / "again").rglob("databases/*")
    assert orders(database) == ROWS


async def test_an_ftp_storage_comes_back_from_its_kit_and_opens_in_restic_through_rclone(
    world: World, shop: Path, vsftpd: Ftpd, rclone: Path, restic_packaged: ResticProgram
) -> None:
    """restic speaks no FTP; the kit says how it gets there."""
    options = {"address": vsftpd.address, "path": "there/far", "ca_file": str(vsftpd.certificate)}
    await world.engine.add_storage(Storage("far", "ftp", options))
    await world.one_backup("shop")
    reader = Reader(world.directory / "foreign", await world.engine.recovery_kit("far"), restic_packaged.path)
    reader.install("rclone", rclone)
    assert reader.lines("restic ") == []
    (create,) = reader.lines("rclone config create")
    (repository,) = re.findall(r"`restic (-r rclone:far:[^`]+)`", reader.kit)
    # Only that the server signed itself is not said by the kit.
    reader.type(f"{create} no_check_certificate=true >/dev/null")
    reader.type(f"restic {repository} check --read-data")
    reader.recover()
    reader.type(f"holdfast restore latest:shop --to {reader.directory / 'again'}")
    (database,) = (reader.directory / "again").rglob("databases/*")
    assert orders(database) == ROWS


async def test_a_drill_from_the_kit_reaches_the_host_by_what_the_kit_says(
    world: World, shop: Path, sshd: Sshd
) -> None:
    """The drill's own home knows no host."""
    await world.add_host(sshd, "nas")
    options = {"host": "nas", "path": str(world.place("far"))}
    await world.engine.add_storage(Storage("far", "sftp", options))
    await world.one_backup("shop")
    for scenario in ("kit-only", "catalog-gone"):
        result = await world.engine.drill(DrillRequest("shop", scenario=scenario))
        assert result.status == "passed", result
    report = await world.engine.test_storage("far")
    assert report.upload_bytes_s > 0
    with pytest.raises(UsageError, match="host nas still has storages: far"):
        await world.engine.remove_host("nas")
