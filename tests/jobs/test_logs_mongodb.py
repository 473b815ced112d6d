"""A replica set's oplog through whole jobs, against a stand-in for mongodump: shipped by the minute, and nothing of it lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import HoldfastError, UsageError
from engine.model import logs
from engine.model.definitions import OptionValue, Source
from engine.model.requests import RestoreRequest, ShipRequest
from engine.model.shipments import ShippedLog
from tests.jobs.world import World

pytestmark = pytest.mark.slow
STAND_IN = Path(__file__).parents[1] / "fakes" / "mongodump"


@pytest.fixture
async def tool(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-in, which a source without a base uses."""
    folder = tmp_path / "tools"
    folder.mkdir()
    shutil.copy(STAND_IN, folder / "mongodump")
    (folder / "behaviour").write_text("well", encoding="ascii")
    (folder / "uri").write_text("mongodb://backup:hush@db1/?replicaSet=rs0", encoding="ascii")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    await world.add_storages("first")
    options: dict[str, OptionValue] = {"uri_from": f"file:{folder / 'uri'}", "oplog": True, "log_oplog": True}
    await world.engine.add_source(Source("shop", "mongodb", options=options))
    return folder


def _write(folder: Path, *entries: tuple[int, int]) -> None:
    (folder / "oplog.json").write_text(json.dumps(entries), encoding="ascii")


def _each_ten(begin_s: int, end_s: int) -> list[tuple[int, int]]:
    """As an idle set writes them."""
    return [(at, 1) for at in range(begin_s, end_s, 10)]


async def _ship(world: World) -> ShippedLog:
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
    return shipped


async def test_an_oplog_is_shipped_by_the_minute_and_what_it_forgot_before_is_a_gap(
    world: World, tool: Path
) -> None:
    """Each once, a minute in which nothing was written is one too; the minute that is written still is left."""
    minute = (int(SystemClock().now().timestamp()) // 60 - 10) * 60
    _write(tool, *_each_ten(minute - 295, minute + 10))
    await world.one_backup("shop")
    first = await _ship(world)
    base = (await world.engine.log_report("shop")).reaches[0].base
    assert (base.position.identity, base.position.number) == ("65" * 12, minute // 60 - 1)
    assert base.consistent_at.timestamp() == minute + 6
    assert (first.status, first.segments, first.waiting, first.warnings) == ("completed", 4, 0, ()), first
    assert first.recoverable_to == base.consistent_at
    with pytest.raises(UsageError, match="not replayed here") as refused:
        await world.engine.restore(RestoreRequest("", "/nowhere", source="shop", at=base.consistent_at))
    assert "--oplogReplay" in str(refused.value.hint)

    _write(tool, *_each_ten(minute - 295, minute + 60), *_each_ten(minute + 125, minute + 190))
    second = await _ship(world)
    assert (second.segments, second.gaps, second.waiting) == (3, (), 0)
    assert second.recoverable_to is not None
    assert second.recoverable_to.timestamp() == minute + 180
    report = await world.engine.log_report("shop")
    assert {each.storage: logs.segments_in(each.path) for each in report.reaches} == {"first": 3}

    _write(tool, *_each_ten(minute + 330, minute + 490))
    rolled = await _ship(world)
    assert (rolled.status, rolled.segments) == ("completed", 2)
    assert [(gap.first, gap.last) for gap in rolled.gaps] == [(minute // 60 + 3, minute // 60 + 5)]


async def test_an_oplog_that_cannot_be_trusted_covers_nothing_and_says_why(world: World, tool: Path) -> None:
    """Of no replica set, not to be read, and out of order: one sentence each, and nothing counts as covered."""
    _write(tool)
    with pytest.raises(HoldfastError, match="no member of a replica set"):
        await _ship(world)
    (tool / "behaviour").write_text("refused", encoding="ascii")
    with pytest.raises(HoldfastError, match=r"cannot read the oplog.*not authorized on local") as refused:
        await _ship(world)
    assert "clusterMonitor" in str(refused.value.hint)
    (tool / "behaviour").write_text("well", encoding="ascii")
    minute = (int(SystemClock().now().timestamp()) // 60 - 10) * 60
    _write(
        tool, *_each_ten(minute - 200, minute - 100), (minute - 130, 1), *_each_ten(minute - 90, minute + 10)
    )
    with pytest.raises(HoldfastError, match="out of order"):
        await _ship(world)
    state = (await world.engine.log_report("shop")).state
    assert state is not None
    assert state.covered_until is None
