"""A PostgreSQL cluster with tablespaces, through whole jobs: what lies in them comes back, and never where the live ones are."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.errors import RestoreError, UsageError
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest, RollbackRequest, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, control, running_postgres, started_postgres
from tests.servers.sshd import Sshd

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

    checks = (
        ("postgres", "select count(*) from stamps", "500"),
        ("bank", "select count(*) from money", "1001"),
        ("later", "select n from there", "7"),
    )
    drilled = await world.engine.drill(DrillRequest("shop", at=before, checks=checks))
    assert (drilled.status, drilled.level) == ("passed", "point-in-time"), (drilled.steps, drilled.checks)
    assert spaces.seen() == live
    assert not list(spaces.places["near"].iterdir())


async def test_a_folder_gets_its_tablespaces_below_it_or_where_they_are_mapped(
    world: World, spaces: Spaces, sshd: Sshd
) -> None:
    """The base as it is, here, and on a host an instant behind a tablespace that only the log makes; a server starts from either. A place that is taken is refused first."""
    server, outside = spaces.server, spaces.places["far"].parent
    await _begin(world, spaces)
    spaces.make("young")
    server.psql("create table there tablespace young as select 7 as n")
    before = datetime.datetime.fromisoformat(server.psql("select clock_timestamp()"))
    await world.engine.ship(ShipRequest(("shop",)))
    live = spaces.seen()
    await world.add_host(sshd)
    mapped = (f"{spaces.places['far']}={outside}/new/mapped",)
    whole = RestoreRequest("latest:shop", to=str(outside / "base"), tablespaces=mapped)
    for wrong, words in (
        ("/nowhere=/x", "no tablespace at /nowhere"),
        (f"far={spaces.places['young']}", "something at"),
        (f"far={outside}/base/postgres/shop/data/x", "other files of the server"),
        ("far=up/../there", "path from the root"),
    ):
        with pytest.raises((UsageError, RestoreError), match=words):
            await world.engine.restore(dataclasses.replace(whole, tablespaces=(wrong,)))
    assert not (outside / "base").exists()
    then = dataclasses.replace(
        whole, backup="", to=str(outside / "then"), source="shop", at=before, tablespaces=(), host="server"
    )
    for request, link, rows in (
        (whole, outside / "new/mapped", ""),
        (then, outside / "then/postgres/shop/tablespaces", "7"),
    ):
        done = await world.engine.restore(request)
        assert (done.status, f"goes to {link}" in done.note) == ("completed", True), done
        assert ("allow_in_place_tablespaces is set" in done.note) == bool(rows)
        data = Path(request.to) / "postgres/shop/data"
        assert any(
            str(link) in str(each.readlink()) for each in (data / "pg_tblspc").iterdir() if each.is_symlink()
        )
        _open_up(data, server.account)
        with started_postgres(data.parent) as restored:
            while restored.psql("select pg_is_in_recovery()") == "t":
                restored.psql("select pg_sleep(0.02)")
            assert restored.psql("select count(*) from money", "bank") == "1000"
            if rows:
                assert restored.psql("select n from there") == rows
            restored.psql("update money set n = n + 1", "bank")
    assert spaces.seen() == live


def _open_up(data: Path, account: str) -> None:
    """For the server's account: a person's `chown -R`, and a way in."""
    for each in data.parents[:3]:
        each.chmod(each.stat().st_mode | 0o111)
    (data / "pg_hba.conf").write_text("local all all trust\n", encoding="utf-8")
    for name in ("server.key", "pg_hba.conf"):
        shutil.chown(data / name, account)


async def test_a_whole_server_comes_back_beside_its_old_tablespaces(world: World, spaces: Spaces) -> None:
    """They stay with the data folder that is put aside, for the rollback."""
    server = spaces.server
    await _begin(world, spaces)
    server.psql("insert into money values (0)", "bank")
    at = datetime.datetime.fromisoformat(server.psql("select clock_timestamp()"))
    server.psql("select pg_sleep(0.01); drop table money", "bank")
    await world.engine.ship(ShipRequest(("shop",)))
    hooks = {each: control(server, each) for each in ("stop", "start")}
    request = RestoreRequest(
        "", is_in_place=True, is_whole_server=True, source="shop", at=at,
        before_hook=hooks["stop"], after_hook=hooks["start"], tablespaces=(f"near={server.directory}/nearer",),
    )  # fmt: skip
    try:
        done = await world.engine.restore(request)
        assert done.status == "completed", done
        assert server.psql("select count(*) from money", "bank") == "1001"
        assert (
            server.psql("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'near'")
            == f"{server.directory}/nearer"
        )
        subprocess.run(hooks["stop"], shell=True, check=True)
        await world.engine.rollback(RollbackRequest(done.job_id))
        subprocess.run(hooks["start"], shell=True, check=True)
        assert server.psql("select to_regclass('money') is null", "bank") == "t"
        assert server.psql("select count(*) from stamps") == "0"
        with pytest.raises(RestoreError, match="something at"):
            await world.engine.restore(request)
    finally:
        subprocess.run(hooks["stop"], shell=True, check=False)
