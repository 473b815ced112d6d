"""Homes that a console in a terminal opens: real sources, a real storage, made once for a module of tests."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from engine.model.definitions import LOCAL_HOST, Source
from tests.jobs.world import World, open_world

SOURCES = 60


def make_home(directory: Path) -> Path:
    """A home with one storage and many sources, of which `source-00` is backed up as slowly as a file `go` beside the home is missing."""

    async def make() -> Path:
        async with open_world(directory) as world:
            await _fill(world)
            return world.engine.home.directory

    return asyncio.run(make())


def copy_home(home: Path, target: Path) -> Path:
    """The same home again, for a test that changes it."""
    shutil.copytree(home, target)
    return target


async def _fill(world: World) -> None:
    (world.directory / "tree").mkdir()
    (world.directory / "tree" / "file").write_text("content")
    await world.add_storages("main")
    go = world.directory / "go"
    slow = f"until [ -e {go} ]; do head -c 100000 /dev/urandom; sleep 0.1; done"
    await world.engine.add_source(
        Source("source-00", "command", LOCAL_HOST, {"run": slow, "filename": "stream"})
    )
    for number in range(1, SOURCES):
        await world.add_files(f"source-{number:02}", world.directory / "tree")
