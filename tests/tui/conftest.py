"""What tests of the console begin with: a world of real sources and storages, and a person at the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jobs.conftest import quick_repositories as quick_repositories
from tests.jobs.world import World, open_world
from tests.tui.seat import Seat, open_console


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh home, without hosts, sources or storages."""
    async with open_world(tmp_path / "world") as opened:
        yield opened


@pytest.fixture
async def seat(world: World) -> AsyncIterator[Seat]:
    """A console on that home."""
    async with open_console(world.engine) as opened:
        yield opened
