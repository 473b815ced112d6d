"""A limit on what a storage may hold, set by a person: a backup that runs wild must not take the room of all others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from engine.errors import StorageFullError
from engine.storages.base import Buffer, Key, Kind, OpenStorage, Space, Wrapper, count_bytes

_GIB: Final = 1 << 30


class QuotaStorage(Wrapper):
    """Refuses packs beyond a limit; index files, snapshots and locks always pass, so that what is there stays in order.

    What lies there is listed once, before the first pack is written, and counted on from there: what others write meanwhile is not seen.
    """

    __slots__ = ("_limit_bytes", "_turn", "_used_bytes")

    def __init__(self, inner: OpenStorage, limit_bytes: int) -> None:
        super().__init__(inner)
        self._limit_bytes = limit_bytes
        self._used_bytes: int | None = None
        self._turn = asyncio.Lock()

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes the object where it fits. Raises: StorageFullError."""
        if key.kind is Kind.PACK:
            await self._take(count_bytes(parts))
        await self._inner.put(key, parts)

    async def delete(self, key: Key) -> None:
        """Removes the object; what is used is counted anew before the next pack."""
        if key.kind is Kind.PACK:
            self._used_bytes = None
        await self._inner.delete(key)

    async def space(self) -> Space:
        """What is left of the limit, or of the storage where that is less."""
        inner = await self._inner.space()
        async with self._turn:
            left = max(self._limit_bytes - await self._used(), 0)
        free = left if inner.free_bytes is None else min(left, inner.free_bytes)
        total = self._limit_bytes if inner.total_bytes is None else min(self._limit_bytes, inner.total_bytes)
        return Space(free, total)

    async def _take(self, size_bytes: int) -> None:
        async with self._turn:
            used = await self._used()
            if used + size_bytes > self._limit_bytes:
                raise StorageFullError(
                    f"{self.location} holds {used / _GIB:.2f} GiB of packs, and may hold {self._limit_bytes / _GIB:.2f} GiB",
                    hint="forget and prune, or raise its --max-size by holdfast storage edit",
                )
            self._used_bytes = used + size_bytes

    async def _used(self) -> int:
        if self._used_bytes is None:
            async with aclosing(self._inner.list(Kind.PACK)) as listing:
                self._used_bytes = sum([each.size_bytes async for each in listing])
        return self._used_bytes
