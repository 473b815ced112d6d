"""Verifying one pack: its hash, its header, each blob in it, and that the index says of it what the header does.

A pack is read piece by piece, so that memory is that of its largest blob. What is wrong is only named here; `check_damage` finds out what
it touches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from engine.errors import DamagedError
from engine.format import blob as blob_format
from engine.format import pack
from engine.format.compression import Decompressor
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType
from engine.format.pack import BlobEntry
from engine.repository.index import Index

PIECE_BYTES: Final = 1 << 20
"""Neighbouring blobs are read together up to this."""
_TAIL_BYTES: Final = 16 << 10
"""Read at first from a pack's end: most headers fit."""


class Expected(NamedTuple):
    """What the index says of a pack."""

    id: bytes
    size_bytes: int
    blobs: int


class PackFile(Protocol):
    """The bytes of a pack, wherever they come from."""

    def read(self, offset: int, length: int) -> memoryview:
        """These bytes, valid until the next call. Raises: DamagedError where the pack ends before."""
        ...


class WholePack:
    """A pack that is in memory."""

    def __init__(self, whole: bytes | bytearray) -> None:
        self._view = memoryview(whole)

    def read(self, offset: int, length: int) -> memoryview:
        """A slice."""
        if offset + length > len(self._view):
            raise DamagedError(f"the pack ends after {len(self._view)} bytes")
        return self._view[offset : offset + length]


class PackVerifier:
    """Verifies packs against an index. For one thread."""

    def __init__(self, master: MasterKey, index: Index) -> None:
        self._sealer = Sealer(master)
        self._decompressor = Decompressor()
        self._index = index

    def verify(self, file: PackFile, expected: Expected) -> None:
        """Goes through the whole pack. Raises: DamagedError with the first thing that is wrong."""
        entries = self._read_header(file, expected.size_bytes)
        if len(entries) != expected.blobs:
            raise DamagedError(f"the header has {len(entries)} blobs, but the index {expected.blobs}")
        hashed = hashlib.sha256()
        end = 0
        for piece in _pieces(entries):
            begin = piece[0].offset
            end = piece[-1].offset + piece[-1].length
            view = file.read(begin, end - begin)
            hashed.update(view)
            for entry in piece:
                self._verify_blob(entry, view[entry.offset - begin : entry.offset - begin + entry.length])
                self._compare(entry, expected.id)
        hashed.update(file.read(end, expected.size_bytes - end))
        if hashed.digest() != expected.id:
            raise DamagedError("the pack does not hash to its name")

    def _read_header(self, file: PackFile, size_bytes: int) -> list[BlobEntry]:
        first = min(size_bytes, _TAIL_BYTES)
        tail = file.read(size_bytes - first, first)
        length = pack.header_length(tail, size_bytes)
        if length > first:
            tail = file.read(size_bytes - length, length)
        return pack.parse_tail(self._sealer, tail, size_bytes)

    def _verify_blob(self, entry: BlobEntry, stored: memoryview) -> None:
        try:
            blob_format.decode(self._sealer, self._decompressor, stored, entry.id, entry.uncompressed_length)
        except DamagedError as error:
            raise DamagedError(f"the {entry.type} blob {entry.id.hex()} is damaged: {error}") from error

    def _compare(self, entry: BlobEntry, pack_id: bytes) -> None:
        """Raises: DamagedError where the index does not have this blob at this place."""
        type_: BlobType = "tree" if entry.type == "tree" else "data"
        place = (pack_id, entry.offset, entry.length, entry.uncompressed_length)
        if self._index.lookup(type_, entry.id) != place and place not in self._index.lookup_all(
            type_, entry.id
        ):
            raise DamagedError(
                f"the index does not have the {type_} blob {entry.id.hex()} where the header has it"
            )


def _pieces(entries: Sequence[BlobEntry]) -> Iterator[list[BlobEntry]]:
    """Neighbouring blobs to be read at once."""
    piece: list[BlobEntry] = []
    size_bytes = 0
    for entry in entries:
        if piece and size_bytes + entry.length > PIECE_BYTES:
            yield piece
            piece, size_bytes = [], 0
        piece.append(entry)
        size_bytes += entry.length
    if piece:
        yield piece
