"""The blobs that a run added to an index: some 60 bytes each, so that a first backup of a million files does not grow by its own index."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from engine.format.ids import BlobType
from engine.format.pack import BlobEntry
from engine.repository.id_table import IdTable
from engine.repository.packed_index import Location, PackInfo

_COMPRESSED_ENTRY_BYTES = 41
_RAW_ENTRY_BYTES = 37
_PACK_OVERHEAD_BYTES = 36
_TYPES: tuple[BlobType, BlobType] = ("data", "tree")
_COLUMNS = 5


class AddedBlobs:
    """Blobs by type and id, in the order in which their packs came. Look-ups from any thread; `add` from one at a time."""

    def __init__(self) -> None:
        self._ids: dict[BlobType, IdTable] = {type_: IdTable() for type_ in _TYPES}
        self._first: dict[BlobType, array[int]] = {type_: array("I") for type_ in _TYPES}
        """By number of the id: its first row."""
        self._rows = array("I")
        """A row each: number of the id doubled, and one more for a tree; pack; offset; length; uncompressed length or 0."""
        self.packs: list[PackInfo] = []

    def __len__(self) -> int:
        return len(self._rows) // _COLUMNS

    def __iter__(self) -> Iterator[tuple[BlobType, bytes, Location]]:
        """All of this moment, one after the other."""
        return (self.row(number) for number in range(len(self)))

    def ids(self, type_: BlobType) -> Iterable[bytes]:
        """The ids of that type."""
        return self._ids[type_]

    def find(self, type_: BlobType, blob_id: bytes) -> int:
        """The number of the blob's first row, or -1."""
        found = self._ids[type_].find(blob_id)
        return self._first[type_][found] if found >= 0 else -1

    def row(self, number: int) -> tuple[BlobType, bytes, Location]:
        """One row."""
        doubled, pack, offset, length, uncompressed = self._rows[number * _COLUMNS : (number + 1) * _COLUMNS]
        type_ = _TYPES[doubled & 1]
        location = Location(self.packs[pack].id, offset, length, uncompressed or None)
        return type_, self._ids[type_].id(doubled >> 1), location

    def add(self, pack_id: bytes, entries: Iterable[BlobEntry]) -> None:
        """Adds the blobs of a pack."""
        size_bytes, trees, count = _PACK_OVERHEAD_BYTES, 0, 0
        pack = len(self.packs)
        rows = array("I")
        first_row = len(self)
        for entry in entries:
            type_ = _TYPES[entry.type == "tree"]
            ids = self._ids[type_]
            known = len(ids)
            number = ids.add(entry.id)
            if number == known:
                self._first[type_].append(first_row + count)
            uncompressed = entry.uncompressed_length or 0
            rows.extend((number << 1 | (type_ == "tree"), pack, entry.offset, entry.length, uncompressed))
            size_bytes += entry.length + (_COMPRESSED_ENTRY_BYTES if uncompressed else _RAW_ENTRY_BYTES)
            trees += type_ == "tree"
            count += 1
        # The pack first: a look-up from another thread must find what a row names.
        self.packs.append(PackInfo(pack_id, b"", count - trees, trees, size_bytes))
        self._rows.extend(rows)
