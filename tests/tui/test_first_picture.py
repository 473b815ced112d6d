"""The first picture, which stands before Textual is there: what it shows, and what becomes of the terminal meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.job import Change
from tests.jobs.world import World
from tests.tui.homes import copy_home
from tests.tui.terminal import open_terminal

pytestmark = pytest.mark.slow


def test_keys_that_are_typed_before_anything_is_seen_are_answered_in_order(
    made_home: Path, tmp_path: Path
) -> None:
    """Whoever knows the console does not wait for it."""
    with open_terminal(copy_home(made_home, tmp_path / "home")) as terminal:
        terminal.press("jjjk")
        terminal.sees("> source-02", "filter")


async def test_what_changed_after_the_mark_is_told_though_nobody_watched_then(
    world: World, tmp_path: Path
) -> None:
    """Between what was read for the first picture and the first look at what changed, anything may happen."""
    mark = await world.engine.mark()
    async with world.again() as other:
        await other.add_files("tree", tmp_path)
    assert await anext(aiter(world.engine.watch(0, mark))) is Change.STATE
