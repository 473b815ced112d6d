"""Lanes: one for each repository that a session feeds. A lane uploads packs, enters them in its index, and at the end writes the snapshot.

The order is restic's: packs, then index, then snapshot. Queues are bounded, so that a slow storage stops the reading and not the memory.
Where there are several lanes, the fastest sets the pace: the packs of one that holds the others up go to a buffer on disk (spill.py), from
where it takes them as it can. When that is full, the lane that is furthest behind is dropped. A lane whose storage fails is dropped from the
session with its reason; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import HoldfastError, InterruptedJobError, LockLostError, StorageBehindError
from engine.events import Emit, Noted, Warned, ignore
from engine.format import index as index_format
from engine.format import pack
from engine.format.allocator import give_back
from engine.format.snapshot import Snapshot, encode
from engine.repository import wholeness
from engine.repository.folder_memory import FolderMemory
from engine.repository.lock import HeldLock
from engine.repository.packing import Loose, merge_loose
from engine.repository.repository import Repository
from engine.repository.spill import HeldUp, Spill, Spilled
from engine.storages.base import Buffer, Key, Kind

UPLOADS = 2
"""Packs on their way at once. Whoever has the next one waits with it."""
_LOOK_S = 0.05
"""How often at least a pack that waits for room looks whether the others wait for it."""
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
        self._uploading_bytes = 0
        self._loose_packs = 0
        """Packs that were made of what was left over, and that are still needed."""
        self._spill: Spill | None = None
        self._spilled: deque[Spilled] = deque()
        self._spilling = 0
        self._held_up = HeldUp()
        self._others: Sequence[Lane] = ()
        self._emit: Emit = ignore
        self._is_told_behind = False
        self._uploaders: list[asyncio.Task[None]] = []
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

    @property
    def is_behind(self) -> bool:
        """Whether packs of it wait in the buffer."""
        return bool(self._spilled) or self._spilling > 0

    @property
    def is_settled(self) -> bool:
        """Whether its storage has all that it was given."""
        return not self._offered and not self._uploading and not self.is_behind

    @property
    def waiting_bytes(self) -> int:
        """What it was given and its storage does not have yet, but for what is being written to the buffer."""
        offered_bytes = sum(each.size_bytes for each in self._offered)
        return offered_bytes + self._uploading_bytes + self._spilled_bytes

    def join(self, lanes: Sequence[Lane], spill: Spill | None, emit: Emit) -> None:
        """Makes it one of these, which share a buffer. A lane that joins none, or has no buffer, stops the feeding while its storage is slow."""
        self._others = [lane for lane in lanes if lane is not self]
        self._spill = spill if self._others else None
        self._emit = emit

    def start(self, group: asyncio.TaskGroup) -> None:
        """Starts the uploading, which lasts until `end`."""
        self._uploaders = [group.create_task(self.upload()) for _ in range(self.uploads)]

    async def offer(self, finished: pack.Pack) -> None:
        """Hands over a pack; waits while too many are on their way, unless the others wait for this lane: then it goes to the buffer.

        On return its parts are still needed, until it is released. A dropped lane takes it and forgets it.
        """
        while self.is_alive and not self._has_room():
            if self._holds_up() and await self._put_aside(finished):
                return
            await self._wait_for_room()
        if not self.is_alive:
            finished.release()
            return
        self._offered.append(finished)
        self._changed.set()

    async def upload(self) -> None:
        """Uploads what is offered, and then what waits in the buffer, until `end`. Several of these run at once."""
        while True:
            await self._wait_until(lambda: bool(self._offered or self._spilled) or self._is_ended)
            if self._offered:
                finished = self._offered.popleft()
                await self._upload(finished.size_bytes, self._store_offered(finished))
            elif self._spilled:
                spilled = self._spilled.popleft()
                await self._upload(spilled.size_bytes, self._store_spilled(spilled))
            else:
                return

    async def _upload(self, size_bytes: int, storing: Coroutine[None, None, None]) -> None:
        self._uploading += 1
        self._uploading_bytes += size_bytes
        self._changed.set()
        try:
            await storing
        except HoldfastError as error:
            self.drop(error)
            if (
                self._others
            ):  # who would wait with them for another that is asked again for a quarter of an hour
                self._cancel_uploads()
        finally:
            self._uploading -= 1
            self._uploading_bytes -= size_bytes
            self._changed.set()

    async def _store_offered(self, finished: pack.Pack) -> None:
        try:
            if self.is_alive:
                await self._store(finished)
        finally:
            finished.release()

    async def _store_spilled(self, spilled: Spilled) -> None:
        assert self._spill is not None
        try:
            if self.is_alive:
                await self._store(await self._spill.read(spilled, self.repository.master))
        finally:
            self._spill.discard([spilled])

    def end(self) -> None:
        """Lets the uploading tasks end once nothing is offered any more."""
        self._is_ended = True
        self._changed.set()

    async def finish(self, loose: Sequence[Loose]) -> None:
        """Stores what was left over, waits for all uploads, and writes the index. A failure drops the lane."""
        await self._offer_all(loose)
        await self._wait_until(lambda: self.is_settled)
        await self._index()

    async def settle(self, loose: Sequence[Loose]) -> None:
        """As `finish`, but waits only for as long as `loose` is needed, and writes the index where nothing is left to be stored."""
        await self._offer_all(loose)
        await self._wait_until(lambda: not self._loose_packs)
        if self.is_settled:
            await self._index()

    async def _offer_all(self, loose: Sequence[Loose]) -> None:
        for finished in merge_loose(loose, self._sealer, self._pack_bytes):
            self._loose_packs += 1
            await self.offer(dataclasses.replace(finished, on_done=self._free_loose))

    def _free_loose(self) -> None:
        self._loose_packs -= 1

    async def _index(self) -> None:
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
            if self._others and not isinstance(error, InterruptedJobError):
                self._emit(Warned(f"one storage less in this backup: {error.message}"))
        self._give_up_offered()
        self._changed.set()

    def abandon(self, error: HoldfastError) -> None:
        """As `drop`, and ends the uploads under way, for which nobody waits any longer."""
        self.drop(error)
        self._cancel_uploads()

    def _cancel_uploads(self) -> None:
        """But for the one that asks for it."""
        for uploader in self._uploaders:
            if uploader is not asyncio.current_task():
                uploader.cancel()

    def _give_up_offered(self) -> None:
        while self._offered:
            self._offered.popleft().release()
        if self._spill is not None:
            self._spill.discard(list(self._spilled))
            self._spilled.clear()

    @property
    def _spilled_bytes(self) -> int:
        return sum(each.size_bytes for each in self._spilled)

    def _has_room(self) -> bool:
        """Whether a pack that is offered would be on its way at once."""
        return len(self._offered) + self._uploading < self.uploads

    def _ahead(self) -> list[Lane]:
        """The others that keep up. One that is behind does not count: two slow ones wait for each other as they always did."""
        return [lane for lane in self._others if lane.is_alive and not lane.is_behind]

    def _holds_up(self) -> bool:
        """Whether others wait for this lane, and did so for too long."""
        if self._spill is None:
            return False
        if self.is_behind:
            return bool(self._ahead())
        held_up_s = self._held_up.seconds(asyncio.get_running_loop().time())
        return held_up_s >= self._spill.options.patience_s and self._are_others_idle()

    def _are_others_idle(self) -> bool:
        return any(lane._has_room() for lane in self._ahead())

    async def _wait_for_room(self) -> None:
        """Waits until something happened here. With a buffer it looks again soon, since what the others do is not told here."""
        if self._spill is None:
            await self._wait_change()
            return
        are_idle, began_s = self._are_others_idle(), asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._wait_change()
        if are_idle:
            now_s = asyncio.get_running_loop().time()
            self._held_up.add(now_s - began_s, now_s)

    async def _put_aside(self, finished: pack.Pack) -> bool:
        """Writes a pack to the buffer, or drops the lane with it; False where there will be room in a moment."""
        spill = self._spill
        assert spill is not None
        self._spilling += 1
        try:
            spill.open()
            if not spill.reserve(finished.size_bytes):
                if spill.is_emptying:
                    return False
                self._drop_hindmost(finished.size_bytes)
                if self.is_alive:
                    return False
            else:
                if not self._is_told_behind:
                    self._is_told_behind = True
                    self._emit(Noted(f"{self.repository.location} is behind: its packs wait in a buffer"))
                spilled = await spill.write(finished)
                if self.is_alive:
                    self._spilled.append(spilled)
                else:
                    spill.discard([spilled])
        except HoldfastError as error:
            self.abandon(error)
        finally:
            self._spilling -= 1
            self._changed.set()
        finished.release()
        return True

    def _drop_hindmost(self, size_bytes: int) -> None:
        """Gives up whoever is furthest behind: the buffer has no room for `size_bytes` more of this one."""
        behind = [
            lane for lane in (self, *self._others) if lane.is_alive and (lane is self or lane.is_behind)
        ]
        last = max(behind, key=lambda lane: lane._spilled_bytes + (size_bytes if lane is self else 0))
        assert self._spill is not None
        limit = self._spill.limit_bytes
        last.abandon(behind_error(last, f"when the buffer of {limit >> 20} MiB was full"))

    async def _wait_until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._wait_change()

    async def _wait_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def behind_error(lane: Lane, when: str) -> StorageBehindError:
    """Why a lane was dropped that its storage could not keep up with the others."""
    return StorageBehindError(
        f"{lane.repository.location} was too slow: {lane.waiting_bytes / (1 << 20):.0f} MiB were still to be stored there {when}",
        hint="holdfast copy --missing --to STORAGE brings what it missed, without reading the source again",
    )
