"""Packs that threads fill together, in place: a blob is sealed straight to where it lies in its pack, and checked there.

For chunks, of which each copy costs a tenth of sealing them. A thread takes a place under the lock and fills it without; whoever is done
last in a full pack finishes it. The memory of a pack that is stored serves again: fresh memory costs a page fault every 4 KiB.
"""

from __future__ import annotations

import dataclasses
import functools
import mmap
import random
import threading
from collections.abc import Callable
from typing import Final

from engine.errors import DamagedError
from engine.format import pack
from engine.format.blob import FAULT_HINT, Prepared
from engine.format.chunker import MAX_BYTES
from engine.format.crypto import OVERHEAD_BYTES, MasterKey, Sealer
from engine.format.ids import BlobType
from engine.repository.packing import OPEN_PACKS, Loose

LONGEST_BYTES: Final = MAX_BYTES
"""A payload up to this lies beside others. Longer is only the tree of a huge directory, which goes alone."""


class SharedPacks:
    """The open packs of one repository and one blob type."""

    def __init__(
        self, key: MasterKey, blob_type: BlobType, pack_bytes: int, on_full: Callable[[pack.Pack], None]
    ) -> None:
        """`on_full` takes a finished pack, in the thread that finished it; it must be released once it is stored."""
        self._key = key
        self._type = blob_type
        self._pack_bytes = pack_bytes
        self._on_full = on_full
        self._turn = threading.Lock()
        self._open: list[_OpenPack] = []
        self._free: list[mmap.mmap] = []

    def add(self, blob: Prepared, sealer: Sealer, *, is_verified: bool) -> None:
        """Seals a blob into one of the open packs, and hands over the pack where that was the last to do. `sealer` is the thread's own.

        Raises:
            DamagedError: what was sealed does not open to the payload. The pack is never finished then.
        """
        with self._turn:
            chosen = self._choose(blob)
            target = chosen.take_place(blob)
            if chosen.size_bytes >= self._pack_bytes or len(chosen.blobs) >= pack.COUNT_LIMIT:
                self._close(chosen)
        ends = sealer.seal_all([blob.payload], target)
        if is_verified and not sealer.seals_all(target, ends, [blob.payload]):
            raise DamagedError("a blob does not read back as it was sealed", hint=FAULT_HINT)
        with self._turn:
            chosen.under_way -= 1
            is_finished = chosen.is_closed and not chosen.under_way
        if is_finished:
            self._on_full(self._finish(chosen))

    def take_loose(self) -> list[Loose]:
        """Empties the open packs, and gives what was in them. No thread may be adding."""
        with self._turn:
            loose = [blob for each in self._open for blob in each.blobs]
            self._open.clear()
        return loose

    def _choose(self, blob: Prepared) -> _OpenPack:
        sealed_bytes = OVERHEAD_BYTES + len(blob.payload)
        if sealed_bytes > OVERHEAD_BYTES + LONGEST_BYTES:
            alone = _OpenPack(_memory(sealed_bytes), self._type)
            alone.is_closed = True
            return alone
        if len(self._open) < OPEN_PACKS:
            room_bytes = self._pack_bytes + OVERHEAD_BYTES + LONGEST_BYTES
            memory = self._free.pop() if self._free else _memory(room_bytes)
            self._open.append(_OpenPack(memory, self._type, self._free.append))
        return self._open[random.randrange(len(self._open))]  # noqa: S311 -- it spreads, it hides nothing by itself

    def _close(self, full: _OpenPack) -> None:
        full.is_closed = True
        if full in self._open:
            self._open.remove(full)

    def _finish(self, closed: _OpenPack) -> pack.Pack:
        builder = pack.PackBuilder(Sealer(self._key))
        for blob in closed.blobs:
            builder.add(blob.type, blob.id, blob.sealed, blob.uncompressed_length)
        return dataclasses.replace(builder.finish(), on_done=closed.on_done)


class _OpenPack:
    """A pack being filled. Its fields change under the lock of its owner."""

    __slots__ = ("_type", "_view", "blobs", "is_closed", "on_done", "size_bytes", "under_way")

    def __init__(
        self, memory: mmap.mmap, blob_type: BlobType, give_back: Callable[[mmap.mmap], None] | None = None
    ) -> None:
        """`give_back` takes the memory when nobody needs it any more."""
        self.blobs: list[Loose] = []
        self.size_bytes = 0
        self.under_way = 0
        """Blobs whose place is taken and not filled yet."""
        self.is_closed = False
        self.on_done = None if give_back is None else functools.partial(give_back, memory)
        self._type = blob_type
        self._view = memoryview(memory)

    def take_place(self, blob: Prepared) -> memoryview:
        """Where the blob is to be sealed to."""
        end = self.size_bytes + OVERHEAD_BYTES + len(blob.payload)
        place = self._view[self.size_bytes : end]
        self.blobs.append(Loose(self._type, blob.id, place, blob.uncompressed_length))
        self.size_bytes = end
        self.under_way += 1
        return place


def _memory(size_bytes: int) -> mmap.mmap:
    """Zeros that take no room until they are written to."""
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
