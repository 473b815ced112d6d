"""The world that tests of whole jobs happen in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.repository import lock, repository
from engine.service import repositories
from tests.fakes.small_repositories import QUICK
from tests.jobs.world import World, open_world

_CONFIRM_S = 0.02
"""Enough to see another's lock on this machine's disk."""


@pytest.fixture(autouse=True)
def quick_repositories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repositories whose key costs no work and whose locks are sure of themselves soon: each job here pays for both.

    What these are for is proved by the tests of keys and locks; processes of the command line make and lock as they do for everybody.
    """
    monkeypatch.setattr(lock, "CONFIRM_S", _CONFIRM_S)
    for module in (repository, repositories):
        monkeypatch.setattr(module, "Kdf", lambda: QUICK)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh home, without hosts, sources or storages."""
    async with open_world(tmp_path / "world") as opened:
        yield opened
