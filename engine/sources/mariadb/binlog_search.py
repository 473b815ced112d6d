"""What binary logs say was done: where transactions lie, what was dropped or emptied, and how many rows were deleted or updated. Pure.

Statements that change tables themselves are logged as they were said. So are those that change rows, where binlog_format is STATEMENT, and most of
them where it is MIXED: how many rows these changed is not told. Where it is ROW each row is there, and with binlog_annotate_row_events the
statement before it. Of what is longer than 64 KiB the beginning is looked at. Source: MariaDB's manual, "Query_event", "Annotate_rows_event".
"""

from __future__ import annotations

import datetime
import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import IncompleteDumpError, UsageError
from engine.model.instants import ALL_TABLES, LogChange, LogMark
from engine.sources.logs import WantedChanges
from engine.sources.mariadb.binlog import GTID_TEXT, BinlogReader, Transaction
from engine.sources.mariadb.row_events import ROW_KINDS, TABLE_MAP, MappedTable, counted, mapped, plain

_QUERY, _ANNOTATION, _COMPRESSED_QUERY = 2, 160, 165
_QUERY_BODY: Final = struct.Struct("<IIBHH")
_SPACE: Final = r"(?:\s|/\*.*?\*/|--[^\n]*\n|#[^\n]*\n)*"
_NAME: Final = r"(?:`(?:[^`]|``)+`|[\w$]+)"
_DROPPED: Final = re.compile(
    rf"{_SPACE}(?:DROP\s+TABLE(?:\s+IF\s+EXISTS)?|(?P<emptied>TRUNCATE(?:\s+TABLE)?|CREATE\s+OR\s+REPLACE\s+TABLE))\s+"
    rf"(?P<tables>{_NAME}(?:\s*\.\s*{_NAME})?(?:\s*,\s*{_NAME}(?:\s*\.\s*{_NAME})?)*)",
    re.IGNORECASE | re.DOTALL,
)
_DATABASE: Final = re.compile(
    rf"{_SPACE}DROP\s+(?:DATABASE|SCHEMA)(?:\s+IF\s+EXISTS)?\s+(?P<name>{_NAME})", re.IGNORECASE | re.DOTALL
)
_TABLE: Final = re.compile(rf"({_NAME})(?:\s*\.\s*({_NAME}))?")
_EDITED: Final = re.compile(
    rf"{_SPACE}(?:DELETE(?:\s+(?:LOW_PRIORITY|QUICK|IGNORE))*\s+FROM|(?P<set>UPDATE)(?:\s+(?:LOW_PRIORITY|IGNORE))*)\s+"
    rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME})?)(?!\s*,)",
    re.IGNORECASE | re.DOTALL,
)
"""Of one table. Where it deletes from several, or by joining others, no name is taken from it."""
_LIMITED: Final = re.compile(r"\b(?:WHERE|LIMIT|JOIN|USING)\b", re.IGNORECASE)
_SECRET: Final = re.compile(r"\b(?:IDENTIFIED|PASSWORD)\b.*", re.IGNORECASE | re.DOTALL)
_SHOWN: Final = 200
"""Characters of a statement."""


class BinlogReading:
    """See `logs.LogReading`. Nothing goes on from one log to the next."""

    has_fractions = False
    has_statements = True

    @staticmethod
    def continuation(content: bytes | bytearray) -> bytes:
        """See `logs.LogReading.continuation`."""
        del content
        return b""

    @staticmethod
    def mark(content: bytes | bytearray, after: bytes, transaction: str, point: str) -> LogMark | None:
        """See `logs.LogReading.mark`."""
        del after
        if point:
            raise UsageError(
                "MariaDB knows no restore points", hint="name an instant, or a transaction by its GTID"
            )
        if not GTID_TEXT.fullmatch(transaction):
            raise UsageError(
                f"{transaction!a} is no transaction of MariaDB: they are GTIDs, as 0-1-4711",
                hint="holdfast logs find gives them",
            )
        return next((_mark(each) for each in _transactions(content) if each.gtid == transaction), None)

    @staticmethod
    def endings(content: bytes | bytearray, after: bytes) -> tuple[LogMark | None, LogMark | None]:
        """See `logs.LogReading.endings`."""
        del after
        found = _transactions(content)
        return (_mark(found[0]), _mark(found[-1])) if found else (None, None)

    @staticmethod
    def points(content: bytes | bytearray, after: bytes) -> Sequence[LogMark]:
        """See `logs.LogReading.points`."""
        del content, after
        return ()

    @staticmethod
    def changes(wanted: WantedChanges) -> BinlogChanges:
        """See `logs.LogReading.changes`."""
        return BinlogChanges(wanted)


@dataclass(slots=True)
class _Group:
    """A transaction, as far as it was read."""

    name: str
    """Of the log."""
    begins: Transaction
    tables: dict[int, MappedTable] = field(default_factory=dict)
    said: str = ""
    """The statement whose rows come."""
    is_sought: bool = True
    """Whether that is one of those that are looked for."""
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By database, table and what was done to them."""
    by: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """The first statement that did it."""
    found: list[LogChange] = field(default_factory=list)

    def add(self, kind: str, database: str, tables: tuple[str, ...], statement: str, rows: int = 0) -> None:
        """Something that it did."""
        begins = self.begins
        place = f"{self.name}:{begins.offset}"
        found = LogChange(begins.at, begins.gtid, place, kind, database, (), rows, tables, _shown(statement))
        self.found.append(found)


class BinlogChanges:
    """See `logs.LogChanges`. A transaction never goes on in another log."""

    def __init__(self, wanted: WantedChanges) -> None:
        self._wanted = wanted
        self._sought = _plain(wanted.statement)

    def feed(self, name: str, content: bytes | bytearray, after: bytes) -> Sequence[LogChange]:
        """See `logs.LogChanges.feed`."""
        del after
        found: list[LogChange] = []
        groups: list[_Group] = []

        def begin(transaction: Transaction) -> None:
            end()
            groups[:] = [_Group(name, transaction, is_sought=not self._sought)]

        def end() -> None:
            for group in groups:
                self._end(group)
                found.extend(group.found)
            groups.clear()

        def see(kind: int, body: memoryview, is_cut: bool) -> None:
            for group in groups:
                self._see(group, kind, body, is_cut=is_cut)

        _read(BinlogReader(name, begin, see), content)
        end()
        return found

    def _see(self, group: _Group, kind: int, body: memoryview, *, is_cut: bool) -> None:
        if kind in (_QUERY, _COMPRESSED_QUERY):
            self._query(group, *statement(body, is_compressed=kind == _COMPRESSED_QUERY))
        elif kind == _ANNOTATION:
            group.said = bytes(body).decode("utf-8", "replace")
            group.is_sought = self._is_sought(group.said)
        elif kind == TABLE_MAP:
            if (table := mapped(body)) is not None:
                group.tables[table.number] = table
        elif kind in ROW_KINDS and group.is_sought and (ROW_KINDS[kind] != "inserted" or self._sought):
            rows = counted(kind, body, group.tables, is_cut=is_cut)
            table = group.tables.get(rows.table) if rows is not None else None
            if rows is not None and table is not None:
                key = (table.database, table.name, rows.kind)
                group.rows[key] += rows.count
                group.by.setdefault(key, group.said)

    def _query(self, group: _Group, database: str, text: str) -> None:
        if text == "ROLLBACK":
            group.rows.clear()
        if not self._is_sought(text) or text in ("BEGIN", "COMMIT", "ROLLBACK"):
            return
        done = changes_of(database, text)
        for kind, owner, tables in done:
            group.add(kind, owner, tables, text)
        edited = _EDITED.match(text)
        if edited is not None:
            first, second = _TABLE.findall(edited["table"])[0]
            owner, table = (_unquoted(first), second) if second else (database, first)
            kind = "updated" if edited["set"] else "deleted"
            is_all = kind == "deleted" and not _LIMITED.search(text)
            if self._sought or is_all or self._wanted.least_rows <= 1:
                group.add(kind, owner, (_unquoted(table),), text)
        elif self._sought and not done:
            group.add("said", database, (), text)

    def _end(self, group: _Group) -> None:
        for key, count in group.rows.items():
            database, table, kind = key
            if count >= self._wanted.least_rows:
                group.add(kind, database, (table,), group.by[key], count)

    def _is_sought(self, text: str) -> bool:
        return not self._sought or self._sought in _plain(text)


def statement(body: memoryview, *, is_compressed: bool = False) -> tuple[str, str]:
    """The database that a logged statement was said in, and the statement; empty where it is none."""
    if len(body) < _QUERY_BODY.size:
        return "", ""
    _thread, _took, name_bytes, _error, status_bytes = _QUERY_BODY.unpack_from(body)
    at = _QUERY_BODY.size + status_bytes
    database = bytes(body[at : at + name_bytes]).decode("utf-8", "replace")
    text = body[at + name_bytes + 1 :]
    try:
        said = plain(text) if is_compressed else bytes(text)
    except (IndexError, zlib.error):
        return database, ""
    return database, said.decode("utf-8", "replace")


def changes_of(database: str, text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """What a statement drops or empties: kind as `LogChange` has it, database, tables."""
    if (dropped := _DATABASE.match(text)) is not None:
        return [("dropped", _unquoted(dropped["name"]), (ALL_TABLES,))]
    changed = _DROPPED.match(text)
    if changed is None:
        return []
    tables: dict[str, list[str]] = {}
    for first, second in _TABLE.findall(changed["tables"]):
        name, owner = (second, _unquoted(first)) if second else (first, database)
        tables.setdefault(owner, []).append(_unquoted(name))
    kind = "replaced" if changed["emptied"] else "dropped"
    return [(kind, owner, tuple(names)) for owner, names in tables.items()]


def _plain(text: str) -> str:
    """As it is compared: without case, and with one space where there is any."""
    return " ".join(text.split()).casefold()


def _shown(text: str) -> str:
    """A statement for people, on one line; without what follows the word for a password."""
    return _SECRET.sub("…", " ".join(text.split()))[:_SHOWN]


def _unquoted(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _transactions(content: bytes | bytearray) -> list[Transaction]:
    found: list[Transaction] = []
    _read(BinlogReader("log", found.append), content)
    return found


def _read(reader: BinlogReader, content: bytes | bytearray) -> None:
    """What is behind damage is not told of; verify names it."""
    try:
        reader.feed(bytes(content))
    except IncompleteDumpError:
        return


def _mark(found: Transaction) -> LogMark:
    at: datetime.datetime = found.at
    return LogMark(found.gtid, at, found.gtid)
