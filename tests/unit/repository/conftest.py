"""Repositories in memory."""

from __future__ import annotations

import pytest

from engine.model.secret import Secret
from engine.repository import repository
from engine.repository.keys import Kdf
from engine.repository.repository import Repository
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage

PASSWORD = Secret("correct horse")
QUICK = Kdf(n=16, r=1, p=1)
"""A key that is derived at once."""
POLYNOMIAL = 0x3DA3358B4DC173


@pytest.fixture
def clock() -> LoopClock:
    """Goes with the loop's time."""
    return LoopClock()


@pytest.fixture
def storage() -> MemoryStorage:
    """An empty place."""
    return MemoryStorage()


@pytest.fixture
async def opened(storage: MemoryStorage, clock: LoopClock) -> Repository:
    """A new repository on `storage`."""
    return await repository.create(storage, PASSWORD, clock=clock, polynomial_=POLYNOMIAL, kdf=QUICK)
