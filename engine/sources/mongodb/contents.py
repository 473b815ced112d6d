"""What an archive of mongodump holds: of each collection its metadata (options and indexes), how many documents, and a digest of them.

Source: mongo-tools, package `archive`: four bytes of magic, a BSON document with the versions, one for each collection with its metadata,
four bytes 0xFF; then blocks, each a header that names its collection, documents, and four bytes 0xFF. Blocks of collections alternate.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents, RowSample
from engine.sources.rows import RowDigest, hash_of

_MAGIC_BYTES: Final = 4
_TERMINATOR: Final = b"\xff" * 4
_LONGEST_BYTES: Final = 64 << 20
"""Of a document; MongoDB's own limit is 16 MiB and a little."""
_SHORTEST_BYTES: Final = 5
_NUMBERS: Final[Mapping[int, int]] = {0x01: 8, 0x08: 1, 0x10: 4, 0x12: 8}
"""Bytes of a field, by its type: double, boolean, 32 and 64 bits."""
_STRING: Final = 0x02


class MongodbContents:
    """See `base.DumpReader`."""

    def __init__(self, samples: Mapping[str, RowSample], folder: Path | None = None) -> None:
        """Documents are never sampled."""
        del samples, folder
        self._held = b""
        self._has_begun = self._is_prelude_over = False
        self._rows: dict[tuple[str, str], RowDigest] = {}
        self._metadata: dict[tuple[str, str], bytes] = {}
        self._current: RowDigest | None = None

    def feed(self, data: bytes) -> None:
        """See `base.DumpReader.feed`."""
        held = self._held + data if self._held else data
        position = 0
        if not self._has_begun:
            if len(held) < _MAGIC_BYTES:
                self._held = held
                return
            position, self._has_begun = _MAGIC_BYTES, True
        while (end := _part_end(held, position)) is not None:
            self._take(held[position:end])
            position = end
        self._held = held[position:]

    def finish(self) -> DumpContents:
        """See `base.DumpReader.finish`."""
        if self._held or not self._is_prelude_over or self._current is not None:
            raise IncompleteDumpError("the archive ends in the middle of a collection")
        databases = {
            database: DumpContents(
                {
                    f"tables/{name}": digest
                    for (its, name), digest in self._metadata.items()
                    if its == database
                },
                {name: rows.content for (its, name), rows in self._rows.items() if its == database},
            )
            for database in {database for database, _name in self._rows.keys() | self._metadata.keys()}
        }
        return DumpContents(databases=databases)

    def close(self) -> None:
        """See `base.DumpReader.close`. Nothing is kept."""

    def _take(self, part: bytes) -> None:
        if part == _TERMINATOR:
            self._is_prelude_over, self._current = True, None
        elif not self._is_prelude_over:
            fields = dict(_fields(part))
            if "collection" in fields:
                metadata = fields.get("metadata", "")
                self._metadata[_name(fields)] = hashlib.sha256(metadata.encode()).digest()
        elif self._current is None:
            self._current = self._rows.setdefault(_name(dict(_fields(part))), RowDigest())
        else:
            self._current.add([hash_of(part)])


def _part_end(data: bytes, position: int) -> int | None:
    """Where the document or terminator ends that begins there; None where more bytes are needed."""
    if position + 4 > len(data):
        return None
    if data[position : position + 4] == _TERMINATOR:
        return position + 4
    (size,) = struct.unpack_from("<i", data, position)
    if not _SHORTEST_BYTES <= size <= _LONGEST_BYTES:
        raise IncompleteDumpError("the archive holds what is no document")
    return position + size if position + size <= len(data) else None


def _fields(document: bytes) -> Iterator[tuple[str, str]]:
    """The texts of a document that holds no more than texts and numbers; what follows anything else is not told."""
    position = 4
    while position < len(document) - 1:
        kind = document[position]
        end = document.find(b"\0", position + 1)
        if end < 0:
            return
        name = document[position + 1 : end].decode(errors="backslashreplace")
        position = end + 1
        if kind in _NUMBERS:
            position += _NUMBERS[kind]
        elif kind == _STRING and position + 4 <= len(document):
            size = int.from_bytes(document[position : position + 4], "little")
            yield name, document[position + 4 : position + 3 + size].decode(errors="backslashreplace")
            position += 4 + size
        else:
            return


def _name(fields: Mapping[str, str]) -> tuple[str, str]:
    if "db" not in fields or "collection" not in fields:
        raise IncompleteDumpError("the archive holds a collection without a name")
    return fields["db"], fields["collection"]
