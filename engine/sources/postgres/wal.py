"""Segments of PostgreSQL's write-ahead log: their names, whether one is what its name says, and from when to when its transactions ended.

Pure. Source: PostgreSQL's src/include/access/xlog_internal.h, xlogrecord.h, xact.h, and src/backend/access/transam/xlogreader.c; what is
used here is the same from version 9.5 to 18. Numbers are in the byte order of the server's machine: little-endian on all that are read.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from engine.errors import IncompleteDumpError

Content: TypeAlias = bytes | bytearray | memoryview

_NAME: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})", re.ASCII)
_HISTORY: Final = re.compile(r"([0-9A-F]{8})\.history", re.ASCII)
_HISTORY_LINE: Final = re.compile(r"\s*(\d+)\s+([0-9A-F]+)/([0-9A-F]+)(?:\s.*)?", re.ASCII)
_FIRST_PAGE: Final = struct.Struct("<HHIQI4xQII")
"""magic, info, timeline, address, bytes left of a record that began before; system, size of a segment, size of a page."""
_PAGE: Final = struct.Struct("<HHIQI")
RECORD: Final = struct.Struct("<IIQBB2xI")
"""Whole length, transaction, record before, info, resource manager, checksum."""
_LONG_HEADER_BYTES: Final = 40
SHORT_HEADER_BYTES: Final = 24
_IS_CONTINUED: Final = 0x0001
_IS_LONG: Final = 0x0002
XLOG, XACT, SMGR, HEAP = 0, 1, 2, 10
"""Resource managers."""
_SWITCH: Final = 0x40
_BEGINNINGS: Final = frozenset({0x00, 0x90})
"""The first record of a timeline: a checkpoint of a server that is not yet open, or the end of a recovery. The timeline follows eight bytes of data."""
ENDINGS: Final = frozenset({0x00, 0x20, 0x30, 0x40})
"""Of transactions: commit and abort, also of prepared ones."""
ORIGIN, TOP_LEVEL, SHORT_DATA, LONG_DATA = 253, 252, 255, 254
"""Of what follows: what has none of these is about a block."""
EPOCH: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_FAR_US: Final = 100 * 365 * 86_400 * 1_000_000
"""No transaction ended later: what says so is none."""
_LEAST_SEGMENT, _MOST_SEGMENT = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Name:
    """What a segment's name says."""

    timeline: int
    high: int
    low: int

    def number(self, segment_bytes: int) -> int:
        """Its place in the log, counted in segments."""
        return self.high * (0x1_0000_0000 // segment_bytes) + self.low

    @property
    def series(self) -> str:
        """The timeline, as names begin with it."""
        return f"{self.timeline:08X}"


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a timeline left another."""

    timeline: int
    """The one that was left."""
    position: int
    """In bytes of the log."""


class FirstPage(NamedTuple):
    """What the header of a segment's first page says."""

    magic: int
    """Of the version."""
    address: int
    """Where the segment begins, in bytes of the log."""
    page_bytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """When transactions of a segment ended; None where none did."""

    first: datetime.datetime | None
    last: datetime.datetime | None


def parse_name(text: str) -> Name | None:
    """What it names; None where it is no name of a whole segment."""
    found = _NAME.fullmatch(text)
    return Name(int(found[1], 16), int(found[2], 16), int(found[3], 16)) if found else None


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The name of the segment at that place."""
    each = 0x1_0000_0000 // segment_bytes
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def history_timeline(text: str) -> int | None:
    """The timeline that a history file of that name is of; None where it is none."""
    found = _HISTORY.fullmatch(text)
    return int(found[1], 16) if found else None


def parse_position(text: str) -> int:
    """Bytes from `16/B374D848`. Raises: ValueError."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"{text!a} is no position in a write-ahead log")
    return (int(high, 16) << 32) + int(low, 16)


def format_position(position: int) -> str:
    """As the server writes it."""
    return f"{position >> 32:X}/{position & 0xFFFF_FFFF:X}"


def parse_history(content: bytes) -> list[Fork]:
    """The timelines before that one, oldest first. Raises: IncompleteDumpError for what no server wrote."""
    forks = []
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        found = _HISTORY_LINE.fullmatch(text)
        if not found:
            raise IncompleteDumpError(f"a timeline's history holds {text[:80]!a}")
        forks.append(Fork(int(found[1]), (int(found[2], 16) << 32) + int(found[3], 16)))
    return forks


def require_whole(content: Content, name: str, system: str) -> int:
    """The size that segments of that server have, in bytes, once this is seen to be the one of that name, of that server, to its end.

    `system` is the server's identifier; empty where it is not known. Raises: IncompleteDumpError, saying what is wrong.
    """
    segment_bytes = require_begin(content, name, system)
    if len(content) != segment_bytes:
        raise IncompleteDumpError(f"segment {name} has {len(content)} bytes, and not {segment_bytes}")
    _require_pages(content, name)
    return segment_bytes


def require_tail(content: Content, name: str, system: str) -> int:
    """As `require_whole`, of no more than the segment's beginning, which may be shorter than its first header. Raises: IncompleteDumpError."""
    if len(content) < _LONG_HEADER_BYTES:
        return 0
    segment_bytes = require_begin(content, name, system)
    if len(content) >= segment_bytes:
        raise IncompleteDumpError(f"the beginning of segment {name} has {len(content)} bytes")
    _require_pages(content, name)
    return segment_bytes


def require_begin(content: Content, name: str, system: str) -> int:
    """As `require_whole`, of no more than its first page: what comes behind may be of a segment that had its file before. Raises: IncompleteDumpError."""
    found = parse_name(name)
    if found is None:
        raise IncompleteDumpError(f"{name!a} is no name of a segment of a write-ahead log")
    if len(content) < _LONG_HEADER_BYTES:
        raise IncompleteDumpError(f"segment {name} is cut short: it has {len(content)} bytes")
    magic, info, timeline, address, _, identifier, segment_bytes, page_bytes = _FIRST_PAGE.unpack_from(
        content
    )
    if not magic or not info & _IS_LONG or not _is_size(segment_bytes) or page_bytes not in PAGE_SIZES:
        raise IncompleteDumpError(f"segment {name} does not begin as a write-ahead log does")
    if system and str(identifier) != system:
        raise IncompleteDumpError(f"segment {name} is of the server {identifier}, not of {system}")
    if timeline > found.timeline or address != found.number(segment_bytes) * segment_bytes:
        raise IncompleteDumpError(
            f"segment {name} holds what belongs at {format_position(address)} of timeline {timeline}"
        )
    return int(segment_bytes)


def _require_pages(content: Content, name: str) -> None:
    """Raises: IncompleteDumpError where a page is none of this segment."""
    magic, _, _, address, _, _, _, page_bytes = _FIRST_PAGE.unpack_from(content)
    for at in range(page_bytes, len(content) - _PAGE.size + 1, page_bytes):
        here, _, _, there, _ = _PAGE.unpack_from(content, at)
        if here != magic or there != address + at:
            if bytes(content[at:]) == bytes(
                len(content) - at
            ):  # compared as memory: this is most of a segment that was closed early
                break  # the rest was never written: the server went on with the next one
            raise IncompleteDumpError(f"segment {name} is damaged at byte {at}")


def span(content: Content, timeline: int = 0) -> Span:
    """When its first and last transactions ended. For a segment that is whole, or its beginning; only its two ends are read where they tell.

    A timeline's first segment begins with what the one before it wrote: with `timeline`, the segment's own, the first transaction is one of that.
    """
    if len(content) < _LONG_HEADER_BYTES:
        return Span(None, None)
    page_bytes = _FIRST_PAGE.unpack_from(content)[7]
    pages = -(-len(content) // page_bytes)
    begin = _own_begin(content, timeline, page_bytes)
    own = range(begin // page_bytes, pages)
    first = next((each for page in own for each in endings(content, page, begin)), None)
    if first is None and not begin:
        return Span(None, None)
    for page in reversed(range(pages)):
        found = list(endings(content, page))
        if found:
            return Span(first, max(found))
    return Span(first, None)


def endings(content: Content, page: int, begin: int = 0) -> Iterator[datetime.datetime]:
    """The instants at which transactions ended whose records begin on that page, not before `begin`, and end before the content does."""
    page_bytes = _FIRST_PAGE.unpack_from(content)[7]
    for position, length, info, manager, _ in records(content, page):
        if position >= begin and manager == XACT and info & 0x70 in ENDINGS:
            ended = _instant(content, position)
            if ended is not None and len(take(content, position, length, page_bytes)) == length:
                yield ended


def _own_begin(content: Content, timeline: int, page_bytes: int) -> int:
    """Where in the segment that timeline begins. Pages before are copies; the last of them it goes on in, with a record that names it."""
    last = -page_bytes
    for at in range(0, len(content) - _PAGE.size + 1, page_bytes):
        magic, _, written_in, _, _ = _PAGE.unpack_from(content, at)
        if not magic or written_in >= timeline:
            break
        last = at
    if last < 0:
        return 0
    for position, _, info, manager, _ in records(content, last // page_bytes):
        if manager == XLOG and info & 0xF0 in _BEGINNINGS:
            named = take(content, position + RECORD.size, 14, page_bytes)[10:]
            if int.from_bytes(named, "little") == timeline:
                return position
    return last + page_bytes


def records(content: Content, page: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Place, length, info, resource manager and transaction of each record that begins on the page."""
    page_bytes = _FIRST_PAGE.unpack_from(content)[7]
    begin = page * page_bytes
    if len(content) - begin < SHORT_HEADER_BYTES:
        return
    magic, info, _, _, left = _PAGE.unpack_from(content, begin)
    if not magic:
        return
    header = _LONG_HEADER_BYTES if info & _IS_LONG else SHORT_HEADER_BYTES
    position = begin + header
    if info & _IS_CONTINUED:
        position += -(-left // 8) * 8
    end = begin + page_bytes
    whole = min(end, len(content)) - RECORD.size
    while begin < position <= end - 8:
        if position <= whole:
            length, transaction, _, kind, manager, _ = RECORD.unpack_from(content, position)
        else:
            head = take(content, position, RECORD.size, page_bytes)
            if len(head) < RECORD.size:
                return
            length, transaction, _, kind, manager, _ = RECORD.unpack(head)
        if length < RECORD.size:
            return
        yield position, length, kind, manager, transaction
        if manager == XLOG and kind & 0xF0 == _SWITCH:
            return
        position += -(-length // 8) * 8
        if position > end:
            return  # it goes on on the next page, whose header says how far


def first_page(content: Content) -> FirstPage | None:
    """None where there is less of the segment than its first header."""
    if len(content) < _LONG_HEADER_BYTES:
        return None
    magic, _, _, address, _, _, _, page_bytes = _FIRST_PAGE.unpack_from(content)
    return FirstPage(magic, address, page_bytes)


def continuation(content: Content, most_bytes: int) -> bytes:
    """What the segment has, at most so much, of a record that began in the one before it; empty where none did."""
    found = first_page(content)
    if found is None:
        return b""
    _, info, _, _, left = _PAGE.unpack_from(content)
    return (
        take(content, _LONG_HEADER_BYTES, min(left, most_bytes), found.page_bytes)
        if info & _IS_CONTINUED
        else b""
    )


def _instant(content: Content, position: int) -> datetime.datetime | None:
    """When the transaction of that record ended; None where the record goes on in the next segment before it says."""
    page_bytes = _FIRST_PAGE.unpack_from(content)[7]
    head = take(content, position, RECORD.size + 17, page_bytes)
    at = RECORD.size
    while at < len(head) and head[at] in (ORIGIN, TOP_LEVEL):
        at += 3 if head[at] == ORIGIN else 5
    if at >= len(head) or head[at] not in (SHORT_DATA, LONG_DATA):
        return None
    at += 2 if head[at] == SHORT_DATA else 5
    data = head[at : at + 8] if at + 8 <= len(head) else take(content, position, at + 8, page_bytes)[at:]
    return instant(data)


def instant(data: bytes) -> datetime.datetime | None:
    """What the first eight bytes of a record's data say; None where they say none."""
    if len(data) < 8:
        return None
    microseconds = int.from_bytes(data[:8], "little", signed=True)
    return EPOCH + datetime.timedelta(microseconds=microseconds) if 0 <= microseconds < _FAR_US else None


def take(content: Content, position: int, count: int, page_bytes: int) -> bytes:
    """So many bytes of the log from there, without the headers of pages between; fewer at the segment's end."""
    piece = b""
    while count and position < len(content):
        here = min(count, page_bytes - position % page_bytes)
        piece += bytes(content[position : position + here])
        count -= here
        position += here
        if count:
            position += SHORT_HEADER_BYTES
    return piece


PAGE_SIZES: Final = frozenset(1 << each for each in range(10, 17))


def _is_size(size_bytes: int) -> bool:
    return _LEAST_SEGMENT <= size_bytes <= _MOST_SEGMENT and size_bytes & (size_bytes - 1) == 0
