"""The custom format of pg_dump (`-Fc`): its table of contents, read as it comes.

An archive has no trailer. What can be told without reading every row is told here: the head, the whole table of contents, and that the
last block was closed. Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c (ReadHead, ReadToc) and pg_backup_custom.c; versions
1.12 (PostgreSQL 9.6) to 1.16 (PostgreSQL 18) of the format.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from engine.errors import IncompleteDumpError

MAGIC = b"PGDMP"
_CUSTOM = 1
_OLDEST, _NEWEST = (1, 12), (1, 16)
_MOST_PENDING_BYTES = 64 << 20
"""One entry of the table of contents (a view, a function) is never that long."""
_LONGEST_STRING = 48 << 20
_TAIL_BYTES = 16
NO_SECTION, PRE_DATA, DATA, POST_DATA = 1, 2, 3, 4
"""Where in a restore an entry comes. What has no section (comments, grants) is of the one before it."""
_VALUE_SET = re.compile(r", '?(-?\d+)'?, (true|false)\);\s*\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in the table of contents."""

    id: int
    kind: str
    """TABLE, TABLE DATA, INDEX, …, as `pg_restore -l` prints it."""
    namespace: str
    name: str
    owner: str
    has_data: bool
    dependencies: tuple[int, ...]
    last_value: int | None = None
    """Of a SEQUENCE SET: None where the sequence was never used."""
    section: int = 0
    """See `PRE_DATA`."""
    definition: bytes = b""
    """A digest of the statement that makes it, and of its owner."""
    copy_statement: str = ""
    """Of a TABLE DATA: `COPY public.orders (id, text) FROM stdin;`."""
    tablespace: str = ""
    """That it lies in; empty for the database's own."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the table of contents."""

    version: tuple[int, int]
    server_version: str
    tool_version: str
    is_compressed: bool = False


class ArchiveReader:
    """Takes an archive in pieces of any length. What it holds does not grow with the data."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.entries: list[Entry] = []
        self.is_contents_read = False
        """Whether the whole table of contents has come (or is of a version that is not read)."""
        self.is_known = True
        """Whether the format's version is one that is read here; else there are no entries."""
        self._pending = bytearray()
        self._position = 0
        self._left = 0
        self._integer_bytes = self._offset_bytes = 0
        self._tail = b""
        self._data_bytes = 0

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes, of which none is kept where it lies. Raises: IncompleteDumpError where this is no archive."""
        if self.is_contents_read:
            self._data_bytes += len(data)
            self._tail = (self._tail + bytes(data[-_TAIL_BYTES:]))[-_TAIL_BYTES:]
            self._take_data(data)
            return
        self._pending += data
        try:
            self._read_on()
        except _TooShortError:
            del self._pending[: self._position]
            if len(self._pending) > _MOST_PENDING_BYTES:
                raise IncompleteDumpError(
                    "pg_dump sent no archive: its table of contents has no end"
                ) from None
        self._position = 0

    def require_whole(self) -> None:
        """Raises IncompleteDumpError where the end cannot be an archive's end: in the table of contents, or in a block of data."""
        if not self.is_contents_read:
            raise IncompleteDumpError("the dump ends in its table of contents")
        if not self.is_known:
            return
        has_data = any(entry.has_data for entry in self.entries)
        closing = bytes(1 + self._integer_bytes)
        if has_data != bool(self._data_bytes) or (has_data and not self._tail.endswith(closing)):
            raise IncompleteDumpError("the dump ends in the middle of its data")

    def _take_data(self, data: bytes | memoryview) -> None:
        """What follows the table of contents; for those who look into it."""

    def _read_on(self) -> None:
        if self.head is None:
            self._read_head()
            del self._pending[: self._position]
            self._position = 0
        while self._left and self.is_known:
            begin = self._position
            try:
                self.entries.append(self._entry())
            except _TooShortError:
                self._position = begin
                raise
            self._left -= 1
        self.is_contents_read = True
        rest = bytes(self._pending[self._position :])
        self._pending = bytearray()
        self.feed(rest)

    def _read_head(self) -> None:
        self._position = 0
        try:
            if bytes(self._take(5)) != MAGIC:
                raise IncompleteDumpError("what pg_dump sent does not begin as an archive does")
            major, minor, _revision, self._integer_bytes, self._offset_bytes, form = self._take(6)
            version = (major, minor)
            if version < _OLDEST or version > _NEWEST:
                self.is_known, self.head = False, Head(version, "", "")
                return
            if form != _CUSTOM or not 0 < self._integer_bytes <= 8 or not 0 < self._offset_bytes <= 8:
                raise IncompleteDumpError("what pg_dump sent is no archive of the custom format")
            compression = self._take(1)[0] if version >= (1, 15) else self._integer()
            for _part_of_time in range(7):
                self._integer()
            _database, server_version, tool_version = self._text(), self._text(), self._text()
            self._left = self._integer()
            self.head = Head(version, server_version, tool_version, compression != 0)
        except _TooShortError:
            self._position = 0
            raise

    def _entry(self) -> Entry:
        assert self.head is not None
        version = self.head.version
        number, has_data = self._integer(), self._integer() != 0
        self._text(), self._text()
        name, kind = self._text(), self._text()
        section = self._integer()
        statement = self._text()
        self._text()
        copy_statement = self._text()
        namespace = self._text()
        tablespace = self._text()
        if version >= (1, 14):
            self._text()
        if version >= (1, 16):
            self._integer()
        owner = self._text()
        self._text()
        dependencies = []
        while (dependency := self._maybe_text()) is not None:
            if not (dependency.isascii() and dependency.isdigit()):
                raise IncompleteDumpError("what pg_dump sent is no archive: an object depends on no number")
            dependencies.append(int(dependency))
        self._take(1 + self._offset_bytes)
        value = _last_value(statement) if kind == "SEQUENCE SET" else None
        definition = hashlib.sha256(f"{owner}\n{statement}".encode("utf-8", "backslashreplace")).digest()
        return Entry(
            number,
            kind,
            namespace,
            name,
            owner,
            has_data,
            tuple(dependencies),
            value,
            section,
            definition,
            copy_statement,
            tablespace,
        )

    def _take(self, size: int) -> memoryview | bytes:
        end = self._position + size
        if end > len(self._pending):
            raise _TooShortError
        taken = bytes(self._pending[self._position : end])
        self._position = end
        return taken

    def _integer(self) -> int:
        sign, *rest = self._take(1 + self._integer_bytes)
        value = int.from_bytes(bytes(rest), "little")
        return -value if sign else value

    def _maybe_text(self) -> str | None:
        size = self._integer()
        if size < 0:
            return None
        if size > _LONGEST_STRING:
            raise IncompleteDumpError("what pg_dump sent is no archive: a text in it has no end")
        return bytes(self._take(size)).decode("utf-8", "backslashreplace")

    def _text(self) -> str:
        return self._maybe_text() or ""


class _TooShortError(Exception):
    """More bytes are needed."""


def _last_value(statement: str) -> int | None:
    found = _VALUE_SET.search(statement)
    return int(found[1]) if found and found[2] == "true" else None
