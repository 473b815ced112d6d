"""Storages whose repositories were made with different chunker polynomials, as one that another home made and this one took in."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine import events
from engine.model.definitions import Source
from engine.model.requests import CopyRequest
from tests.jobs.world import World, open_world
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow


async def test_storages_that_cut_in_different_ways_are_fed_by_one_reading_and_one_cutting(
    world: World, restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """A disk from another home must not make each backup store everything again, nor be spoiled by it."""
    async with open_world(tmp_path / "other") as other:
        await other.add_storages("far")
        other.place("far").rename(world.directory / "taken")
    await world.add_storages("near")
    world.place("far").symlink_to(world.directory / "taken")
    await world.add_storages("far")
    assert any("far cuts files in another way" in message for message in warned(world))
    content = random.Random(5).randbytes(5 << 20)
    (world.directory / "large").write_bytes(content)
    counted = world.directory / "readings"
    await world.engine.make_default_storage("near")
    run = f"echo x >>{counted}; cat {world.directory}/large"
    await world.engine.add_source(Source("dump", "command", options={"run": run, "filename": "dump"}))
    first = (await world.backup("dump", to=("far", "near"))).backups[0]
    assert counted.read_text() == "x\n"
    assert first.added_bytes > len(content)
    again = (await world.backup("dump", to=("near", "far"))).backups[0]
    assert again.added_bytes < 100_000
    assert world.restic(restic_newest, "far").dump("latest", "/command/dump/dump") == content
    alone = (await world.backup("dump", to=("far",))).backups[0]
    assert alone.added_bytes > len(content) // 2
    copied = await world.engine.copy(CopyRequest("far", "near", (alone.backup_id,)))
    assert "nothing is cut anew" in copied.warnings[0]
    assert copied.copied_bytes > len(content) // 2


def warned(world: World) -> list[str]:
    """What a person was told."""
    return [each.message for each in world.heard if isinstance(each, events.Warned)]
