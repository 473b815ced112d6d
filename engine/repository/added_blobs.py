"""The blobs that a run added to an index: some 60 bytes each, so that a first backup of a million files does not grow by its own index.

What comes as the entries of a uniform pack is taken apart only when somebody asks for a blob of that type: a backup that stores a tree of
small files never does, since its worker processes remember for themselves what they stored.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator

from engine.format.ids import BlobType
from engine.format.pack import BlobEntry, UniformEntries
from engine.repository.id_table import IdTable
from engine.repository.packed_index import Location, PackInfo

_COMPRESSED_ENTRY_BYTES = 41
_RAW_ENTRY_BYTES = 37
_PACK_OVERHEAD_BYTES = 36
_TYPES: tuple[BlobType, BlobType] = ("data", "tree")
_COLUMNS = 5
_ASKED_SELDOM = 64
_PENDING_IN_MEMORY = 100_000
"""Blobs whose entries wait in memory, 4 MB in all; those of the packs after them wait in a file."""


class AddedBlobs:
    """Blobs by type and id, in the order in which their packs came. Look-ups from any thread; `add` from one at a time."""

    def __init__(self) -> None:
        self._ids: dict[BlobType, IdTable] = {type_: IdTable() for type_ in _TYPES}
        self._first: dict[BlobType, array[int]] = {type_: array("I") for type_ in _TYPES}
        """By number of the id: its first row."""
        self._rows = array("I")
        """A row each: number of the id doubled, and one more for a tree; pack; offset; length; uncompressed length or 0."""
        self.packs: list[PackInfo] = []
        self._pending: dict[str, list[tuple[int, UniformEntries]]] = {type_: [] for type_ in _TYPES}
        """By type: packs, by number, whose entries are not in the tables yet."""
        self._pending_count = 0
        self._file = -1
        """An open file without a name, which ends with this object."""
        self._asked = 0
        """How often pending packs were looked through."""
        self._turn = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows) // _COLUMNS + sum(
            len(entries) for pending in self._pending.values() for _, entries in pending
        )

    def __iter__(self) -> Iterator[tuple[BlobType, bytes, Location]]:
        """All of this moment, one after the other."""
        for type_ in _TYPES:
            self._settle(type_)
        return (self.row(number) for number in range(len(self._rows) // _COLUMNS))

    def ids(self, type_: BlobType) -> Iterable[bytes]:
        """The ids of that type."""
        self._settle(type_)
        return self._ids[type_]

    def find(self, type_: BlobType, blob_id: bytes) -> int:
        """The number of the blob's first row, or -1."""
        if self._pending[type_]:
            self._asked += 1
            if self._asked <= _ASKED_SELDOM and not self._is_pending(type_, blob_id):
                return self._find(type_, blob_id)
            self._settle(type_)
        return self._find(type_, blob_id)

    def _find(self, type_: BlobType, blob_id: bytes) -> int:
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
        if isinstance(entries, UniformEntries):
            trees = len(entries) if entries.type == "tree" else 0
            with self._turn:
                self.packs.append(PackInfo(pack_id, b"", len(entries) - trees, trees, entries.size_bytes))
                self._pending[entries.type].append((len(self.packs) - 1, entries))
                self._pending_count += len(entries)
                if self._pending_count > _PENDING_IN_MEMORY:
                    self._put_away(entries)
            return
        with self._turn:
            self._add(pack_id, entries)

    def _put_away(self, entries: UniformEntries) -> None:
        with contextlib.suppress(OSError):  # no room there: memory it is
            if self._file < 0:
                with tempfile.TemporaryFile() as file:
                    self._file = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._file)
            entries.put_into(self._file)

    def _is_pending(self, type_: str, blob_id: bytes) -> bool:
        """Whether a pending pack holds the blob. A few milliseconds at most, where taking a hundred thousand entries apart takes a quarter of a second."""
        with self._turn:
            return any(entries.has(blob_id) for _, entries in self._pending[type_])

    def _settle(self, type_: str) -> None:
        """Takes apart what is pending of that type."""
        with self._turn:
            for pack, entries in self._pending[type_]:
                self._rows.extend(self._enter(pack, entries)[0])
                self._pending_count -= len(entries)
            self._pending[type_].clear()

    def _add(self, pack_id: bytes, entries: Iterable[BlobEntry]) -> None:
        rows, count, trees, size_bytes = self._enter(len(self.packs), entries)
        # The pack first: a look-up from another thread must find what a row names.
        self.packs.append(PackInfo(pack_id, b"", count - trees, trees, size_bytes))
        self._rows.extend(rows)

    def _enter(self, pack: int, entries: Iterable[BlobEntry]) -> tuple[array[int], int, int, int]:
        """Enters the blobs of a pack of that number; gives their rows, how many they are and how many of them trees, and the pack's size."""
        size_bytes, trees, count = _PACK_OVERHEAD_BYTES, 0, 0
        rows = array("I")
        first_row = len(self._rows) // _COLUMNS
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
        return rows, count, trees, size_bytes
