"""Memory that worker processes fill with packs and this process stores them from, so that no pack is copied between the two.

A worker's memory is one anonymous file that both have mapped, in slots of equal size, made as they are needed. With a pack the worker says
in which slot it lies; when the pack is stored, or given up, the slot's number comes back through a pipe.
"""

from __future__ import annotations

import mmap
import os
import select
from collections.abc import Sequence
from contextlib import suppress


def slot_bytes(wanted_bytes: int) -> int:
    """The size of a slot that holds so much: whole pages."""
    return -(-wanted_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


class Slots:
    """This process's side, for one worker. Closed by whoever made it, when the worker's session is over."""

    def __init__(self, size_bytes: int) -> None:
        """`size_bytes` is of one slot: see `slot_bytes`."""
        self._size_bytes = size_bytes
        self._memory = os.memfd_create("holdfast-packs", os.MFD_CLOEXEC)
        self._returns, self._give_back = os.pipe()
        os.set_blocking(self._returns, False)
        self._views: dict[int, memoryview] = {}

    @property
    def descriptors(self) -> Sequence[int]:
        """For the worker: the memory, and where slot numbers come back."""
        return self._memory, self._returns

    def view(self, number: int, length: int) -> memoryview:
        """What the worker wrote into a slot; to be read until the slot is freed."""
        view = self._views.get(number)
        if view is None:
            mapped = mmap.mmap(
                self._memory, self._size_bytes, prot=mmap.PROT_READ, offset=number * self._size_bytes
            )
            view = self._views[number] = memoryview(mapped)
        return view[:length]

    def free(self, number: int) -> None:
        """Lets the worker use the slot again. After `close` nothing happens."""
        if self._give_back >= 0:
            with suppress(OSError):  # the worker is gone, or the pipe holds all numbers that there are
                os.write(self._give_back, bytes([number]))

    def close(self) -> None:
        """Lets go of the memory; what is still looked at lives until nobody does. Idempotent."""
        self._views.clear()
        for descriptor in (self._memory, self._returns, self._give_back):
            if descriptor >= 0:
                os.close(descriptor)
        self._memory = self._returns = self._give_back = -1


class WorkerSlots:
    """The worker's side. For one thread."""

    def __init__(self, descriptors: Sequence[int], size_bytes: int, most: int) -> None:
        """At most `most` slots, fewer than 256, are ever made."""
        self._memory, self._returns = descriptors
        self._size_bytes = size_bytes
        self._most = most
        self._views: list[memoryview] = []
        self._free: list[int] = []

    def take(self) -> int:
        """A free slot; waits for one to come back where all that may be are in use. Raises: BrokenPipeError where the parent is gone."""
        if not self._free:
            self._take_back()
        if not self._free and len(self._views) < self._most:
            self._make()
        while not self._free:
            select.select([self._returns], [], [])
            self._take_back()
        return self._free.pop()

    def view(self, number: int) -> memoryview:
        """The whole slot."""
        return self._views[number]

    def free(self, number: int) -> None:
        """Gives back a slot that was taken and never sent."""
        self._free.append(number)

    def close(self) -> None:
        """Lets go of the memory."""
        self._views.clear()
        os.close(self._memory)
        os.close(self._returns)

    def _take_back(self) -> None:
        with suppress(BlockingIOError):
            numbers = os.read(self._returns, 256)
            if not numbers:
                raise BrokenPipeError
            self._free.extend(numbers)

    def _make(self) -> None:
        number = len(self._views)
        os.ftruncate(self._memory, (number + 1) * self._size_bytes)
        mapped = mmap.mmap(self._memory, self._size_bytes, offset=number * self._size_bytes)
        self._views.append(memoryview(mapped))
        self._free.append(number)
