"""A process that backs up one generation of a growing data set, tells what it is about to do to the storage, and waits for a nod.

Run by test_kill.py: `kill_child REPOSITORY GENERATION DESCRIPTOR PROCESSES`; the descriptor is a socket.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from engine.clock import SystemClock
from engine.repository import pool
from engine.repository.packing import PackingOptions
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage, Wrapper
from engine.storages.local import LocalStorage
from tests.fakes.small_repositories import Small, files
from tests.fakes.tree_feed import Made, directories

KEPT_FILES = 20
NEW_FILES = 70
LARGE_BYTES = 700_000
PACKING = PackingOptions(pack_bytes=24 << 10)


def generation(number: int) -> list[Made]:
    """What is backed up as that generation: some files that stay, some that are new, and a long one that is new now and then."""
    stays = files(KEPT_FILES, seed=0, size_bytes=5_000)
    new = [
        Made(f"srv/new{number:04}/{at:02}", each.content)
        for at, each in enumerate(files(NEW_FILES, seed=1 + number, size_bytes=3_000))
    ]
    large = files(1, seed=1_000_000 + number // 5, size_bytes=LARGE_BYTES)[0].content
    return directories(*stays, *new, Made("srv/dump.sql", large, mtime_s=number // 5))


class QuickClock(SystemClock):
    """The machine's clock, but two minutes pass between looks: so index files are written now and then, and not only at the end."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def monotonic(self) -> float:
        """Later than the last time."""
        self._ahead_s += 12.0
        return super().monotonic() + self._ahead_s


class ToldStorage(Wrapper):
    """Tells of each call before it and after it, one line each, and goes on when it is nodded to."""

    def __init__(self, inner: OpenStorage, descriptor: int) -> None:
        super().__init__(inner)
        self._descriptor = descriptor

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Tells of a write."""
        self._tell("before", "put", key)
        await self._inner.put(key, parts)
        self._tell("after", "put", key)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Tells of a read."""
        self._tell("before", "get", key)
        return await self._inner.get(key, offset, length)

    async def size(self, key: Key) -> int:
        """Tells of a question."""
        self._tell("before", "size", key)
        return await self._inner.size(key)

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Tells of a listing."""
        self._tell("before", "list", Key(kind))
        async for listed in self._inner.list(kind):
            yield listed

    async def delete(self, key: Key) -> None:
        """Tells of a removal."""
        self._tell("before", "delete", key)
        await self._inner.delete(key)
        self._tell("after", "delete", key)

    def _tell(self, when: str, method: str, key: Key) -> None:
        os.write(self._descriptor, f"{when} {method} {key.kind.value}\n".encode())
        os.read(self._descriptor, 1)


async def _main(repository: Path, number: int, descriptor: int, *, has_processes: bool) -> None:
    inner = LocalStorage(repository, SystemClock())
    storage = ToldStorage(inner, descriptor)
    async with AsyncExitStack() as stack:
        processes = (
            await stack.enter_async_context(pool.Processes.start(is_early=True)) if has_processes else None
        )
        await Small(generation(number), PACKING, clock=QuickClock()).run(storage, processes)
    inner.close()
    os.write(descriptor, b"end\n")


if __name__ == "__main__":
    asyncio.run(
        _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), has_processes=sys.argv[4] == "1")
    )
