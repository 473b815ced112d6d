"""What segments of PostgreSQL's write-ahead log say was done: where transactions ended and points were named, what was dropped, emptied, deleted.

Pure. Source: PostgreSQL's src/include/access/xact.h, xlogrecord.h, heapam_xlog.h, storage_xlog.h and xlog.c, versions 9.5 to 18. The log
knows tables by their files' numbers; a server that was brought back to just before knows their names.
"""

from __future__ import annotations

import datetime
import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import UsageError
from engine.model.instants import LogChange, LogMark
from engine.sources.logs import WantedChanges
from engine.sources.postgres import wal
from engine.sources.postgres.wal import Content

_MOST_RECORD: Final = 4 << 20
"""What is longer is none of those that are looked for."""
_COMMITS: Final = frozenset({0x00, 0x30})
_PREPARED: Final = frozenset({0x30, 0x40})
_POINT: Final = 0x70
_HAS_INFO: Final = 0x80
_HAS_DATABASE, _HAS_PARTS, _HAS_FILES, _HAS_MESSAGES, _HAS_PREPARED, _HAS_STATISTICS = 1, 2, 4, 8, 16, 256
_FILE: Final = struct.Struct("<III")
"""Tablespace, database, number."""
_MESSAGE_BYTES: Final = 16
_VERSION_15, _VERSION_18 = 0xD110, 0xD118
"""Magic numbers of pages."""
_DELETE: Final = 0x10
_CREATE: Final = 0x10
_SAME_FILE, _HAS_IMAGE = 0x80, 0x10
_FIRST_OWN: Final = 16384
"""Files with lower numbers are the catalog's."""
_MOST_OPEN: Final = 100_000
"""Counts of rows of transactions that have not ended yet."""

File = tuple[int, int]
"""Database and number."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a transaction."""

    address: int
    at: datetime.datetime
    transaction: int
    is_commit: bool
    parts: tuple[int, ...] = ()
    """Its subtransactions."""
    dropped: tuple[File, ...] = ()
    """Files that went with it."""


class WalReading:
    """See `logs.LogReading`."""

    has_fractions = True
    has_statements = False

    @staticmethod
    def continuation(content: Content) -> bytes:
        """See `logs.LogReading.continuation`."""
        return wal.continuation(content, _MOST_RECORD)

    @staticmethod
    def mark(content: Content, after: bytes, transaction: str, point: str) -> LogMark | None:
        """See `logs.LogReading.mark`. A transaction may be given with its epoch, as pg_current_xact_id() prints it."""
        if transaction and not (transaction.isascii() and transaction.isdecimal()):
            raise UsageError(
                f"{transaction!a} is no transaction of PostgreSQL: they are numbers",
                hint="pg_current_xact_id() gives them, and `holdfast logs find`",
            )
        number = int(transaction or 0) & 0xFFFF_FFFF
        if not _may_hold(content, after, number.to_bytes(4, "little") if transaction else point.encode()):
            return None
        found = [
            each
            for each in (_marks(content, after, is_of_points=bool(point)))
            if (each.point == point if point else each.transaction == str(number))
        ]
        return found[-1] if found else None

    @staticmethod
    def endings(content: Content, after: bytes) -> tuple[LogMark | None, LogMark | None]:
        """See `logs.LogReading.endings`."""
        found = list(_marks(content, after, is_of_points=False))
        return (found[0], found[-1]) if found else (None, None)

    @staticmethod
    def points(content: Content, after: bytes) -> Sequence[LogMark]:
        """See `logs.LogReading.points`."""
        return list(_marks(content, after, is_of_points=True))

    @staticmethod
    def changes(wanted: WantedChanges) -> WalChanges:
        """See `logs.LogReading.changes`. Rows that were updated are not told of."""
        return WalChanges(wanted.least_rows)


@dataclass(slots=True)
class _Open:
    """What one transaction, or a part of one, did so far."""

    deleted: Counter[File] = field(default_factory=Counter)
    created: int = 0


class WalChanges:
    """See `logs.LogChanges`."""

    def __init__(self, least_rows: int) -> None:
        self._least_rows = least_rows
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def feed(self, name: str, content: Content, after: bytes) -> list[LogChange]:
        """See `logs.LogChanges.feed`."""
        del name
        page = wal.first_page(content)
        if page is None:
            return []
        found: list[LogChange] = []
        for number in range(-(-len(content) // page.page_bytes)):
            for position, length, info, manager, transaction in wal.records(content, number):
                if manager == wal.HEAP and info & 0x70 == _DELETE:
                    head = wal.take(content, position, min(length, 64), page.page_bytes)
                    file = _block_file(head, page.magic)
                    if file is not None and file[1] >= _FIRST_OWN:
                        self._of(transaction).deleted[file] += 1
                elif manager == wal.SMGR and info & 0xF0 == _CREATE:
                    self._of(transaction).created += 1
                elif manager == wal.XACT and info & 0x70 in wal.ENDINGS:
                    whole = _whole(content, after, position, length, page.page_bytes)
                    ending = _ending(whole, page.address + position, page.magic)
                    if ending is not None:
                        found += self._ended(ending)
        return found

    def _of(self, transaction: int) -> _Open:
        found = self._open.get(transaction)
        if found is None:
            found = self._open[transaction] = _Open()
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return found

    def _ended(self, ending: Ending) -> Iterator[LogChange]:
        """What it did, where that is worth being named."""
        deleted: Counter[File] = Counter()
        created = 0
        for number in (ending.transaction, *ending.parts):
            done = self._open.pop(number, None)
            if done is not None:
                deleted += done.deleted
                created += done.created
        if not ending.is_commit:
            return
        dropped = [each for each in ending.dropped if each[1] >= _FIRST_OWN]
        for database in dict.fromkeys(each[0] for each in dropped):
            files = tuple(str(each[1]) for each in dropped if each[0] == database)
            kind = "replaced" if created >= len(files) else "dropped"
            yield _change(ending, kind, database, files, sum(deleted[database, int(each)] for each in files))
        for file, rows in deleted.items():
            if rows >= self._least_rows and file not in dropped:
                yield _change(ending, "deleted", file[0], (str(file[1]),), rows)


def _change(ending: Ending, kind: str, database: int, files: tuple[str, ...], rows: int) -> LogChange:
    place = wal.format_position(ending.address)
    return LogChange(ending.at, str(ending.transaction), place, kind, str(database), files, rows)


def _marks(content: Content, after: bytes, *, is_of_points: bool) -> Iterator[LogMark]:
    """The ends of transactions, or the named points, in the segment."""
    page = wal.first_page(content)
    if page is None:
        return
    for number in range(-(-len(content) // page.page_bytes)):
        for position, length, info, manager, _ in wal.records(content, number):
            is_point = manager == wal.XLOG and info & 0xF0 == _POINT
            is_ending = manager == wal.XACT and info & 0x70 in wal.ENDINGS
            if not (is_point if is_of_points else is_ending):
                continue
            whole = _whole(content, after, position, length, page.page_bytes)
            place = wal.format_position(page.address + position)
            if is_point:
                data = _data(whole)
                at = wal.instant(data)
                if at is not None:
                    name = data[8:72].partition(b"\0")[0].decode("utf-8", "replace")
                    yield LogMark(place, at, point=name)
            elif (ending := _ending(whole, page.address + position, page.magic)) is not None:
                yield LogMark(place, ending.at, transaction=str(ending.transaction))


def _may_hold(content: Content, after: bytes, sought: bytes) -> bool:
    """Whether the bytes lie in the segment, or over the border of two of its pages, or its end: searching is a hundred times as fast as reading."""
    held = content if isinstance(content, bytes | bytearray) else bytes(content)
    page = wal.first_page(content)
    if page is None or sought in held or sought in held[-len(sought) :] + after[: len(sought)]:
        return page is not None
    for border in range(page.page_bytes, len(held), page.page_bytes):
        behind = border + wal.SHORT_HEADER_BYTES
        if sought in held[border - len(sought) : border] + held[behind : behind + len(sought)]:
            return True
    return False


def _whole(content: Content, after: bytes, position: int, length: int, page_bytes: int) -> bytes:
    """The record, with what of it lies in the next segment; empty where it is too long, or not all there."""
    if length > _MOST_RECORD:
        return b""
    piece = wal.take(content, position, length, page_bytes)
    piece += after[: length - len(piece)]
    return piece if len(piece) == length else b""


def _data(record: bytes) -> bytes:
    """Of a record that is about no block: its own data; empty where it has none."""
    at = wal.RECORD.size
    while at < len(record) and record[at] in (wal.ORIGIN, wal.TOP_LEVEL):
        at += 3 if record[at] == wal.ORIGIN else 5
    if at >= len(record) or record[at] not in (wal.SHORT_DATA, wal.LONG_DATA):
        return b""
    return record[at + (2 if record[at] == wal.SHORT_DATA else 5) :]


def _ending(record: bytes, address: int, magic: int) -> Ending | None:
    """None where the record is not all there, or says no time."""
    data = _data(record)
    at = wal.instant(data)
    if at is None:
        return None
    _, transaction, _, info, _, _ = wal.RECORD.unpack_from(record)
    kind = info & 0x70
    try:
        parts, dropped, prepared = _parsed(data, magic) if info & _HAS_INFO else ((), (), 0)
    except struct.error:
        return None
    if kind in _PREPARED and prepared:
        transaction = prepared
    return Ending(address, at, transaction, kind in _COMMITS, parts, dropped)


def _parsed(data: bytes, magic: int) -> tuple[tuple[int, ...], tuple[File, ...], int]:
    """Subtransactions, dropped files, and the prepared transaction that is meant, 0 for none. Raises: struct.error where it is cut short."""
    (flags,) = struct.unpack_from("<I", data, 8)
    at = 12 + (8 if flags & _HAS_DATABASE else 0)
    parts: tuple[int, ...] = ()
    dropped: list[File] = []
    if flags & _HAS_PARTS:
        count = _count(data, at, 4)
        parts = struct.unpack_from(f"<{count}I", data, at + 4)
        at += 4 + 4 * count
    if flags & _HAS_FILES:
        count = _count(data, at, _FILE.size)
        for place in range(at + 4, at + 4 + count * _FILE.size, _FILE.size):
            _, database, number = _FILE.unpack_from(data, place)
            dropped.append((database, number))
        at += 4 + count * _FILE.size
    if flags & _HAS_STATISTICS and magic >= _VERSION_15:
        each = 16 if magic >= _VERSION_18 else 12
        at += 4 + each * _count(data, at, each)
    if flags & _HAS_MESSAGES:
        at += 4 + _MESSAGE_BYTES * _count(data, at, _MESSAGE_BYTES)
    prepared = struct.unpack_from("<I", data, at)[0] if flags & _HAS_PREPARED else 0
    return parts, tuple(dropped), prepared


def _count(data: bytes, at: int, each_bytes: int) -> int:
    """How many of these follow. Raises: struct.error where there cannot be so many."""
    (count,) = struct.unpack_from("<I", data, at)
    if count * each_bytes > len(data) - at:
        raise struct.error
    return int(count)


def _block_file(head: bytes, magic: int) -> File | None:
    """The file of the first block that a record is about."""
    at = wal.RECORD.size
    if len(head) < at + 4 or head[at] > 32:
        return None
    flags = head[at + 1]
    at += 4
    if flags & _HAS_IMAGE:
        if len(head) < at + 5:
            return None
        kind = head[at + 4]
        packed = 0x1C if magic >= _VERSION_15 else 0x02
        at += 5 + (2 if kind & 1 and kind & packed else 0)
    if flags & _SAME_FILE or len(head) < at + _FILE.size:
        return None
    _, database, number = _FILE.unpack_from(head, at)
    return database, number
