"""A storage in memory, verified by the storages' family suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from engine import errors
from engine.storages.base import Buffer, Key, Kind, Listed, Space, Traits, check_range


class MemoryStorage:
    """Objects in a dictionary that tests may look into and change. Every method gives other tasks a turn before it takes effect."""

    def __init__(self, location: str = "memory", traits: Traits | None = None) -> None:
        self._location = location
        self._traits = traits or Traits()
        self.objects: dict[Key, bytes] = {}

    @property
    def location(self) -> str:
        """The name it was given."""
        return self._location

    @property
    def traits(self) -> Traits:
        """What it was told to be able to do."""
        return self._traits

    async def create(self) -> None:
        """Nothing needs making."""
        await asyncio.sleep(0)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Keeps a copy of the parts."""
        key.path()
        await asyncio.sleep(0)
        self.objects[key] = b"".join(parts)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Cuts the range out of the object."""
        found = await self._find(key)
        wanted = check_range(key, len(found), offset, length)
        return found[offset : offset + wanted]

    async def size(self, key: Key) -> int:
        """The object's length."""
        return len(await self._find(key))

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """What was there when the listing began."""
        await asyncio.sleep(0)
        for key, stored in tuple(self.objects.items()):
            if key.kind is kind:
                yield Listed(key, len(stored))

    async def delete(self, key: Key) -> None:
        """Forgets the object."""
        key.path()
        await asyncio.sleep(0)
        self.objects.pop(key, None)

    async def space(self) -> Space:
        """Memory does not tell."""
        await asyncio.sleep(0)
        return Space(free_bytes=None, total_bytes=None)

    async def clean(self, older_than_s: float) -> int:
        """Nothing is ever left over."""
        await asyncio.sleep(0)
        return 0

    async def _find(self, key: Key) -> bytes:
        key.path()
        await asyncio.sleep(0)
        if key not in self.objects:
            raise errors.ObjectMissingError(f"{key.path()} is not there")
        return self.objects[key]
