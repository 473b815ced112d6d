"""What a dump of PostgreSQL holds: the definitions of its table of contents, and the rows of each of its blocks of data.

A block is a byte that says what it is, the number of its entry, and pieces that each have their length before them; a piece of length 0
ends it. pg_dump writes one piece a row (and from some version on several rows a piece), and ends a table's data as it would a script's.
Source: PostgreSQL, src/bin/pg_dump/pg_backup_custom.c.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.errors import IncompleteDumpError
from engine.model.contents import OTHER_COLUMNS, DumpContents, RowSample, TableContent
from engine.sources.postgres import quoting
from engine.sources.postgres.archive import ArchiveReader, Entry
from engine.sources.rows import RowDigest

LARGE_OBJECTS: Final = "large objects"
"""Stands among the tables."""
_ROWS, _LARGE_OBJECTS = 1, 3
_END_OF_ROWS: Final = (b"\\.", b"", b"")
"""Lines that follow the last row."""
_FOLDERS: Final[Mapping[str, str]] = {
    "TABLE": "tables",
    "FOREIGN TABLE": "tables",
    "INDEX": "indexes",
    "CONSTRAINT": "constraints",
    "CHECK CONSTRAINT": "constraints",
    "FK CONSTRAINT": "constraints",
    "VIEW": "views",
    "MATERIALIZED VIEW": "views",
    "FUNCTION": "routines",
    "PROCEDURE": "routines",
    "AGGREGATE": "routines",
    "TRIGGER": "triggers",
    "SEQUENCE": "sequences",
    "EXTENSION": "extensions",
    "ACL": "grants",
    "COMMENT": "comments",
    "POLICY": "policies",
    "DEFAULT": "defaults",
    "TYPE": "types",
    "DOMAIN": "types",
    "SCHEMA": "schemas",
    "RULE": "rules",
}
_NO_DEFINITION: Final = frozenset(
    (
        "TABLE DATA",
        "BLOBS",
        "SEQUENCE SET",
        "STATISTICS DATA",
        "ENCODING",
        "STDSTRINGS",
        "SEARCHPATH",
        "MATERIALIZED VIEW DATA",
    )
)
_OF_A_TABLE: Final = frozenset(
    ("CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "DEFAULT", "POLICY", "RULE")
)
"""The name of the table, a space, and its own."""
_COLUMNS: Final = re.compile(r'\((?P<columns>(?:[^"()]|"(?:[^"]|"")*")*)\) FROM stdin;\s*\Z')


def object_path(entry: Entry) -> str:
    """Where an entry stands among the objects of its database, by the names that the manifest has."""
    folder = _FOLDERS.get(entry.kind, entry.kind.lower().replace(" ", "_"))
    name = entry.name.replace(" ", ".", 1) if entry.kind in _OF_A_TABLE else entry.name
    return f"{folder}/{entry.namespace}.{name}" if entry.namespace else f"{folder}/{name}"


def columns_of(copy_statement: str) -> tuple[str, ...]:
    """The columns that a COPY statement names; empty where it names none."""
    found = _COLUMNS.search(copy_statement)
    return tuple(quoting.list_elements(found["columns"])) if found else ()


class PostgresContents(ArchiveReader):
    """See `base.DumpReader`."""

    def __init__(self, samples: Mapping[str, RowSample], folder: Path | None = None) -> None:
        """`samples` by the names of the manifest."""
        del folder
        super().__init__()
        self._samples = samples
        self._unread_bytes = b""
        self._piece_left = 0
        """Bytes of the piece that is being read."""
        self._kind = 0
        """Of the block that is being read; 0 between blocks."""
        self._object: _LargeObject | None = None
        self._table = ""
        self._rows = RowDigest()
        self._last_rows = b""
        self._large_objects = RowDigest()
        self._tables: dict[str, TableContent] = {}
        self._unread: dict[str, str] = {}
        self._by_id: dict[int, Entry] = {}

    def close(self) -> None:
        """See `base.DumpReader.close`. Nothing is kept."""

    def finish(self) -> DumpContents:
        """See `base.DumpReader.finish`."""
        self.require_whole()
        if not self.is_known:
            return DumpContents()
        assert self.head is not None
        if self.head.is_compressed:
            why = "its dump is compressed"
            return DumpContents(
                self._definitions(), {}, {_name(each): why for each in self.entries if _holds_rows(each)}
            )
        if self._large_objects.rows:
            self._tables[LARGE_OBJECTS] = self._large_objects.content
        return DumpContents(self._definitions(), self._tables, self._unread)

    def _definitions(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for entry in self.entries:
            if entry.kind not in _NO_DEFINITION:
                path = object_path(entry)
                before = found.get(path, b"")
                found[path] = (
                    hashlib.sha256(before + entry.definition).digest() if before else entry.definition
                )
        return found

    def _take_data(self, data: bytes | memoryview) -> None:
        if not self.is_known or self.head is None or self.head.is_compressed:
            return
        data = bytes(data)
        buffer = self._unread_bytes + data if self._unread_bytes else data
        position = 0
        while (after := self._step(buffer, position)) is not None:
            position = after
        self._unread_bytes = buffer[position:]

    def _step(self, buffer: bytes, position: int) -> int | None:
        """Reads on in the block or begins the next one; where it came to, or None where more bytes are needed."""
        if self._kind == 0:
            return self._begin(buffer, position)
        if self._kind == _LARGE_OBJECTS and self._object is None:
            number = self._number(buffer, position)
            if number is None:
                return None
            if number:
                self._object = _LargeObject(number)
            else:
                self._kind = 0
            return position + 1 + self._integer_bytes
        return self._pieces(buffer, position)

    def _begin(self, buffer: bytes, position: int) -> int | None:
        number = self._number(buffer, position + 1)
        if number is None:
            return None
        self._kind = buffer[position]
        if self._kind not in (_ROWS, _LARGE_OBJECTS):
            raise IncompleteDumpError("the dump holds a block of data of a kind that nobody knows")
        if self._kind == _ROWS:
            self._begin_table(number)
        return position + 2 + self._integer_bytes

    def _begin_table(self, number: int) -> None:
        self._by_id = self._by_id or {entry.id: entry for entry in self.entries}
        entry = self._by_id.get(number)
        if entry is None:
            raise IncompleteDumpError("the dump holds data of a table that it does not name")
        self._table = _name(entry)
        sample = self._samples.get(self._table)
        wanted: frozenset[int] = frozenset()
        if sample is not None:
            if columns_of(entry.copy_statement) == tuple(sample.columns):
                wanted = sample.rows
            else:
                self._unread[self._table] = OTHER_COLUMNS
        self._rows = RowDigest(wanted)

    def _pieces(self, buffer: bytes, position: int) -> int | None:
        """As many pieces of the block as are there. A hot loop: most pieces are one short row."""
        pieces: list[bytes] = []
        begin, end, header = position, len(buffer), 1 + self._integer_bytes
        left, is_over = self._piece_left, False
        number = int.from_bytes
        while True:
            if left:
                pieces.append(buffer[position : position + left])
                position += left
                if position > end:
                    left, position = position - end, end
                    break
            after = position + header
            if after > end:
                left = 0
                break
            left = number(buffer[position + 1 : after], "little")
            position = after
            if not left:
                is_over = True
                break
        self._piece_left = left
        self._take_pieces(b"".join(pieces))
        if is_over:
            self._end()
        return position if position > begin else None

    def _take_pieces(self, data: bytes) -> None:
        if self._object is not None:
            self._object.feed(data)
        else:
            self._last_rows = (self._last_rows + data[-8:])[-8:]
            self._rows.feed(data)

    def _end(self) -> None:
        if self._object is not None:
            self._large_objects.add([self._object.value()])
            self._object = None
            return
        self._rows.finish()
        if self._last_rows.endswith(b"\n".join((*_END_OF_ROWS, b""))):
            for line in _END_OF_ROWS:
                self._rows.take_away(line)
        self._tables[self._table] = self._rows.content
        self._kind, self._last_rows = 0, b""

    def _number(self, buffer: bytes, position: int) -> int | None:
        end = position + 1 + self._integer_bytes
        return int.from_bytes(buffer[position + 1 : end], "little") if end <= len(buffer) else None


class _LargeObject:
    """One, on its way."""

    def __init__(self, number: int) -> None:
        self._hash = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=8)

    def feed(self, data: bytes) -> None:
        self._hash.update(data)

    def value(self) -> int:
        return int.from_bytes(self._hash.digest())


def _holds_rows(entry: Entry) -> bool:
    return entry.kind == "TABLE DATA" and entry.has_data


def _name(entry: Entry) -> str:
    return f"{entry.namespace}.{entry.name}"
