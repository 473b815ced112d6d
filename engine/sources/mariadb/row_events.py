"""How many rows of which table a row event is about. Pure.

A *table map* says by which number the events behind it mean a table, and how wide its columns are; an event of rows has a bitmap of the columns
that it gives, and then row behind row: a bitmap of nulls, and the values that are none. An update gives each row twice, as it was and as it is.
Source: MariaDB's manual, "Rows_event" and "Table_map_event"; its sql/log_event.h, and binlog_buf_uncompress for compressed events.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

TABLE_MAP: Final = 19
RowKind = Literal["inserted", "updated", "deleted"]
_STEPS: Final[tuple[RowKind, ...]] = ("inserted", "updated", "deleted")
ROW_KINDS: Final[Mapping[int, RowKind]] = {
    first + step: kind for first in (23, 30, 166, 169) for step, kind in enumerate(_STEPS)
}
_SECOND_VERSION: Final = frozenset({30, 31, 32, 169, 170, 171})
_COMPRESSED: Final = frozenset(range(166, 172))
_MOST_PLAIN: Final = 64 << 20
"""A compressed event that says to be longer is none."""

_FIXED: Final = {1: 1, 2: 2, 3: 4, 6: 0, 7: 4, 8: 8, 9: 3, 10: 3, 11: 3, 12: 8, 13: 1, 14: 3}
"""Bytes of a value, by the type's number: those without anything of their own in the table map."""
_ONE: Final = frozenset({4, 5, 17, 18, 19, 140, 242, 245, 249, 250, 251, 252, 255})
_TWO: Final = frozenset({15, 16, 141, 246, 247, 248, 253, 254})
"""Types with so many bytes there."""
_BLOBS: Final = frozenset({140, 242, 245, 249, 250, 251, 252, 255})
_TIMES: Final = {17: 4, 18: 5, 19: 3}
"""Bytes before the fraction of a second."""
_DIGITS: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4)

Width = int
"""Bytes of a value; negative: so many bytes before it say how long it is."""


@dataclass(frozen=True, slots=True)
class MappedTable:
    """A table as the events behind its map mean it."""

    number: int
    database: str
    name: str
    widths: tuple[Width, ...]
    """Of its columns; none where one has a type that is not known."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one event says."""

    table: int
    kind: RowKind
    count: int
    """At least one; just that where the rows could not be told apart."""


def mapped(body: memoryview) -> MappedTable | None:
    """The table of a table map event; None where it is damaged."""
    try:
        at = 8
        database, at = _name(body, at)
        name, at = _name(body, at)
        count, at = _packed(body, at)
        types = bytes(body[at : at + count])
        length, at = _packed(body, at + count)
        if len(types) < count or at + length > len(body):
            return None
        return MappedTable(_number(body), database, name, _widths(types, bytes(body[at : at + length])))
    except IndexError:
        return None


def counted(
    kind: int, body: memoryview, tables: Mapping[int, MappedTable], *, is_cut: bool = False
) -> Rows | None:
    """What an event of that type says; None where it is none of rows. With `is_cut` only its beginning is there."""
    what = ROW_KINDS.get(kind)
    if what is None or len(body) < 8:
        return None
    table = tables.get(_number(body))
    found = Rows(_number(body), what, 1)
    if is_cut or table is None or not table.widths:
        return found
    try:
        count = _count(kind, body, table.widths, 2 if what == "updated" else 1)
    except (IndexError, zlib.error):
        return found
    return Rows(found.table, what, max(count, 1))


def plain(data: memoryview) -> bytes:
    """What a compressed part of an event was. Raises: IndexError, zlib.error where it is none."""
    length_bytes = data[0] & 7
    size = int.from_bytes(data[1 : 1 + length_bytes], "big")
    if data[0] & 0x70 or not 0 < size <= _MOST_PLAIN:
        raise zlib.error
    return zlib.decompressobj().decompress(data[1 + length_bytes :], size)


def _count(kind: int, body: memoryview, widths: tuple[Width, ...], images: int) -> int:
    at = 8
    if kind in _SECOND_VERSION:
        at += int.from_bytes(body[at : at + 2], "little")
    columns, at = _packed(body, at)
    if columns != len(widths):
        raise IndexError
    bitmap_bytes = (columns + 7) // 8
    given = []
    for _ in range(images):
        bitmap = body[at : at + bitmap_bytes]
        given.append([width for place, width in enumerate(widths) if bitmap[place >> 3] >> (place & 7) & 1])
        at += bitmap_bytes
    rows = memoryview(plain(body[at:])) if kind in _COMPRESSED else body[at:]
    at = found = 0
    while at < len(rows):
        for present in given:
            at = _behind(rows, at, present)
        found += 1
    if at != len(rows):
        raise IndexError
    return found


def _behind(rows: memoryview, at: int, widths: list[Width]) -> int:
    """Where the next row begins. Raises: IndexError where this one is cut short."""
    nulls = at
    at += (len(widths) + 7) // 8
    if at > len(rows) or (at == nulls):
        raise IndexError
    for place, width in enumerate(widths):
        if rows[nulls + (place >> 3)] >> (place & 7) & 1:
            continue
        if width >= 0:
            at += width
        else:
            if at - width > len(rows):
                raise IndexError
            at += int.from_bytes(rows[at : at - width], "little") - width
    return at


def _widths(types: bytes, more: bytes) -> tuple[Width, ...]:
    found: list[Width] = []
    at = 0
    for kind in types:
        size = 1 if kind in _ONE else 2 if kind in _TWO else 0
        own = more[at : at + size]
        if len(own) < size or (not size and kind not in _FIXED):
            return ()
        at += size
        found.append(_width(kind, own))
    return tuple(found)


def _width(kind: int, own: bytes) -> Width:
    """By what the table map says of the column."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in (4, 5) or kind in _BLOBS:
        return -own[0] if kind in _BLOBS else own[0]
    if kind in _TIMES:
        return _TIMES[kind] + (own[0] + 1) // 2
    if kind == 246:
        whole, fraction = own[0] - own[1], own[1]
        return whole // 9 * 4 + _DIGITS[whole % 9] + fraction // 9 * 4 + _DIGITS[fraction % 9]
    return _text_width(kind, own)


def _text_width(kind: int, own: bytes) -> Width:
    if kind == 16:
        return own[1] + (own[0] + 7) // 8
    if kind in (247, 248):
        return own[1]
    if kind != 254:
        return -1 if int.from_bytes(own, "little") < 256 else -2
    real, length = own
    if real & 0x30 != 0x30:
        length |= ((real & 0x30) ^ 0x30) << 4
    elif real in (247, 248):
        return length
    return -1 if length < 256 else -2


def _name(body: memoryview, at: int) -> tuple[str, int]:
    length = body[at]
    return bytes(body[at + 1 : at + 1 + length]).decode("utf-8", "replace"), at + length + 2


def _packed(body: memoryview, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where what follows begins. Raises: IndexError."""
    first = body[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}.get(first, 0)
    if not size or at + 1 + size > len(body):
        raise IndexError
    return int.from_bytes(body[at + 1 : at + 1 + size], "little"), at + 1 + size


def _number(body: memoryview) -> int:
    return int.from_bytes(body[:6], "little")
