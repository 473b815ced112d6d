"""A PostgreSQL cluster with tablespaces, through whole jobs: what lies in them comes back, and never where the live ones are."""

from __future__ import annotations

import datetime
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Spaces:
    """A server's tablespaces."""

    def __init__(self, server: Postgres, outside: Path) -> None:
        self.server = server
        self.places = {"near": server.directory / "near", "far": outside / "far", "young": outside / "young"}
        for place in self.places.values():
            place.mkdir()
            shutil.chown(place, server.account, server.account)

    def make(self, name: str) -> None:
        """The tablespace of that name."""
        self.server.psql(f"create tablespace {name} location '{self.places[name]}'")

    def seen(self) -> Mapping[str, tuple[int, str]]:
        """All that lies in them: modes, and contents."""
        self.server.psql("checkpoint")
        paths = [each for place in self.places.values() for each in [place, *place.rglob("*")]]
        return {
            str(each): (
                each.stat().st_mode,
                hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "",
            )
            for each in paths
        }


@pytest.fixture
def spaces() -> Iterator[Spaces]:
    """Of a server of this test's own, whose log goes into its spool: one beside its data folder, others elsewhere."""
    outside = Path(tempfile.mkdtemp(prefix="hf-out-", dir="/tmp"))
    outside.chmod(0o755)
    try:
        with running_postgres(is_archiving=True, segment_mib=1) as server:
            yield Spaces(server, outside)
    finally:
        shutil.rmtree(outside, ignore_errors=True)


async def _begin(world: World, spaces: Spaces) -> None:
    await world.add_storages("first")
    server = spaces.server
    for name in ("near", "far"):
        spaces.make(name)
    server.psql("create database bank tablespace far; create table stamps (n int) tablespace near")
    server.psql("create table money tablespace near as select generate_series(1, 1000) as n", "bank")
    options = server.options(physical=True, log_spool=str(server.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")


async def test_a_cluster_with_tablespaces_is_drilled_and_brought_back_to_an_instant(
    world: World, spaces: Spaces
) -> None:
    """On the live server's own host; also where the log makes one, puts a database in it, and drops another. Of the live ones not a bit changes."""
    server = spaces.server
    await _begin(world, spaces)
    server.psql("insert into stamps select generate_series(1, 500)")
    server.psql("insert into money values (0)", "bank")
    spaces.make("young")
    server.psql("create database later tablespace young")
    server.psql("create table there as select 7 as n", "later")
    before = datetime.datetime.fromisoformat(server.psql("select clock_timestamp()"))
    server.psql("drop table stamps")
    server.psql("select pg_sleep(0.01); drop table money", "bank")
    server.psql("drop tablespace near")
    await world.engine.ship(ShipRequest(("shop",)))
    live = spaces.seen()
    assert any("far/" in each for each in live)

    base = await world.engine.drill(
        DrillRequest("shop", checks=(("bank", "select count(*) from money", "1000"),))
    )
    checks = (
        ("postgres", "select 1", "1"),
        ("bank", "select count(*) from money", "1001"),
        ("later", "select n from there", "7"),
    )
    drilled = await world.engine.drill(DrillRequest("shop", at=before, checks=checks))
    for each, level in ((base, "server"), (drilled, "point-in-time")):
        assert (each.status, each.level) == ("passed", level), (each.steps, each.checks)
    assert spaces.seen() == live
    last = await world.engine.drill(
        DrillRequest("shop", level="point-in-time", seed=1, checks=(("later", "select 1", "1"),))
    )
    assert last.status in ("passed", "failed")
    restored = await world.engine.restore(
        RestoreRequest("", into="then", source="shop", at=before, databases=("bank",))
    )
    assert restored.status == "completed", restored
    assert server.psql("select count(*) from money", "then") == "1001"
    assert not list(spaces.places["near"].iterdir())
