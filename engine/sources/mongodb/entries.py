"""Entries of an oplog as they stream by, cut into slices of time. Pure.

Source: the BSON specification. `ts` is not the first field of an entry in every version, and so all before it is stepped over.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from engine.errors import IncompleteDumpError

SLICE_S: Final = 60
"""How many seconds of the server's clock a slice is long: cut so, each is the same whenever and from whichever member it is read."""
_LONGEST_BYTES: Final = 64 << 20
"""Of an entry; MongoDB's own limit is 16 MiB and a little."""
_SHORTEST_BYTES: Final = 5
_TIMESTAMP: Final = 0x11
_FIXED: Final[Mapping[int, int]] = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0,
}  # fmt: skip
"""Bytes of a value, by its type."""
_SIZED: Final[Mapping[int, int]] = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""Bytes that a value takes besides those that its first four say."""
_REGULAR_EXPRESSION: Final = 0x0B
_EMBEDDED: Final = 0x03
_OBJECT_ID: Final = 0x07


class Entries:
    """Whole entries out of pieces; at most one piece and one entry are held."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The entries that are whole now. Raises: IncompleteDumpError for what is no document."""
        held, position = self._held + piece, 0
        while position + 4 <= len(held):
            (size,) = struct.unpack_from("<i", held, position)
            if not _SHORTEST_BYTES <= size <= _LONGEST_BYTES:
                raise IncompleteDumpError("the oplog holds what is no document")
            if position + size > len(held):
                break
            self._held = b""
            yield held[position : position + size]
            position += size
        self._held = held[position:]

    def require_whole(self) -> None:
        """At the end. Raises: IncompleteDumpError where it is in the middle of an entry."""
        if self._held:
            raise IncompleteDumpError("the oplog ends in the middle of an entry")


def timestamp_of(entry: bytes) -> tuple[int, int]:
    """Its `ts`: seconds since 1970, and the count within that second. Raises: IncompleteDumpError where it has none."""
    found = _field(entry, b"ts")
    if found is None or found[0] != _TIMESTAMP:
        raise IncompleteDumpError("the oplog holds an entry without a timestamp")
    increment, seconds = struct.unpack("<II", found[1])
    return seconds, increment


def replica_set_id(document: bytes) -> str:
    """Of a replica set's configuration, in hex; empty where it has none. Raises: IncompleteDumpError for what is no document."""
    settings = _field(document, b"settings")
    found = _field(settings[1], b"replicaSetId") if settings and settings[0] == _EMBEDDED else None
    return found[1].hex() if found and found[0] == _OBJECT_ID else ""


def slice_of(seconds: int) -> int:
    """The number of the slice that a second belongs to."""
    return seconds // SLICE_S


def name_of(number: int) -> str:
    """A slice's file: its first second, and the one behind its last."""
    return f"{number * SLICE_S}-{(number + 1) * SLICE_S}.bson"


def begins_at(number: int) -> datetime.datetime:
    """A slice's first instant."""
    return instant(number * SLICE_S)


def instant(seconds: int) -> datetime.datetime:
    """Of whole seconds, which is all that a timestamp says."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _field(document: bytes, wanted: bytes) -> tuple[int, bytes] | None:
    """Type and bytes of the field of that name, at the top. Raises: IncompleteDumpError."""
    position, end = 4, len(document) - 1
    while position < end:
        kind = document[position]
        begin = document.find(b"\0", position + 1) + 1
        after = begin + _size(document, kind, begin)
        if not 0 < begin <= after <= end:
            raise IncompleteDumpError("the oplog holds a document that is longer than it says")
        if document[position + 1 : begin - 1] == wanted:
            return kind, document[begin:after]
        position = after
    return None


def _size(document: bytes, kind: int, begin: int) -> int:
    """Of the value that begins there. Raises: IncompleteDumpError for a type that is none."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _SIZED and begin + 4 <= len(document):
        size = int.from_bytes(document[begin : begin + 4], "little", signed=True)
        return _SIZED[kind] + size if size >= 0 else -begin
    if kind == _REGULAR_EXPRESSION:
        first = document.find(b"\0", begin) + 1
        second = document.find(b"\0", first) + 1
        return second - begin if first and second else -begin
    raise IncompleteDumpError(f"the oplog holds a field of an unknown type: {kind:#x}")
