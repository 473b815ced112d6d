"""Lanes: one for each repository that a session feeds. A lane uploads packs, enters them in its index, and at the end writes the snapshot.

The order is restic's: packs, then index, then snapshot. Queues are bounded, so that a slow storage stops the reading and not the memory.
A lane whose storage fails is dropped from the session with its reason; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import HoldfastError, LockLostError
from engine.format import index as index_format
from engine.format import pack
from engine.format.allocator import give_back
from engine.format.snapshot import Snapshot, encode
from engine.repository import wholeness
from engine.repository.folder_memory import FolderMemory
from engine.repository.lock import HeldLock
from engine.repository.packing import Loose, merge_loose
from engine.repository.repository import Repository
from engine.storages.base import Buffer, Key, Kind

UPLOADS = 2
"""Packs on their way at once. Whoever has the next one waits with it."""
INDEX_INTERVAL_S = 120.0
"""An index file is written at least this often, so that an interrupted backup keeps what it stored (restic: ten minutes)."""


@dataclass(slots=True)
class LaneStatistics:
    """What this session added to one repository."""

    data_blobs: int = 0
    tree_blobs: int = 0
    added_bytes: int = 0
    """Plain bytes of new blobs."""
    stored_bytes: int = 0
    """Bytes that the storage took for them."""
    packs: int = 0


class Lane:
    """One repository being fed. Runs on the event loop; `offer` may be awaited by many."""

    def __init__(self, repository: Repository, lock: HeldLock, clock: Clock, pack_bytes: int) -> None:
        self.repository = repository
        self.statistics = LaneStatistics()
        self.error: HoldfastError | None = None
        self._lock = lock
        self._clock = clock
        self._pack_bytes = pack_bytes
        self._sealer = repository.sealer()
        self.uploads = UPLOADS if repository.storage.traits.local_path is None else 1
        """Packs on their way at once: a disk of this machine takes one after the other as fast."""
        self._offered: deque[pack.Pack] = deque()
        self._uploading = 0
        self._is_ended = False
        self._changed = asyncio.Event()
        self._unindexed: list[bytes] = []
        """Packs that no index file names yet, each as an index file will have it."""
        self._unindexed_blobs = 0
        self._sealed_index: tuple[Key, Sequence[Buffer]] | None = None
        """An index file that may not be stored yet: storing it again under its name does no harm, and a second one would be a double."""
        self._index_ids: list[bytes] = []
        self._indexed_at = clock.monotonic()
        self._index_turn = asyncio.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether the storage still takes what it is given."""
        return self.error is None

    async def offer(self, finished: pack.Pack) -> None:
        """Hands over a pack; waits while too many are on their way. A dropped lane takes it and forgets it."""
        await self.wait_for_room()
        if not self.is_alive:
            finished.release()
            return
        self._offered.append(finished)
        self._changed.set()

    async def wait_for_room(self) -> None:
        """Waits until a pack that is offered would be on its way at once."""
        await self._wait_until(
            lambda: len(self._offered) + self._uploading < self.uploads or not self.is_alive
        )

    async def upload(self) -> None:
        """Uploads what is offered until `end`. Several of these run at once."""
        while True:
            await self._wait_until(lambda: bool(self._offered) or self._is_ended)
            if not self._offered:
                return
            finished = self._offered.popleft()
            self._uploading += 1
            self._changed.set()
            try:
                if self.is_alive:
                    await self._store(finished)
            except HoldfastError as error:
                self.drop(error)
            finally:
                finished.release()
                self._uploading -= 1
                self._changed.set()

    def end(self) -> None:
        """Lets the uploading tasks end once nothing is offered any more."""
        self._is_ended = True
        self._changed.set()

    async def finish(self, loose: Sequence[Loose]) -> None:
        """Stores what was left over, waits for all uploads, and writes the index. A failure drops the lane."""
        for finished in merge_loose(loose, self._sealer, self._pack_bytes):
            await self.offer(finished)
        await self._wait_until(lambda: not self._offered and not self._uploading)
        try:
            if self.is_alive:
                await self.write_index()
        except HoldfastError as error:
            self.drop(error)

    async def commit(self, snapshot: Snapshot, memory: FolderMemory | None = None) -> str | None:
        """Writes the snapshot, last of all. Returns its id, or None where the lane is dropped by now."""
        if not self.is_alive:
            return None
        try:
            await self._lock.assert_held()
            snapshot_id = await self.repository.save_unpacked(Kind.SNAPSHOT, encode(snapshot))
        except HoldfastError as error:
            self.drop(error)
            return None
        with contextlib.suppress(OSError):
            wholeness.record(self.repository, snapshot_id, self._index_ids, memory)
        return snapshot_id

    async def write_index(self) -> None:
        """Writes an index file for the packs that have none yet.

        Raises: LockLostError: a prune may have deleted them, so nothing must point at them; StorageError.
        """
        async with self._index_turn:
            self._unindexed_blobs = 0
            self._indexed_at = self._clock.monotonic()
            while self._sealed_index is not None or self._unindexed:
                await self._lock.confirmed()
                await self._lock.assert_held()
                key, parts = self._sealed_index or await self._seal_index()
                await self.repository.storage.put(key, parts)
                self._sealed_index = None
                self._index_ids.append(bytes.fromhex(key.name))
                # Fifty thousand blobs' text and its frames lie scattered about the heap by now.
                give_back()

    async def _seal_index(self) -> tuple[Key, Sequence[Buffer]]:
        count = len(self._unindexed)
        name, parts = await self.repository.seal_unpacked(*index_format.parts(self._unindexed[:count]))
        del self._unindexed[:count]
        self._sealed_index = Key(Kind.INDEX, name), parts
        return self._sealed_index

    async def rescue(self) -> None:
        """After an interruption, or after it was dropped: lets the uploads under way end, and indexes what the storage took.

        Raises: as `write_index`.
        """
        self._give_up_offered()
        await self._wait_until(lambda: not self._uploading)
        await self.write_index()

    async def _store(self, finished: pack.Pack) -> None:
        await self._lock.confirmed()
        await self.repository.storage.put(Key(Kind.PACK, finished.id.hex()), finished.parts)
        self.repository.index.add_pack(finished.id, finished.entries)
        self._count(finished)
        json = finished.index_json or index_format.encode_pack(finished.id, finished.entries)
        self._unindexed.append(json)
        self._unindexed_blobs += len(finished.entries)
        is_due = self._clock.monotonic() - self._indexed_at >= INDEX_INTERVAL_S
        if is_due or self._unindexed_blobs >= index_format.FULL_BLOBS:
            await self.write_index()

    def _count(self, finished: pack.Pack) -> None:
        statistics = self.statistics
        statistics.packs += 1
        statistics.stored_bytes += finished.size_bytes
        entries = finished.entries
        if isinstance(entries, pack.UniformEntries):
            statistics.added_bytes += entries.plain_bytes
            statistics.data_blobs += len(entries) if entries.type == "data" else 0
            statistics.tree_blobs += len(entries) if entries.type == "tree" else 0
            return
        for entry in entries:
            plain = entry.uncompressed_length or entry.length - 32
            statistics.added_bytes += plain
            if entry.type == "data":
                statistics.data_blobs += 1
            else:
                statistics.tree_blobs += 1

    def drop(self, error: HoldfastError) -> None:
        """Gives this repository up for the session; who waits to hand over a pack goes on."""
        if isinstance(error, LockLostError):
            self._unindexed.clear()
            self._sealed_index = None
        if self.error is None:
            self.error = error
        self._give_up_offered()
        self._changed.set()

    def _give_up_offered(self) -> None:
        while self._offered:
            self._offered.popleft().release()

    async def _wait_until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
