"""What binary logs say was done: where transactions lie, and what was dropped or emptied. Pure.

Statements that change tables themselves are logged as they were said; rows that were deleted one by one are not told of. A statement of over
64 KiB, and one that the server compressed, is passed over. Source: MariaDB's manual, "Query_event".
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Sequence
from typing import Final

from engine.errors import IncompleteDumpError, UsageError
from engine.model.instants import LogChange, LogMark
from engine.sources.mariadb.binlog import GTID_TEXT, BinlogReader, Transaction

_QUERY: Final = 2
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
ALL_TABLES: Final = "*"
"""In place of the names of those that went with their database."""


class BinlogReading:
    """See `logs.LogReading`. Nothing goes on from one log to the next."""

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
    def changes(least_rows: int) -> BinlogChanges:
        """See `logs.LogReading.changes`."""
        del least_rows
        return BinlogChanges()


class BinlogChanges:
    """See `logs.LogChanges`."""

    def feed(self, content: bytes | bytearray, after: bytes) -> Sequence[LogChange]:
        """See `logs.LogChanges.feed`."""
        del after
        found: list[LogChange] = []
        current: list[Transaction] = []

        def begin(transaction: Transaction) -> None:
            current[:] = [transaction]

        def see(kind: int, body: memoryview) -> None:
            if kind == _QUERY and current:
                for changed, database, tables in changes_of(*statement(body)):
                    at, gtid = current[0].at, current[0].gtid
                    found.append(LogChange(at, gtid, gtid, changed, database, (), tables=tables))

        _read(BinlogReader("log", begin, see), content)
        return found


def statement(body: memoryview) -> tuple[str, str]:
    """The database that a logged statement was said in, and the statement; empty where it is none."""
    if len(body) < _QUERY_BODY.size:
        return "", ""
    _thread, _took, name_bytes, _error, status_bytes = _QUERY_BODY.unpack_from(body)
    at = _QUERY_BODY.size + status_bytes
    database = bytes(body[at : at + name_bytes]).decode("utf-8", "replace")
    return database, bytes(body[at + name_bytes + 1 :]).decode("utf-8", "replace")


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
