"""The packed index: one read-only file that says, for millions of blobs, which pack holds each and where.

It is a cache: built from the repository's index files, never uploaded, rebuilt where it is missing or damaged. It is mapped into
memory, so several processes share one copy of it, and what nobody asks for is never read.

Layout (all numbers little-endian)::

    header       magic 8 | checksum of the rest of the header u32 | checksum of all behind it u32 | blobs of data u32 | blobs of trees u32 | packs u32 | index files u32 | file size u64
    data blobs   rows of 48 bytes, sorted: id 32 | pack number u32 | offset u32 | length u32 | uncompressed length u32 (0: stored raw)
    tree blobs   the same
    packs        rows of 48 bytes: id 32 | number of the index file u32 | data blobs u32 | tree blobs u32 | bytes of its blobs and header u32
    index files  ids, 32 bytes each, sorted
    fan-outs     for data, then for trees: 2**bits + 1 numbers u32; the rows whose id begins with the bits p are fan[p] to fan[p+1]

That is 48 bytes a blob, 48 a pack, and at most four more a blob for the fan-outs. A look-up takes one number pair from the fan-out and
lets `mmap.find` search the few rows between. A pack that two index files name has two rows, and so have its blobs: check and prune see
the repository as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from engine.errors import DamagedError
from engine.format.crypto import OVERHEAD_BYTES
from engine.format.ids import BlobType

MAGIC: Final = b"HFINDEX1"
TEMPORARY: Final = ".tmp"
"""End of the name of a file that is being written."""
ROW_BYTES: Final = 48
ID_BYTES: Final = 32

_HEADER: Final = struct.Struct("<8sIIIIIIQ")
_CHECKED_FROM: Final = 12
"""Where the checksummed part of the header begins: behind the magic and the checksum itself."""
ROW: Final = struct.Struct("<32sIIII")
_ID: Final = struct.Struct("32s16x")
_PREFIX: Final = struct.Struct(">I44x")
_PAIR: Final = struct.Struct("<II")
_PLACE: Final = struct.Struct("<IIII")
_READ_BYTES: Final = 1 << 20
_SCAN_ROWS: Final = 1 << 14
_MOST_FAN_BITS: Final = 24
"""2**24 numbers are 64 MiB; beyond 60 million blobs the rows between two of them grow instead."""


class Location(NamedTuple):
    """Where one blob lies."""

    pack: bytes
    offset: int
    """Of the first byte in the pack."""
    length: int
    """Of the sealed blob, in bytes."""
    uncompressed_length: int | None
    """None where the blob is stored raw."""

    @property
    def plain_length(self) -> int:
        """Of the blob as it was given, in bytes."""
        return self.uncompressed_length or self.length - OVERHEAD_BYTES


class PackInfo(NamedTuple):
    """One pack as one index file has it."""

    id: bytes
    index_id: bytes
    """Of the index file; empty for a pack that was added in this run."""
    data_blobs: int
    tree_blobs: int
    size_bytes: int
    """What the pack file's size must be by its entries: blobs, sealed header and the four bytes of its length."""


class Table:
    """The rows of one type of blob within a mapped file."""

    __slots__ = ("_base", "_end", "_fan", "_map", "_shift", "count")

    def __init__(self, mapped: mmap.mmap, base: int, count: int, fan: int) -> None:
        self._map = mapped
        self._base = base
        self._end = base + count * ROW_BYTES
        self._fan = fan
        self._shift = 32 - fan_bits(count)
        self.count = count

    def find(self, blob_id: bytes) -> int:
        """Number of the first row of that id, or -1."""
        first, last = _PAIR.unpack_from(
            self._map, self._fan + 4 * (int.from_bytes(blob_id[:4]) >> self._shift)
        )
        if first == last:
            return -1
        base = self._base
        end = base + last * ROW_BYTES
        position = self._map.find(blob_id, base + first * ROW_BYTES, end)
        while position >= 0:
            row, odd = divmod(position - base, ROW_BYTES)
            if not odd:
                return row
            position = self._map.find(blob_id, position + 1, end)
        return -1

    def row(self, number: int) -> tuple[bytes, int, int, int, int]:
        """Id, pack number, offset, length and uncompressed length of that row."""
        return ROW.unpack_from(self._map, self._base + number * ROW_BYTES)

    def place(self, number: int) -> tuple[int, int, int, int]:
        """The same without the id."""
        return _PLACE.unpack_from(self._map, self._base + number * ROW_BYTES + ID_BYTES)

    def rows(self) -> Iterator[tuple[bytes, int, int, int, int]]:
        """All rows in the order of their ids."""
        for piece in self._pieces():
            yield from ROW.iter_unpack(piece)

    def ids(self) -> Iterator[bytes]:
        """The ids of all rows, in order."""
        for piece in self._pieces():
            yield from [blob_id for (blob_id,) in _ID.iter_unpack(piece)]

    def _pieces(self) -> Iterator[bytes]:
        step = _SCAN_ROWS * ROW_BYTES
        for begin in range(self._base, self._end, step):
            yield self._map[begin : min(begin + step, self._end)]


def fan_bits(count: int) -> int:
    """How many leading bits of an id the fan-out of a table of `count` rows tells apart: two to four rows then share one entry."""
    return min(_MOST_FAN_BITS, max(1, count.bit_length() - 2))


class PackedIndex:
    """A packed index file, mapped read-only. Look-ups may come from several threads at once."""

    __slots__ = ("__weakref__", "_map", "_packs_at", "data", "index_ids", "pack_count", "path", "tree")

    def __init__(self, path: Path, mapped: mmap.mmap, counts: tuple[int, int, int, int]) -> None:
        data, tree, packs, files = counts
        self.path = path
        self._map = mapped
        self._packs_at = _HEADER.size + (data + tree) * ROW_BYTES
        self.pack_count = packs
        ids_at = self._packs_at + packs * ROW_BYTES
        fan_at = ids_at + files * ID_BYTES
        self.index_ids: tuple[bytes, ...] = tuple(
            mapped[at : at + ID_BYTES] for at in range(ids_at, fan_at, ID_BYTES)
        )
        self.data = Table(mapped, _HEADER.size, data, fan_at)
        self.tree = Table(mapped, _HEADER.size + data * ROW_BYTES, tree, fan_at + _fan_bytes(data))

    @classmethod
    def open(cls, path: Path, *, is_checked: bool = True) -> Self:
        """Maps the file. `is_checked` reads it once from end to end against its checksum (about 1 s a gigabyte): blocking, for a thread.

        Raises: DamagedError where the file is not whole or not of this form; FileNotFoundError.
        """
        with path.open("rb") as file:
            counts = _read_header(file, path)
            if is_checked:
                _check_body(file, path)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(path, mapped, counts)

    def close(self) -> None:
        """Unmaps the file. Every later look-up raises ValueError."""
        self._map.close()

    def __len__(self) -> int:
        return self.data.count + self.tree.count

    def table(self, type_: BlobType) -> Table:
        """The rows of that type."""
        return self.data if type_ == "data" else self.tree

    def pack_id(self, number: int) -> bytes:
        """Id of the pack of that number."""
        at = self._packs_at + number * ROW_BYTES
        return self._map[at : at + ID_BYTES]

    def pack_row(self, number: int) -> tuple[bytes, int, int, int, int]:
        """The pack of that number as it is stored: id, number of the index file, data blobs, tree blobs, size in bytes."""
        return ROW.unpack_from(self._map, self._packs_at + number * ROW_BYTES)

    def pack(self, number: int) -> PackInfo:
        """The pack of that number."""
        row = self.pack_row(number)
        return PackInfo(row[0], self.index_ids[row[1]], row[2], row[3], row[4])

    def location(self, table: Table, row: int) -> Location:
        """Where the blob of that row lies."""
        number, offset, length, uncompressed = table.place(row)
        return Location(self.pack_id(number), offset, length, uncompressed or None)

    def locations(self, table: Table, blob_id: bytes) -> Iterator[Location]:
        """Every place of that blob."""
        row = table.find(blob_id)
        while 0 <= row < table.count and table.row(row)[0] == blob_id:
            yield self.location(table, row)
            row += 1


def file_name(index_ids: Iterable[bytes]) -> str:
    """Name of the packed file that covers exactly these index files."""
    return f"index-{hashlib.sha256(b''.join(sorted(index_ids))).hexdigest()[:32]}"


def _fan_bytes(count: int) -> int:
    return 4 * ((1 << fan_bits(count)) + 1)


def _read_header(file: BinaryIO, path: Path) -> tuple[int, int, int, int]:
    head = file.read(_HEADER.size)
    size_bytes = os.fstat(file.fileno()).st_size
    if len(head) == _HEADER.size:
        magic, checksum, _, data, tree, packs, files, written = _HEADER.unpack(head)
        body = (data + tree + packs) * ROW_BYTES + files * ID_BYTES + _fan_bytes(data) + _fan_bytes(tree)
        is_sound = magic == MAGIC and checksum == zlib.crc32(head[_CHECKED_FROM:])
        if is_sound and written == size_bytes == _HEADER.size + body:
            return data, tree, packs, files
    raise DamagedError(f"the cached index {path} is not whole")


def _check_body(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    expected = _HEADER.unpack(file.read(_HEADER.size))[2]
    checksum = 0
    while piece := file.read(_READ_BYTES):
        checksum = zlib.crc32(piece, checksum)
    if checksum != expected:
        raise DamagedError(f"the cached index {path} is damaged")


class PackedWriter:
    """Writes the sections of a packed index file one after the other and puts the file in place at the end.

    The sections come in the file's order: `rows` of data for each first byte, then of trees, then `finish`.
    """

    def __init__(self, path: Path, data: int, tree: int) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}")
        self._file = self._temporary.open("xb")
        self._file.write(bytes(_HEADER.size))
        self._counts = {"data": data, "tree": tree}
        self._fans: dict[str, list[bytes]] = {"data": [], "tree": []}
        self._done = {"data": 0, "tree": 0}
        self._checksum = 0

    def rows(self, type_: BlobType, first_byte: int, rows: Sequence[bytes]) -> None:
        """Appends the sorted rows whose id begins with that byte."""
        joined = b"".join(rows)
        self._write(joined)
        bits = fan_bits(self._counts[type_])
        if bits >= 8:
            self._fan_of_byte(type_, first_byte, joined, bits)
        else:
            self._fans[type_].append(struct.pack("<I", self._done[type_]))
        self._done[type_] += len(rows)

    def finish(self, packs: bytes, index_ids: Sequence[bytes]) -> None:
        """Writes the rest and renames the file to its name."""
        self._write(packs)
        self._write(b"".join(index_ids))
        for type_, begins in self._fans.items():
            bits = fan_bits(self._counts[type_])
            fan = b"".join(begins)
            if bits < 8:
                fan = b"".join(begins[:: 1 << (8 - bits)])
            self._write(fan + struct.pack("<I", self._done[type_]))
        self._finish_header(len(packs) // ROW_BYTES, len(index_ids))
        self._file.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Removes what was written, after a failure. Harmless after `finish`."""
        with contextlib.suppress(OSError):  # on a full disk what was not written yet
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._file.write(data)

    def _fan_of_byte(self, type_: BlobType, first_byte: int, joined: bytes, bits: int) -> None:
        shift = 32 - bits
        counts = Counter([prefix >> shift for (prefix,) in _PREFIX.iter_unpack(joined)])
        slots = range(first_byte << (bits - 8), (first_byte + 1) << (bits - 8))
        begins = list(accumulate(map(counts.get, slots, repeat(0)), initial=self._done[type_]))
        begins.pop()
        self._fans[type_].append(struct.pack(f"<{len(begins)}I", *begins))

    def _finish_header(self, packs: int, files: int) -> None:
        counts = (self._counts["data"], self._counts["tree"], packs, files, self._file.tell())
        checked = _HEADER.pack(MAGIC, 0, self._checksum, *counts)[_CHECKED_FROM:]
        self._file.seek(0)
        self._file.write(_HEADER.pack(MAGIC, zlib.crc32(checked), self._checksum, *counts))
