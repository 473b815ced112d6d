"""Packs: sealed blobs end to end, then the sealed header, then its length as 32 bits, little-endian.

The header has one entry a blob, in order: type (0 data, 1 tree, 2 compressed data, 3 compressed tree), stored length, for the compressed
ones the length of the plaintext, and the identifier. Offsets are implied, so there are no gaps. Source: restic doc/design.rst, "Pack Format".
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload

from engine.errors import DamagedError
from engine.format.crypto import OVERHEAD_BYTES, Sealer
from engine.format.ids import Buffer

TARGET_BYTES: Final = 16 << 20
"""Blob bytes at which a pack is closed, restic's default."""

HEADER_LIMIT_BYTES: Final = 16 << 20
"""Longest header that restic reads, its length field included."""

PACK_LIMIT_BYTES: Final = (1 << 32) - 1
"""Offsets and lengths are 32 bits."""

LENGTH_FIELD_BYTES: Final = 4
PLAIN_ENTRY_BYTES: Final = 37
COMPRESSED_ENTRY_BYTES: Final = 41
SMALLEST_PACK_BYTES: Final = LENGTH_FIELD_BYTES + OVERHEAD_BYTES + PLAIN_ENTRY_BYTES

COUNT_LIMIT: Final = (HEADER_LIMIT_BYTES - LENGTH_FIELD_BYTES - OVERHEAD_BYTES) // COMPRESSED_ENTRY_BYTES
"""As many blobs fit under any header that restic reads; a builder is full then."""

_PLAIN_ENTRY: Final = struct.Struct("<BI32s")
_COMPRESSED_ENTRY: Final = struct.Struct("<BII32s")
_TYPES: Final = ("data", "tree")
_PLAIN_CODES: Final = {"data": 0, "tree": 1}


class BlobEntry(NamedTuple):
    """Where a blob lies in its pack."""

    type: str
    """An ids.BlobType."""
    id: bytes
    offset: int
    """From the start of the pack."""
    length: int
    """Stored: sealed, so OVERHEAD_BYTES longer than the content or its frame."""
    uncompressed_length: int | None
    """Of the plaintext where the blob is compressed; None (or 0) where it is not."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack, to be stored under its identifier."""

    id: bytes
    parts: list[Buffer]
    """What the file consists of, in order; joined by whoever stores it."""
    size_bytes: int
    entries: Sequence[BlobEntry]
    index_json: bytes | None = None
    """What an index file says of it, where whoever made the pack wrote that down already."""
    on_done: Callable[[], None] | None = None
    """To be called once, when nobody needs the parts any more: they lie in memory that is used again."""

    def release(self) -> None:
        """Says that the parts are not needed any more: the pack is stored, or given up."""
        if self.on_done is not None:
            self.on_done()


class UniformEntries(Sequence[BlobEntry]):
    """The entries of a pack of one type of blob: 41 bytes each until somebody looks at them, where a tuple takes five times that.

    Where even that is too much, they can be put into a file.
    """

    __slots__ = (
        "_count",
        "_file",
        "_header",
        "_header_bytes",
        "_offset",
        "plain_bytes",
        "size_bytes",
        "type",
    )

    def __init__(self, blob_type: str, header: bytes, count: int, plain_bytes: int, size_bytes: int) -> None:
        self.type = blob_type
        """An ids.BlobType."""
        self.plain_bytes = plain_bytes
        """Of all blobs, before compression and sealing."""
        self.size_bytes = size_bytes
        """Of the pack."""
        self._header = header
        self._count = count
        self._file = -1
        self._offset = 0
        self._header_bytes = len(header)

    def put_into(self, descriptor: int) -> None:
        """Moves the entries to the end of an open file, which must stay open and is only added to. Raises: OSError."""
        if self._file < 0:
            self._offset, done = os.lseek(descriptor, 0, os.SEEK_END), 0
            while done < self._header_bytes:
                done += os.write(descriptor, self._header[done:])
            self._file, self._header = descriptor, b""

    def _read(self) -> bytes:
        return self._header if self._file < 0 else os.pread(self._file, self._header_bytes, self._offset)

    def __len__(self) -> int:
        return self._count

    def has(self, blob_id: bytes) -> bool:
        """Whether that blob is in it; at worst said of one that is not: its bytes may lie across two entries."""
        return blob_id in self._read()

    def __iter__(self) -> Iterator[BlobEntry]:
        return entries_of(self._read())

    @overload
    def __getitem__(self, at: int) -> BlobEntry: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[BlobEntry]: ...

    def __getitem__(self, at: int | slice) -> BlobEntry | Sequence[BlobEntry]:
        return decode_header(self._read())[at]


def entry_bytes(entry: BlobEntry) -> int:
    """Length of the header's entry for this blob."""
    return COMPRESSED_ENTRY_BYTES if entry.uncompressed_length else PLAIN_ENTRY_BYTES


def size_bytes(entries: Iterable[BlobEntry]) -> int:
    """The size that a pack of exactly these blobs has. A pack of another size is damaged, which a listing is enough to see."""
    return sum(entry.length + entry_bytes(entry) for entry in entries) + OVERHEAD_BYTES + LENGTH_FIELD_BYTES


def encode_header(entries: Iterable[BlobEntry]) -> bytes:
    """The header before it is sealed. Offsets are not written: the entries must be in the order of the blobs, without gaps."""
    return b"".join(
        [encode_entry(entry.type, entry.id, entry.length, entry.uncompressed_length) for entry in entries]
    )


def encode_entry(blob_type: str, blob_id: bytes, length: int, uncompressed_length: int | None) -> bytes:
    """One entry of `encode_header`."""
    code = _PLAIN_CODES[blob_type]
    if uncompressed_length:
        return _COMPRESSED_ENTRY.pack(code + 2, length, uncompressed_length, blob_id)
    return _PLAIN_ENTRY.pack(code, length, blob_id)


def decode_header(plain: bytes) -> list[BlobEntry]:
    """The entries of an opened header, offsets filled in.

    Raises:
        DamagedError: an entry is cut short, of an unknown type, or shorter than a sealed blob can be.
    """
    return list(entries_of(plain))


def entries_of(plain: bytes) -> Iterator[BlobEntry]:
    """As `decode_header`, one by one: all together take 300 bytes each."""
    position = offset = 0
    end = len(plain)
    while position < end:
        code = plain[position]
        layout = _PLAIN_ENTRY if code < 2 else _COMPRESSED_ENTRY
        if code > 3:
            raise DamagedError(f"a pack's header names the unknown blob type {code}")
        if position + layout.size > end:
            raise DamagedError("a pack's header is cut short")
        _, length, *rest = layout.unpack_from(plain, position)
        if length < OVERHEAD_BYTES:
            raise DamagedError(f"a pack's header has a blob of {length} bytes, less than a sealed one has")
        uncompressed_length = rest[0] if code > 1 else None
        yield BlobEntry(_TYPES[code & 1], rest[-1], offset, length, uncompressed_length)
        position += layout.size
        offset += length


class PackBuilder:
    """Collects sealed blobs into one pack and hashes them as they come. For one thread."""

    __slots__ = ("_entries", "_hash", "_offset", "_parts", "_sealer")

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._hash = hashlib.sha256()
        self._parts: list[Buffer] = []
        self._entries: list[BlobEntry] = []
        self._offset = 0

    @property
    def size_bytes(self) -> int:
        """Blob bytes so far, without the header."""
        return self._offset

    @property
    def count(self) -> int:
        """Blobs so far."""
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether it is time to finish: the target's size, or as many blobs as a header holds."""
        return self._offset >= TARGET_BYTES or len(self._entries) >= COUNT_LIMIT

    def add(self, blob_type: str, blob_id: bytes, sealed: Buffer, uncompressed_length: int | None) -> None:
        """Append a blob. `sealed` is kept, not copied: it must not change any more."""
        length = len(sealed)
        self._hash.update(sealed)
        self._parts.append(sealed)
        self._entries.append(BlobEntry(blob_type, blob_id, self._offset, length, uncompressed_length))
        self._offset += length

    def finish(self) -> Pack:
        """The pack, its header sealed and appended. The builder is used up; at least one blob must be in it."""
        header = self._sealer.seal(encode_header(self._entries))
        trailer = len(header).to_bytes(LENGTH_FIELD_BYTES, "little")
        self._hash.update(header)
        self._hash.update(trailer)
        parts = [*self._parts, header, trailer]
        size = self._offset + len(header) + LENGTH_FIELD_BYTES
        return Pack(self._hash.digest(), parts, size, tuple(self._entries))


def parse_pack(sealer: Sealer, whole: Buffer) -> list[BlobEntry]:
    """The entries of a whole pack.

    Raises:
        DamagedError: as for `parse_tail`.
    """
    return parse_tail(sealer, whole, len(whole))


def header_length(tail: Buffer, pack_size: int) -> int:
    """How many bytes at a pack's end its sealed header and the length field take, as the last four bytes of `tail` say.

    Raises:
        DamagedError: the pack or the header is shorter or longer than any can be.
    """
    if pack_size < SMALLEST_PACK_BYTES or len(tail) < LENGTH_FIELD_BYTES:
        raise DamagedError(f"a pack is too short: {pack_size} bytes")
    sealed_bytes = int.from_bytes(tail[-LENGTH_FIELD_BYTES:], "little")
    length = sealed_bytes + LENGTH_FIELD_BYTES
    if not OVERHEAD_BYTES + PLAIN_ENTRY_BYTES <= sealed_bytes <= pack_size - LENGTH_FIELD_BYTES:
        raise DamagedError(f"a pack of {pack_size} bytes says that its header has {sealed_bytes}")
    if length > HEADER_LIMIT_BYTES:
        raise DamagedError(f"a pack's header of {sealed_bytes} bytes is longer than any that is read")
    return length


def parse_tail(sealer: Sealer, tail: Buffer, pack_size: int) -> list[BlobEntry]:
    """The entries, from the last bytes of a pack of `pack_size` bytes. `tail` holds at least `header_length` of them.

    Raises:
        DamagedError: the header is damaged, cut off, or does not add up to the pack's size.
    """
    length = header_length(tail, pack_size)
    if length > len(tail):
        raise DamagedError(f"the header of a pack needs {length} bytes, but only {len(tail)} were read")
    sealed = memoryview(tail)[len(tail) - length : -LENGTH_FIELD_BYTES]
    entries = decode_header(sealer.open(sealed))
    total = size_bytes(entries)
    if total != pack_size:
        raise DamagedError(f"a pack has {pack_size} bytes, but its header speaks of {total}")
    return entries
