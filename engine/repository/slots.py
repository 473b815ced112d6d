"""Memory that worker processes fill with packs and this process stores them from, so that no pack is copied between the two.

It is one anonymous file that all have mapped, in slots of equal size, whose pages cost nothing until they are written to. The numbers of the
free slots lie in a pipe: whichever worker needs one takes it there. With a pack the worker says in which slot it lies; when the pack is
stored, or given up, the number goes back into the pipe.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress

_NUMBER_BYTES = 2
_MOST = 4096 // _NUMBER_BYTES
"""So many numbers a pipe takes at once without a wait, whatever it holds by then."""


def slot_bytes(wanted_bytes: int) -> int:
    """The size of a slot that holds so much: whole pages."""
    return -(-wanted_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


class Slots:
    """This process's side. Closed by whoever made it, when the session is over."""

    def __init__(self, size_bytes: int, count: int) -> None:
        """`size_bytes` is of one slot: see `slot_bytes`. More than 2,048 slots are never made."""
        count = min(count, _MOST)
        self._size_bytes = size_bytes
        self._memory = os.memfd_create("holdfast-packs", os.MFD_CLOEXEC)
        os.ftruncate(self._memory, count * size_bytes)
        self._free, self._give_back = os.pipe()
        os.set_blocking(self._give_back, False)
        self._views: dict[int, memoryview] = {}
        os.write(self._give_back, b"".join(map(_encode, range(count))))

    @property
    def descriptors(self) -> Sequence[int]:
        """For the workers: the memory, and where the numbers of free slots are."""
        return self._memory, self._free

    def view(self, number: int, length: int) -> memoryview:
        """What a worker wrote into a slot; to be read until the slot is freed."""
        view = self._views.get(number)
        if view is None:
            mapped = mmap.mmap(
                self._memory, self._size_bytes, prot=mmap.PROT_READ, offset=number * self._size_bytes
            )
            view = self._views[number] = memoryview(mapped)
        return view[:length]

    def free(self, number: int) -> None:
        """Lets the workers use the slot again. After `close` nothing happens."""
        if self._give_back >= 0:
            with suppress(OSError):  # the workers are gone
                os.write(self._give_back, _encode(number))

    def close(self) -> None:
        """Lets go of the memory; what is still looked at lives until nobody does. Idempotent."""
        self._views.clear()
        for descriptor in (self._memory, self._free, self._give_back):
            if descriptor >= 0:
                os.close(descriptor)
        self._memory = self._free = self._give_back = -1


class WorkerSlots:
    """A worker's side. For one thread."""

    def __init__(self, descriptors: Sequence[int], size_bytes: int) -> None:
        self._memory, self._free = descriptors
        self._size_bytes = size_bytes
        self._views: dict[int, memoryview] = {}

    def take(self) -> int:
        """A free slot; waits for one to come back where all are in use. Raises: BrokenPipeError where the parent is gone."""
        number = os.read(self._free, _NUMBER_BYTES)
        if not number:
            raise BrokenPipeError
        return int.from_bytes(number, "little")

    def view(self, number: int) -> memoryview:
        """The whole of a slot that was taken."""
        view = self._views.get(number)
        if view is None:
            mapped = mmap.mmap(self._memory, self._size_bytes, offset=number * self._size_bytes)
            view = self._views[number] = memoryview(mapped)
        return view

    def close(self) -> None:
        """Lets go of the memory."""
        self._views.clear()
        os.close(self._memory)
        os.close(self._free)


def _encode(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "little")
