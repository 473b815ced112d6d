"""Restores and dumps of SQLite and MariaDB that are stopped in the middle: by a full disk or a connection that is cut. What is live is as it was."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.errors import HoldfastError, SourceError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import DatabaseFacts
from engine.sources.base import Database, Selection
from tests.families.hosts import cut_connections, opened, ssh_definition, wait_until
from tests.families.mariadb import dumped, fresh_name, make_shop, opened_database, told
from tests.families.sources import Equipped
from tests.families.test_database_sqlite import count, dump_of, source
from tests.families.test_database_sqlite import make_shop as make_file
from tests.servers.mariadb import MariadbServer
from tests.servers.small_disk import small_disk
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

PIECE = 20_000


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


async def load(database: Database, name: str, data: bytes, between: Callable[[], None]) -> None:
    """Loads half of a dump, lets something happen, and loads the rest."""
    async with database.load(name, Selection()) as stream:
        await stream.write(data[: len(data) // 2])
        between()
        for begin in range(len(data) // 2, len(data), PIECE):
            await stream.write(data[begin : begin + PIECE])
        await stream.finish()


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_disk_that_is_full_makes_no_copy_of_a_file(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy needs as much room as the file has; without it there is no backup, and nothing is left lying about."""
    shop = make_file(tmp_path / "shop.db", rows=5000)
    before = shop.read_bytes()
    with small_disk(tmp_path / "small", 100) as small:
        monkeypatch.setenv("TMPDIR", str(small))
        async with opened(Host("this", kind="local")) as host:
            with pytest.raises(SourceError, match="has no room for a copy"):
                await dump_of(source(Equipped(host, tool), shop))
        assert list(small.iterdir()) == []
    assert shop.read_bytes() == before


async def test_a_file_that_runs_out_of_space_leaves_the_live_one(here: OpenHost, tmp_path: Path) -> None:
    """It was written beside, and goes again."""
    dump, _ = await dump_of(source(here, make_file(tmp_path / "long.db", rows=20_000)))
    with small_disk(tmp_path / "small", 1000) as small:
        live = make_file(small / "shop.db", rows=10)
        async with source(here, live).database() as database:
            await database.create("fresh.db", DatabaseFacts("fresh.db"))
            with pytest.raises(SourceError, match="No space left"):
                await load(database, "fresh.db", dump, lambda: None)
            await database.drop("fresh.db")
        assert ([each.name for each in small.iterdir()], count(live)) == (["shop.db"], 10)


async def test_a_connection_that_is_cut_in_mid_load_leaves_the_live_file(
    here: OpenHost, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Half a file under a name that nobody uses, which the next one removes."""
    live, server = make_file(tmp_path / "shop.db", rows=20_000), start_sshd()
    dump, _ = await dump_of(source(here, live))
    with contextlib.suppress(HoldfastError):
        async with opened(ssh_definition(server)) as host, source(host, live).database() as database:
            await database.create("fresh.db", DatabaseFacts("fresh.db"))
            await load(database, "fresh.db", dump, lambda: cut_connections(server))
            pytest.fail("a connection was cut, and nobody noticed")
    assert count(live) == 20_000
    async with source(here, live).database() as database:
        await database.drop("fresh.db")
        assert list(await database.names()) == ["shop.db"]


async def test_a_connection_that_is_cut_in_mid_load_leaves_the_live_database(
    here: OpenHost, start_sshd: Callable[..., Sshd], mariadb: MariadbServer
) -> None:
    """No transaction protects what a dump is loaded into, so it goes elsewhere; and can be dropped at once."""
    shop, fresh, server = make_shop(mariadb), fresh_name(), start_sshd()
    mariadb.sql("INSERT INTO log SELECT REPEAT('x', 1000) FROM seq_1_to_3000", shop)
    before = told(mariadb, shop)
    dump, facts = await dumped(here, mariadb, shop)
    with contextlib.suppress(HoldfastError):
        async with opened(ssh_definition(server)) as host, opened_database(host, mariadb) as database:
            await database.create(fresh, facts)
            await load(database, fresh, dump, lambda: cut_connections(server))
            pytest.fail("a connection was cut, and nobody noticed")

    def is_settled() -> bool:
        return not mariadb.sql(
            f"SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = '{fresh}'"
        )

    await wait_until(is_settled)
    assert told(mariadb, shop) == before
    async with opened_database(here, mariadb) as database:
        await database.drop(fresh)
        assert fresh not in await database.names()
