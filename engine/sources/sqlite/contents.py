"""What a copy of a SQLite database holds, read by this machine's own SQLite in a scratch folder.

The file is anybody's: it is opened read-only, nothing of its schema is trusted, and no view, trigger or virtual table of it is ever run.
"""

# Names are quoted by `_quoted` alone.
# ruff: noqa: S608

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents, RowSample, TableContent
from engine.sources.rows import RowDigest

_AT_ONCE: Final = 1000
"""Rows."""
_FOLDERS: Final[Mapping[str, str]] = {
    "table": "tables",
    "index": "indexes",
    "view": "views",
    "trigger": "triggers",
}
_OBJECTS: Final = "SELECT type, name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'"


class SqliteContents:
    """See `base.DumpReader`."""

    def __init__(self, samples: Mapping[str, RowSample], folder: Path) -> None:
        """`folder` is where the copy lies meanwhile."""
        del samples
        # Open until `close`, which removes it.
        self._file = tempfile.NamedTemporaryFile(prefix="holdfast-diff-", dir=folder)  # noqa: SIM115

    def feed(self, data: bytes) -> None:
        """See `base.DumpReader.feed`."""
        self._file.write(data)

    def finish(self) -> DumpContents:
        """See `base.DumpReader.finish`."""
        self._file.flush()
        address = f"file:{quote(self._file.name)}?mode=ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
                return _read(database)
        except sqlite3.DatabaseError as error:
            raise IncompleteDumpError(f"the copy of the database cannot be read: {error}") from error

    def close(self) -> None:
        """See `base.DumpReader.close`."""
        self._file.close()


def _read(database: sqlite3.Connection) -> DumpContents:
    database.text_factory = bytes
    database.execute("PRAGMA trusted_schema = OFF")
    definitions: dict[str, bytes] = {}
    tables: dict[str, TableContent] = {}
    unread: dict[str, str] = {}
    for kind, name, statement in database.execute(_OBJECTS).fetchall():
        shown = name.decode("utf-8", "backslashreplace")
        folder = _FOLDERS.get(kind.decode("ascii", "replace"), "others")
        definitions[f"{folder}/{shown}"] = hashlib.sha256(statement or b"").digest()
        if folder != "tables":
            continue
        if (statement or b"").lstrip().upper().startswith(b"CREATE VIRTUAL"):
            unread[shown] = "it is virtual; the tables that it keeps its rows in are compared"
            continue
        try:
            tables[shown] = _rows(database, name.decode())
        except UnicodeDecodeError:
            unread[shown] = "its name is no Unicode"
    return DumpContents(definitions, tables, unread)


def _rows(database: sqlite3.Connection, table: str) -> TableContent:
    digest = RowDigest()
    cursor = database.execute(f"SELECT * FROM {_quoted(table)}")
    while rows := cursor.fetchmany(_AT_ONCE):
        # Of the text, because numbers that are equal are no equal values: 1 and 1.0; and Python's hashes of -1 and -2 are the same.
        digest.add([hash(repr(row)) for row in rows])
    return digest.content


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
