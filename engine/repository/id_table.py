"""A table of ids in 40 bytes each, where a Python set takes more than 100: a run that adds a million blobs must not grow by that.

Ids lie end to end in blocks, in the order in which they came: one buffer would be copied, and held twice, each time that it must grow. A table
of their numbers is probed from where an id's first bytes point.
An id is compared whole, never by its beginning alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from engine.format.ids import ID_BYTES

_FIRST_SLOTS = 1024
_BLOCK_BITS = 14
_IN_BLOCK = (1 << _BLOCK_BITS) - 1
_NEWEST = 1 << 15
"""A set of so many ids takes 4 MiB."""


class IdTable:
    """Numbers ids from 0 on. Look-ups take about a microsecond and may come from any thread; `add` from one at a time."""

    __slots__ = ("_blocks", "_count", "_slots")

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []
        self._slots = array("I", bytes(4 * _FIRST_SLOTS))
        """Number + 1 of the id; 0 where there is none. A power of two long, at most half full."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return (self.id(number) for number in range(self._count))

    def id(self, number: int) -> bytes:
        """The id of that number."""
        begin = (number & _IN_BLOCK) * ID_BYTES
        return bytes(self._blocks[number >> _BLOCK_BITS][begin : begin + ID_BYTES])

    def find(self, blob_id: bytes) -> int:
        """The id's number, or -1."""
        blocks, slots = self._blocks, self._slots
        mask = len(slots) - 1
        at = int.from_bytes(blob_id[:8], "little") & mask
        while number := slots[at]:
            number -= 1
            begin = (number & _IN_BLOCK) * ID_BYTES
            if blocks[number >> _BLOCK_BITS][begin : begin + ID_BYTES] == blob_id:
                return number
            at = (at + 1) & mask
        return -1

    def add(self, blob_id: bytes) -> int:
        """The id's number; a new one where it was not there."""
        found = self.find(blob_id)
        if found >= 0:
            return found
        if 2 * (self._count + 1) > len(self._slots):
            self._grow()
        if not self._count & _IN_BLOCK:
            self._blocks.append(bytearray())
        self._blocks[-1] += blob_id
        self._count += 1
        _enter(self._slots, blob_id, self._count)
        return self._count - 1

    def _grow(self) -> None:
        slots = array("I", bytes(8 * len(self._slots)))
        for number in range(self._count):
            _enter(slots, self.id(number), number + 1)
        self._slots = slots


def _enter(slots: array[int], blob_id: bytes | bytearray, number: int) -> None:
    mask = len(slots) - 1
    at = int.from_bytes(blob_id[:8], "little") & mask
    while slots[at]:
        at = (at + 1) & mask
    slots[at] = number


class SeenIds:
    """Which ids were met before. The newest few lie in a set, at a tenth of the time; it is emptied into a table each time it is full."""

    __slots__ = ("_newest", "_table")

    def __init__(self, ids: Iterable[bytes] = ()) -> None:
        self._newest = set(ids)
        self._table = IdTable()

    def add(self, blob_id: bytes) -> bool:
        """Whether it is new. For one thread."""
        newest = self._newest
        if blob_id in newest or (len(self._table) and self._table.find(blob_id) >= 0):
            return False
        newest.add(blob_id)
        if len(newest) >= _NEWEST:
            for each in newest:
                self._table.add(each)
            newest.clear()
        return True
