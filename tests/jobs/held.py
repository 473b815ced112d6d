"""Kinds of storage that try everybody's patience: one that takes no pack until it is let go, and one that never answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.storages.base import Kind, Opening, OpenStorage
from engine.storages.local import open_local
from tests.fakes.faulty_storage import Fault, FaultyStorage, Gate

KIND = "held"
SILENT = "silent"
GATES: list[Gate] = []
"""Of the storages that were opened, the newest last."""


@asynccontextmanager
async def open_held(opening: Opening) -> AsyncIterator[OpenStorage]:
    """Takes the options of kind `local`."""
    async with open_local(opening) as storage:
        held = FaultyStorage(storage)
        GATES.append(held.hold(Fault(at=1, methods={"put"}, kinds={Kind.PACK})))
        yield held


@asynccontextmanager
async def open_silent(opening: Opening) -> AsyncIterator[OpenStorage]:
    """Is asked again and again."""
    async with open_local(opening) as storage:
        await asyncio.Event().wait()
        yield storage
