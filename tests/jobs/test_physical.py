"""A PostgreSQL cluster's own files through whole jobs: copied under load, restored, started, drilled."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.errors import UsageError
from engine.events import Kept
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.results import DrillResult
from tests.jobs.keeping import look_in
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres, started_postgres
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

BALANCED = "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history) and count(*) > 0 from pgbench_history"
"""Holds in every state that pgbench commits, and in none between two."""


@contextmanager
def _written_to(server: Postgres) -> Iterator[None]:
    """While it lasts, transactions are committed without end."""
    where = ("-h", str(server.directory), "-p", str(server.port), "-U", "postgres")
    pgbench = str(require_tool("pgbench"))
    server.psql("create database bank")
    subprocess.run([pgbench, "-i", "-q", "-s", "1", *where, "bank"], check=True, capture_output=True)
    with subprocess.Popen(
        [pgbench, "-n", "-T", "600", *where, "bank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as load:
        try:
            while server.psql("select count(*) from pgbench_history", "bank") == "0":
                pass
            yield
        finally:
            load.terminate()


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own: all of it is copied, and damaged."""
    with running_postgres() as server:
        yield server


async def test_a_cluster_copied_under_load_starts_again_and_its_damage_is_found(
    world: World, cluster: Postgres
) -> None:
    """Its files come back as a data folder that a stock server takes, consistent; a drill starts one, keeps it for who wants to look in and no
    longer, and fails where a page is spoiled."""
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "postgres", options=cluster.options(physical=True)))
    with _written_to(cluster):
        first = await world.one_backup("shop")
    with pytest.raises(UsageError, match="files of a whole server"):
        await world.engine.restore(RestoreRequest("latest:shop", into="elsewhere"))
    await _start_again(world)
    request = DrillRequest("shop", checks=(("bank", BALANCED, "t"),))
    drilled, said = await look_in(world, request, "-Atc 'select count(*) from pgbench_accounts'")
    assert (drilled.status, drilled.level) == ("passed", "server"), (drilled.steps, drilled.checks)
    assert (said, _is_gone(world, drilled)) == ("100000", "early")
    assert {"bank: indexes", "bank: damage that pg_amcheck finds"} <= {each.check for each in drilled.checks}

    table = cluster.psql(
        "create table fresh (); checkpoint; select pg_relation_filepath('pgbench_accounts')", "bank"
    )
    with (cluster.data / table).open("r+b") as file:
        file.seek(3 * 8192 + 4096)
        file.write(b"spoiled " * 512)
    second = await world.backup("shop")
    assert second.backups[0].added_bytes < second.backups[0].size_bytes / 10
    assert second.backups[0].kind == first.kind == "full", second.backups[0].notes
    found: list[str] = []
    await world.engine.diff(
        first.backup_id, second.backups[0].backup_id, lambda each: found.append(each.path)
    )
    assert [each for each in found if each.startswith("databases/")] == ["databases/bank/tables/public.fresh"]
    drilled = await world.engine.drill(dataclasses.replace(request, keep_s=0.01))
    assert drilled.status == "failed", (drilled.steps, drilled.checks)
    assert _is_gone(world, drilled) == "in time"


def _is_gone(world: World, drilled: DrillResult) -> str:
    """Asserts that nothing is left of a server that a drill kept; tells how the keeping ended, as the removal's own evidence has it."""
    kept = [each for each in world.heard if isinstance(each, Kept)][-1]
    (folder,) = parse_qs(urlsplit(shlex.split(kept.connect[0])[-1]).query)["host"]
    assert not Path(folder).exists()
    assert drilled.steps[-1].detail == "scratch gone: yes"
    removal = json.loads(Path(drilled.report).with_suffix(".removal.json").read_text(encoding="utf-8"))
    assert removal["is_gone"] is True
    return str(removal["ended"])


async def _start_again(world: World) -> None:
    """Restores the newest backup, and starts the distribution's server on it as it lies there."""
    target = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, target, ignore_errors=True)
        folder = (await world.restore("latest:shop", target / "back")) / "postgres" / "shop"
        assert sorted(each.name for each in folder.iterdir()) == ["data", "manifest.json"]
        modes = {each.stat().st_mode & 0o7777 for each in (folder / "data").rglob("*") if each.is_dir()}
        assert modes == {0o700} == {(folder / "data").stat().st_mode & 0o7777}
        assert not any((folder / "data" / "pg_notify").iterdir())
        (folder / "data").rename(target / "data")
        with started_postgres(target) as server:
            assert server.psql(BALANCED, "bank") == "t"
            check = [str(server.binaries / "pg_amcheck"), "--all", "--install-missing", "--heapallindexed"]
            where = ["-h", str(server.directory), "-p", str(server.port), "-U", "postgres"]
            subprocess.run([*check, *where], check=True)
