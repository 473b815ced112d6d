"""A kind of storage that has little room: a local one behind the fake that is full after so many bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.storages.base import Opening, OpenStorage
from engine.storages.local import open_local
from tests.fakes.faulty_storage import FullStorage

KIND = "cramped"
ROOM_BYTES = 200_000
"""Enough for the files of a new repository, too little for what the tests back up."""


@asynccontextmanager
async def open_cramped(opening: Opening) -> AsyncIterator[OpenStorage]:
    """Takes the options of kind `local`."""
    async with open_local(opening) as storage:
        yield FullStorage(storage, ROOM_BYTES)
