"""The world that tests of whole jobs happen in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jobs.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh home, without hosts, sources or storages."""
    async with open_world(tmp_path / "world") as opened:
        yield opened
