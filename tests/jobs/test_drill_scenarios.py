"""Drills of the days that nobody wants: the main storage is gone, the catalog is gone, nothing is left but a sheet of paper."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import UsageError
from engine.model.backup import Proof
from engine.model.definitions import OptionValue, Source, Storage
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from engine.model.secret import Secret
from engine.storages.registry import open_storage
from tests.jobs.world import World
from tests.servers.ceph import Ceph
from tests.servers.restic import PASSWORD
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow


@pytest.fixture
async def shop(world: World) -> Path:
    """A SQLite database, the source `shop` of it, backed up three times to two storages."""
    path = world.directory / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.execute("INSERT INTO wares VALUES ('one')")
    await world.add_storages("main", "other")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(path)}))
    for _ in range(3):
        await world.one_backup("shop", to=("main", "other"))
    return path


def _failed(result: DrillResult) -> list[str]:
    return [each.check for each in result.checks if not each.passed]


async def test_without_the_main_storage_the_other_one_serves(world: World, shop: Path) -> None:
    """And the main one is not so much as looked at; where it is the only one the drill says so."""
    world.place("main").rename(world.place("burnt"))
    result = await world.engine.drill(DrillRequest("shop", scenario="main-storage-gone"))
    assert (result.status, result.scenario, result.level) == ("passed", "main-storage-gone", "server")
    assert "main is not touched" in result.steps[0].detail
    assert not world.place("main").exists()
    assert (await world.engine.show_backup("latest:shop")).proof is Proof.DRILLED
    world.place("burnt").rename(world.place("main"))
    await world.one_backup("shop", to=("main",))
    alone = await world.engine.drill(DrillRequest("shop", scenario="main-storage-gone"))
    assert (alone.status, _failed(alone)) == ("failed", ["storages besides the main one"])
    with pytest.raises(UsageError, match="is gone in this scenario"):
        await world.engine.drill(DrillRequest("shop", scenario="main-storage-gone", storage="main"))


async def test_without_the_catalog_all_comes_back_or_it_is_told(world: World, shop: Path) -> None:
    """The house burnt down, the sheet of paper was with the lawyer; a backup that only the catalog knew of is lost."""
    shop.unlink()
    result = await world.engine.drill(DrillRequest("shop", scenario="kit-only"))
    assert (result.status, result.level, _failed(result)) == ("passed", "server", [])
    found = {each.check: each.actual for each in result.checks}
    assert found["backups found again"] == "3"
    require_tool("restic")
    assert found["the backup in stock restic's list"] == "listed"
    assert result.steps[-1].detail == "scratch home gone: yes"
    assert not list(world.engine.home.cache.glob("holdfast-drill-*"))
    told = Path(result.report).read_text(encoding="utf-8")
    assert PASSWORD not in told
    assert json.loads(told)["drill"]["scenario"] == "kit-only"
    good = await world.engine.drill(DrillRequest("shop", scenario="catalog-gone", storage="other"))
    assert (good.status, _failed(good)) == ("passed", [])
    oldest = (await world.engine.backups())[-1]
    (lost,) = [each.snapshot_id for each in oldest.copies if each.storage == "other"]
    (world.place("other") / "snapshots" / lost).unlink()
    result = await world.engine.drill(DrillRequest("shop", scenario="catalog-gone", storage="other"))
    assert (result.status, _failed(result)) == ("failed", ["backups found again"])
    assert not list(world.engine.home.cache.glob("holdfast-drill-*"))


@pytest.mark.usefixtures("shop")
async def test_a_blind_drill_takes_any_backup_and_says_which(world: World) -> None:
    """Nobody can prepare the one that will be asked for; whoever doubts the pick can make it again."""
    picked = [
        await world.engine.drill(DrillRequest("shop", scenario="blind", level="bytes", seed=seed))
        for seed in (1, 1, 0)
    ]
    assert {each.status for each in picked} == {"passed"}
    assert picked[0].backup_id == picked[1].backup_id
    assert len({each.backup_id for each in picked}) > 1
    assert "one of 3, seed 1" in picked[0].steps[0].detail
    assert json.loads(Path(picked[2].report).read_text(encoding="utf-8"))["seed"] == 0


async def test_a_scenario_that_cannot_be_is_refused(world: World) -> None:
    """Before anything is begun."""
    for request in (
        DrillRequest("shop", scenario="flood"),
        DrillRequest("shop", scenario="blind", backup="latest:shop"),
        DrillRequest("shop", scenario="kit-only", level="database"),
    ):
        with pytest.raises(UsageError, match=r"scenario|blind"):
            await world.engine.drill(request)
    assert not list(await world.engine.evidence())


async def test_a_tree_comes_back_from_the_kit(world: World) -> None:
    """Files as well as databases."""
    root = world.directory / "tree"
    root.mkdir()
    (root / "file").write_text("content", encoding="ascii")
    await world.add_storages("first")
    await world.add_files("tree", root)
    await world.one_backup("tree")
    result = await world.engine.drill(DrillRequest("tree", scenario="kit-only"))
    assert (result.status, result.level) == ("passed", "files")


async def test_a_kit_of_a_bucket_is_enough_for_a_drill_and_for_stock_restic(
    world: World, shop: Path, ceph: Ceph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and place come from the sheet alone."""
    require_tool("restic")
    for name in [each for each in os.environ if each.startswith(("AWS_", "RESTIC_"))]:
        monkeypatch.delenv(name)
    bucket = f"kit-{secrets.token_hex(6)}"
    for name, value in (("id", ceph.access_key), ("key", ceph.secret_key)):
        (world.directory / name).write_text(value, encoding="ascii")
    options: dict[str, OptionValue] = {
        "bucket": bucket,
        "endpoint": ceph.endpoint,
        "access_key_id_ref": f"file:{world.directory}/id",
        "secret_key_ref": f"file:{world.directory}/key",
    }
    password = f"file:{world.directory}/password"
    keys = {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}
    async with open_storage("s3", options, clock=SystemClock(), secrets=keys) as opened:
        await opened.create()
    await world.engine.add_storage(Storage("bucket", "s3", options, password))
    await world.one_backup("shop", to=("bucket",))
    result = await world.engine.drill(DrillRequest("shop", scenario="kit-only", storage="bucket"))
    assert (result.status, _failed(result)) == ("passed", [])
    found = {each.check: each.actual for each in result.checks}
    assert found["the backup in stock restic's list"] == "listed"
    told = Path(result.report).read_text(encoding="utf-8")
    assert (ceph.secret_key in told, PASSWORD in told) == (False, False)
