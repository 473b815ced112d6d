"""A drill that keeps what it restored, looked into by the line that it prints, and ended by a person."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import subprocess

from engine.events import Kept
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from tests.jobs.world import World


async def look_in(world: World, request: DrillRequest, words: str) -> tuple[DrillResult, str]:
    """Drills with `--keep`, runs the printed line with these words behind it, ends the wait; the drill's result and what the line said."""
    async with asyncio.TaskGroup() as group:
        drill = group.create_task(world.engine.drill(dataclasses.replace(request, keep_s=3600.0)))
        (kept,) = await heard_kept(world)
        done = await asyncio.to_thread(_run, f"{kept.connect[0]} {words}")
        drill.cancel()
        result = await drill
    assert done.returncode == 0, done.stderr
    gone = await asyncio.to_thread(_run, f"{kept.connect[0]} {words}")
    assert gone.returncode != 0
    return result, done.stdout.strip()


async def heard_kept(world: World) -> list[Kept]:
    """Waits until a drill of this world says that it keeps something."""
    while not (found := [each for each in world.heard if isinstance(each, Kept)]):
        world.more.clear()
        await world.more.wait()
    return found


def path_in(kept: Kept) -> str:
    """Of the file in a line for sqlite3."""
    return shlex.split(kept.connect[0])[-1]


def _run(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False, timeout=60)
