"""Repositories to restore from, near and far, and a target."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.repository import repository
from engine.repository.repository import Repository
from engine.storages.registry import open_storage
from tests.fakes.crafted import Crafted
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.conftest import PASSWORD, POLYNOMIAL, QUICK


@pytest.fixture(params=["near", "far"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Repository]:
    """A repository whose packs the workers open themselves, and one whose packs are sent to them."""
    if request.param == "far":
        yield await repository.create(
            MemoryStorage(), PASSWORD, clock=LoopClock(), polynomial_=POLYNOMIAL, kdf=QUICK
        )
        return
    async with open_storage("local", {"path": str(tmp_path / "repository")}, clock=LoopClock()) as storage:
        yield await repository.create(storage, PASSWORD, clock=LoopClock(), polynomial_=POLYNOMIAL, kdf=QUICK)


@pytest.fixture
def crafted(opened: Repository) -> Crafted:
    """Makes snapshots in it."""
    return Crafted(opened)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where it is restored to; what lies beside it must stay as it is."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "precious").write_text("precious")
    return tmp_path / "target"
