"""Builds a packed index file out of index files and older packed files, in bounded memory and about a microsecond a blob.

Rows are spread by type and first byte of their id over 512 heaps. Heaps that grow are spilled to one scratch file; at the end each is
read back, sorted and written, so that no more than one heap is in memory as Python objects. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import struct
import tempfile
from array import array
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from engine.errors import DamagedError
from engine.format.crypto import OVERHEAD_BYTES
from engine.format.ids import BlobType
from engine.repository.packed_index import ID_BYTES, ROW, ROW_BYTES, PackedIndex, PackedWriter, Table

SPILL_BYTES: Final = 32 << 20
"""How much the heaps may hold in memory together before they are spilled."""

_HEAPS: Final = 512
_TREES_FROM: Final = 256
_PACK_OVERHEAD_BYTES: Final = 36
"""Of a pack besides its blobs and their header entries: 32 bytes of sealing the header, 4 bytes of its length."""
_RAW_ENTRY_BYTES: Final = 37
_COMPRESSED_ENTRY_BYTES: Final = 41
_MOST_UINT32: Final = (1 << 32) - 1
_HEX_DIGITS: Final = 64
_UNWANTED: Final = -1
_WHOLE_ROW: Final = struct.Struct(f"{ROW_BYTES}s")
_FLUSH_ROWS: Final = 4096
_PACKS_AT_ONCE: Final = 4096


class _Blob(msgspec.Struct, gc=False):
    id: str
    type: Literal["data", "tree"]
    offset: int
    length: int
    uncompressed_length: int | None = None


class _Pack(msgspec.Struct, gc=False):
    id: str
    blobs: list[_Blob] | None = None


class _IndexFile(msgspec.Struct, gc=False):
    packs: list[_Pack] | None = None


_DECODER: Final = msgspec.json.Decoder(_IndexFile)


class IndexBuilder:
    """Collects index files; `finish` makes one packed file of them. One thread at a time."""

    def __init__(self, scratch: Path) -> None:
        """Spills to an unnamed file in the directory `scratch`."""
        self._spill: IO[bytes] = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 -- closed by `close`
        self._heaps = [bytearray() for _ in range(_HEAPS)]
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(_HEAPS)]
        self._heaped_bytes = 0
        self._packs = bytearray()
        self._pack_count = 0
        self._index_ids: list[bytes] = []
        self._counts = {"data": 0, "tree": 0}

    @property
    def index_ids(self) -> tuple[bytes, ...]:
        """The index files that were added."""
        return tuple(self._index_ids)

    def close(self) -> None:
        """Frees the scratch file."""
        self._spill.close()

    def add_index(self, index_id: bytes, json: bytes) -> None:
        """Adds one index file. Raises: DamagedError where it is none."""
        try:
            self._add_packs(_DECODER.decode(json).packs or [], len(self._index_ids))
        except (msgspec.MsgspecError, ValueError, OverflowError, struct.error) as error:
            raise DamagedError(f"the index file {index_id.hex()} cannot be understood: {error}") from error
        self._index_ids.append(index_id)

    def add_packed(self, old: PackedIndex, wanted: Collection[bytes]) -> None:
        """Adds what an older packed file has from the index files `wanted`."""
        files = {
            number: len(self._index_ids) + place
            for place, number in enumerate(
                n for n, index_id in enumerate(old.index_ids) if index_id in wanted
            )
        }
        self._index_ids.extend(old.index_ids[number] for number in files)
        numbers = array("q", [_UNWANTED]) * old.pack_count
        for number in range(old.pack_count):
            pack_id, file, data, tree, size_bytes = old.pack_row(number)
            if file in files:
                numbers[number] = self._add_pack_row(pack_id, files[file], data, tree, size_bytes)
        self._add_rows(old.data, 0, numbers)
        self._add_rows(old.tree, _TREES_FROM, numbers)

    def finish(self, path: Path) -> None:
        """Writes the packed file under that name, whole or not at all."""
        order = sorted(range(len(self._index_ids)), key=self._index_ids.__getitem__)
        writer = PackedWriter(path, self._counts["data"], self._counts["tree"])
        try:
            for heap in range(_HEAPS):
                type_: BlobType = "data" if heap < _TREES_FROM else "tree"
                writer.rows(type_, heap % _TREES_FROM, self._sorted_heap(heap))
            writer.finish(self._renumbered_packs(order), [self._index_ids[n] for n in order])
        finally:
            writer.discard()

    def _add_packs(self, packs: list[_Pack], file: int) -> None:
        """Adds all packs or, where one is impossible, none."""
        blobs: list[_Blob] = []
        pack_ids = _joined_ids([pack.id for pack in packs])
        places = array("I")
        rows = bytearray()
        for place, pack in enumerate(packs):
            size_bytes, trees = _PACK_OVERHEAD_BYTES, 0
            held = pack.blobs or []
            for blob in held:
                if blob.length < OVERHEAD_BYTES:
                    raise ValueError(f"a blob has {blob.length} bytes, less than a sealed one has")
                size_bytes += blob.length + (
                    _COMPRESSED_ENTRY_BYTES if blob.uncompressed_length else _RAW_ENTRY_BYTES
                )
                trees += blob.type == "tree"
            pack_id = pack_ids[place * ID_BYTES : (place + 1) * ID_BYTES]
            size_bytes = min(size_bytes, _MOST_UINT32)
            rows += ROW.pack(pack_id, file, len(held) - trees, trees, size_bytes)
            blobs += held
            places.extend([self._pack_count + place] * len(held))
        ids = _joined_ids([blob.id for blob in blobs])
        heaps: dict[int, list[bytes]] = {}
        pack_row = ROW.pack
        for at, number, blob in zip(range(0, len(ids), ID_BYTES), places, blobs, strict=True):
            row = pack_row(
                ids[at : at + ID_BYTES], number, blob.offset, blob.length, blob.uncompressed_length or 0
            )
            heap = row[0] if blob.type == "data" else row[0] + _TREES_FROM
            heaps.setdefault(heap, []).append(row)
        self._packs += rows
        self._pack_count += len(packs)
        self._heap(heaps)

    def _add_pack_row(self, pack_id: bytes, file: int, data: int, tree: int, size_bytes: int) -> int:
        self._packs += ROW.pack(pack_id, file, data, tree, size_bytes)
        self._pack_count += 1
        return self._pack_count - 1

    def _add_rows(self, table: Table, heaps_from: int, numbers: array[int]) -> None:
        heaps: dict[int, list[bytes]] = {}
        for blob_id, pack, offset, length, uncompressed in table.rows():
            number = numbers[pack]
            if number != _UNWANTED:
                row = ROW.pack(blob_id, number, offset, length, uncompressed)
                heaps.setdefault(row[0] + heaps_from, []).append(row)
                if len(heaps[row[0] + heaps_from]) >= _FLUSH_ROWS:
                    self._heap(heaps)
                    heaps = {}
        self._heap(heaps)

    def _heap(self, heaps: dict[int, list[bytes]]) -> None:
        for heap, rows in heaps.items():
            self._heaps[heap] += b"".join(rows)
            self._heaped_bytes += len(rows) * ROW_BYTES
            self._counts["data" if heap < _TREES_FROM else "tree"] += len(rows)
        if self._heaped_bytes > SPILL_BYTES:
            self._spill_heaps()

    def _spill_heaps(self) -> None:
        for number, heap in enumerate(self._heaps):
            if heap:
                self._extents[number].append((self._spill.tell(), len(heap)))
                self._spill.write(heap)
                self._heaps[number] = bytearray()
        self._heaped_bytes = 0

    def _sorted_heap(self, heap: int) -> list[bytes]:
        pieces: list[bytes | bytearray] = [self._heaps[heap]]
        for offset, length in self._extents[heap]:
            self._spill.seek(offset)
            pieces.append(self._spill.read(length))
        rows = [row for (row,) in _WHOLE_ROW.iter_unpack(b"".join(pieces))]
        rows.sort()
        return rows

    def _renumbered_packs(self, order: list[int]) -> bytes:
        """The pack rows with the index files numbered in their sorted order."""
        if order == list(range(len(order))):
            return bytes(self._packs)
        numbers = array("I", bytes(4 * len(order)))
        for new, old in enumerate(order):
            numbers[old] = new
        step = _PACKS_AT_ONCE * ROW_BYTES
        for begin in range(0, len(self._packs), step):
            part = bytes(self._packs[begin : begin + step])
            self._packs[begin : begin + step] = b"".join(
                ROW.pack(pack_id, numbers[file], data, tree, size_bytes)
                for pack_id, file, data, tree, size_bytes in ROW.iter_unpack(part)
            )
        return bytes(self._packs)


def _joined_ids(ids: Iterable[str]) -> bytes:
    texts = list(ids)
    joined = bytes.fromhex("".join(texts))
    if len(joined) != len(texts) * ID_BYTES or not all(len(text) == _HEX_DIGITS for text in texts):
        raise ValueError("an id is not of 64 hex digits")
    return joined
