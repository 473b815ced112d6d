"""What the tests of prune, repair and copy share: a repository with waste in it, and what must hold of it whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import HoldfastError
from engine.repository import check, lock
from engine.repository.check import CheckOptions
from engine.repository.lock import HeldLock
from engine.repository.reader import Trees, walk
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, OpenStorage
from tests.damaged import building
from tests.damaged.building import file, folder, text
from tests.fakes.faulty_storage import Fault, FaultyStorage
from tests.fakes.memory_storage import MemoryStorage

Work = Callable[[Repository, HeldLock], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Wasteful:
    """Objects of a repository whose packs are half unused, with packs in no index, small index files and a blob that lies twice."""

    objects: dict[Key, bytes]
    snapshots: tuple[str, ...]
    unwanted: str
    """A further snapshot, to be forgotten."""

    def storage(self) -> MemoryStorage:
        """A fresh copy."""
        storage = MemoryStorage()
        storage.objects = dict(self.objects)
        return storage


async def wasteful(clock: Clock) -> Wasteful:
    """Makes one."""
    made = await building.builder(clock)
    size = len(text("a"))
    blobs = {letter: made.data(text(letter)) for letter in "abcdefgh"}
    inner = made.tree(file("a", size, blobs["a"], inode=1), file("c", size, blobs["c"], inode=2))
    first = made.tree(folder("srv", inner))
    second = made.tree(file("e", size, blobs["e"], inode=3), folder("srv", inner))
    unwanted = made.tree(file("g", size, blobs["g"], inode=4))
    await made.pack(("data", blobs["a"]), ("data", blobs["b"]))
    await made.pack(("data", blobs["c"]), ("data", blobs["d"]), ("data", blobs["g"]))
    await made.index()
    made.indexed.clear()
    await made.pack(("data", blobs["e"]), ("data", blobs["f"]))
    await made.pack(("data", blobs["e"]), ("data", blobs["h"]))
    await made.pack(*(("tree", each) for each in (inner, first, second, unwanted)))
    await made.index()
    await made.pack(("data", blobs["h"]))
    kept = (await made.snapshot(first, 1), await made.snapshot(second, 2))
    last = await made.snapshot(unwanted, 3)
    return Wasteful(dict(made.storage.objects), kept, last)


async def run_locked(storage: OpenStorage, clock: Clock, work: Work, *, exclusive: bool = True) -> None:
    """Opens the repository and works under a lock, as a process does that may die on the way."""
    opened = await building.reopen(storage, clock)
    async with lock.hold(opened, exclusive=exclusive, clock=clock) as held:
        await work(opened, held)


async def attempt(inner: MemoryStorage, fault: Fault, clock: Clock, work: Work) -> None:
    """Works until it is done or the fault stops it, and leaves what the next process finds: the locks aside, which a person removes."""

    async def whole() -> FaultyStorage:
        storage = FaultyStorage(inner, fault, victim=asyncio.current_task())
        with suppress(HoldfastError, asyncio.CancelledError):
            await run_locked(storage, clock, work)
        return storage

    async with asyncio.TaskGroup() as group:
        task = group.create_task(whole())
    await task.result().restore_power(brings_back_deleted=fault.at % 2 == 0)
    for name in names(inner, Kind.LOCK):
        del inner.objects[Key(Kind.LOCK, name)]


async def contents(storage: OpenStorage, clock: Clock, snapshot_id: str) -> dict[bytes, bytes]:
    """Every file of a snapshot with its bytes, as a restore would give them. Raises: DamagedError."""
    opened = await building.reopen(storage, clock)
    snapshot = await opened.load_snapshot(snapshot_id)
    await opened.load_index()
    found = {}
    async for visited in walk(Trees(opened), snapshot.tree):
        pieces = [await opened.load_blob("data", each) for each in visited.node.content or ()]
        found[visited.path] = b"".join(pieces)
    return found


async def assert_whole(storage: OpenStorage, clock: Clock) -> None:
    """No damage anywhere."""
    opened = await building.reopen(storage, clock)
    result = await check.check(opened, CheckOptions(is_reading_data=True))
    assert list(result.damaged) == []


def names(storage: MemoryStorage, kind: Kind) -> set[str]:
    """What lies there of that kind."""
    return {key.name for key in storage.objects if key.kind is kind}
