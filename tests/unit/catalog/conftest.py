"""A catalog in a fresh home, and things to put into it."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalog lies."""
    return tmp_path / "catalog.db"


@pytest.fixture
async def catalog(path: Path, clock: FakeClock) -> AsyncIterator[Catalog]:
    """An open, empty catalog that waits for nobody."""
    async with Catalog.open(path, clock, timeout_s=0.05) as opened:
        yield opened


@pytest.fixture
def day() -> datetime.timedelta:
    """One day."""
    return datetime.timedelta(days=1)
