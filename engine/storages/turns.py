"""One writer of an object after the other, where a server cannot keep two of them apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from engine.storages.base import Key


class Turns:
    """A turn for each object that is being written. Writers in other processes know nothing of it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def of(self, key: Key) -> AsyncIterator[None]:
        """Held by one writer of the object at a time, in the order in which they asked."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
