"""A replica set's oplog through whole jobs, against a stand-in for mongodump: shipped by the minute, and nothing of it lost."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import HoldfastError, RestoreError, UsageError
from engine.jobs import kit_databases
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
        await world.engine.restore(RestoreRequest("", into="then", source="shop", at=base.consistent_at))
    assert "--to DIR" in str(refused.value.hint)

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


async def test_a_dump_and_the_oplog_up_to_an_instant_lie_in_a_folder_as_mongorestore_takes_them(
    world: World, tool: Path, tmp_path: Path
) -> None:
    """Whole seconds, with all that was done in that one, or just before it; the two commands are the ones that are told, word for word."""
    minute = (int(SystemClock().now().timestamp()) // 60 - 10) * 60
    _write(tool, *_each_ten(minute - 295, minute + 10))
    await world.one_backup("shop")
    late = [(minute + 70, 1), (minute + 70, 2), (minute + 71, 1), (minute + 140, 1)]
    _write(tool, *_each_ten(minute - 295, minute + 60), *late, (minute + 185, 1))
    await _ship(world)
    shutil.copy(STAND_IN.with_name("mongorestore"), tool)
    at = datetime.datetime.fromtimestamp(minute + 70.5, datetime.UTC)
    request = RestoreRequest("", str(tmp_path / "it's there"), source="shop", at=at)
    for wrong, words in (
        (dataclasses.replace(request, at=None, at_transaction="7"), "by its time alone"),
        (dataclasses.replace(request, at=at + datetime.timedelta(hours=1)), "log ends at"),
    ):
        with pytest.raises(HoldfastError, match=words):
            await world.engine.restore(wrong)
    assert not Path(request.to).exists()
    before = _each_ten(minute - 295, minute + 60)
    for number, (asked, expected) in enumerate(
        (
            (request, [*before, *late[:2]]),
            (dataclasses.replace(request, is_before=True), before),
            (dataclasses.replace(request, at=None), [*before, *late]),
        )
    ):
        done = await world.engine.restore(dataclasses.replace(asked, to=f"{request.to}{number}"))
        assert (done.status, "untested against a real server" in done.note) == ("completed", True), done
        said = done.note.partition("in this order: ")[2].rpartition(". Written")[0].split("; ")
        ran = [
            subprocess.run(["sh", "-c", each], capture_output=True, text=True, check=True) for each in said
        ]
        assert len(ran) == 2
        applied = [tuple(int(each) for each in line.split()) for line in ran[1].stdout.splitlines()]
        assert applied == [each for each in expected if each[0] >= minute]
    with pytest.raises(RestoreError, match="something at"):
        await world.engine.restore(dataclasses.replace(request, to=f"{request.to}0"))
    _type_the_kit(await world.engine.show_source("shop"), Path(f"{request.to}0/mongodb/shop"), late)


def _type_the_kit(source: Source, folder: Path, entries: list[tuple[int, int]]) -> None:
    """Without holdfast: what stock restic restored, and the kit's lines, word for word but for what a person fills in."""
    minutes = [each[0] // 60 for each in entries]
    for number in range(min(minutes) - 1, max(minutes) + 1):
        piece = folder / f"logs/{'65' * 12}/oplog-0" / f"{number * 60}-{number * 60 + 60}.bson"
        piece.parent.mkdir(parents=True, exist_ok=True)
        piece.write_bytes(b"".join(_entry(*each) for each in entries if each[0] // 60 == number))
    (folder / "replay/oplog.bson").unlink()
    (folder / "replay").rmdir()
    text = kit_databases.lines(source)
    assert text.count("mongorestore --oplogReplay") == 2
    lines = text[text.rindex("  cd ") :].replace(kit_databases.NUMBER, str(minutes[0] - 1))
    stop = datetime.datetime.fromtimestamp(entries[2][0], datetime.UTC)
    lines = lines.replace(kit_databases.STOP, f"{stop:%Y-%m-%d %H:%M:%S}")
    lines = lines.replace(f"cd {kit_databases.FOLDER}/mongodb/shop", f"cd {shlex.quote(str(folder))}")
    lines = lines.replace("mongorestore ", "mongorestore --uri URI ")
    done = subprocess.run(["sh", "-ec", lines], capture_output=True, text=True, check=True)
    assert [tuple(int(each) for each in line.split()) for line in done.stdout.splitlines()] == entries[:2]


def _entry(seconds: int, increment: int) -> bytes:
    body = b"\x11ts\0" + struct.pack("<II", increment, seconds)
    return struct.pack("<i", len(body) + 5) + body + b"\0"
