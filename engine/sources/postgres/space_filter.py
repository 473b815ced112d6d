"""Segments of a write-ahead log on their way to a server that must not go where the log sends it.

A server that replays CREATE TABLESPACE changes the folder's permissions, links to it and writes there, at the path that the log has: on a host
where the live server runs, into its files. A record without a path makes a tablespace in the data folder itself. So the path is taken out of each
such record, whose length stays and whose checksum is made anew; all else passes as it is. Source: PostgreSQL's src/backend/commands/tablespace.c
(create_tablespace_directories, tblspc_redo), src/include/commands/tablespace.h, xlogrecord.h; the same from version 9.5 to 18.
"""

from __future__ import annotations

import bisect
import re
import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from engine.errors import SourceError
from engine.model.text import printable
from engine.sources.logs import TAIL_SUFFIX
from engine.sources.postgres import wal
from engine.sources.tar_members import Piece, TarMembers

_RECORD_BYTES: Final = 10240
"""Of tar, which reads whole ones."""
_NEEDLE: Final = re.compile(rb"\x05\0\0(?=[\s\S]{4}[\xfc-\xff])")
"""The resource manager of tablespaces, two bytes that are never used, the checksum, and the beginning of data that is about no block. None of two that
overlap is passed over: what follows the third byte is only looked at."""
_NEEDLE_AT, _NEEDLE_BYTES = 17, 8
_CREATE: Final = 0x00
_LEAST_RECORD, _MOST_RECORD = wal.RECORD.size + 8, 1200
"""With an empty path, and with the longest that a server takes."""
_OWNER: Final = struct.Struct("<I")
_ALIGNED: Final = 8
_HEAD_BYTES: Final = 40
"""Of a segment, with what says how long its pages are."""
_ADDRESS_AT, _PAGE_AT = 8, 36


@dataclass(frozen=True, slots=True)
class MadeSpace:
    """A tablespace that the log makes."""

    oid: str
    location: str
    position: int
    """Of its record, in bytes of the log."""


@dataclass(slots=True)
class _Segment:
    """The one whose content is coming."""

    head: bytearray
    address: int = 0
    page_bytes: int = 0


class SpaceFilter:
    """An archive of segments, in the log's order. Feed it in pieces of any length; what it holds back is a record's length."""

    def __init__(self, *, is_within: bool) -> None:
        """`is_within`: whether the server knows tablespaces in its data folder; one that does not gets no log that makes any."""
        self.found: list[MadeSpace] = []
        self._is_within = is_within
        self._members = TarMembers()
        self._segment = _Segment(bytearray())
        self._raw = bytearray()
        self._passed = 0
        """Bytes of the archive before `_raw`."""
        self._log = bytearray()
        self._log_at = 0
        """Bytes of the log, without headers of pages, before `_log`; always a multiple of eight, as records are laid."""
        self._sought = 0
        self._spans: deque[tuple[int, int, int]] = deque()
        """Where stretches of the log lie: among what was taken of it, in the archive, by the server's own count."""

    @property
    def said(self) -> list[str]:
        """See `logs.LogPassing.said`."""
        return [
            f"the log makes the tablespace {each.oid} at {printable(each.location)}: it will lie in the data folder, as pg_tblspc/{each.oid}, "
            "for which allow_in_place_tablespaces is set"
            for each in self.found
        ]

    def feed(self, data: bytes) -> bytes:
        """The next bytes; gives those that may go on. Raises: SourceError where the log makes a tablespace that cannot be within."""
        self._raw += data
        for piece in self._members.feed(data):
            if wal.parse_name(piece.name.removesuffix(TAIL_SUFFIX)) is not None:
                self._take(piece)
        self._seek()
        return self._pass_on()

    def end(self) -> bytes:
        """What was held back, at the archive's end, filled up to a whole record of tar's."""
        rest = bytes(self._raw) + bytes(-(self._passed + len(self._raw)) % _RECORD_BYTES)
        self._raw.clear()
        return rest

    def _take(self, piece: Piece) -> None:
        """A segment's pages without their headers are the log."""
        if not piece.at:
            self._segment = _Segment(bytearray())
            self._align()
        segment, content = self._segment, piece.content
        at = 0
        if piece.at < _HEAD_BYTES:
            wanted = content[: _HEAD_BYTES - piece.at]
            segment.head += wanted
            at = len(wanted)
            if len(segment.head) == _HEAD_BYTES:
                segment.address = int.from_bytes(segment.head[_ADDRESS_AT : _ADDRESS_AT + 8], "little")
                segment.page_bytes = int.from_bytes(segment.head[_PAGE_AT:], "little")
        page = segment.page_bytes
        if page not in wal.PAGE_SIZES:
            return  # of no server: it is refused where it is replayed
        while at < len(content):
            here = piece.at + at
            inside = here % page
            is_header = here >= page and inside < wal.SHORT_HEADER_BYTES
            count = min((wal.SHORT_HEADER_BYTES if is_header else page) - inside, len(content) - at)
            if not is_header:
                self._spans.append((self._log_at + len(self._log), piece.place + at, segment.address + here))
                self._log += content[at : at + count]
            at += count

    def _align(self) -> None:
        """A segment that is not whole may have any length."""
        self._log += bytes(-len(self._log) % _ALIGNED)

    def _seek(self) -> None:
        """Looks at all records whose beginning is there."""
        log = self._log
        for found in _NEEDLE.finditer(bytes(log), self._sought + _NEEDLE_AT):
            begin = found.start() - _NEEDLE_AT
            if begin % _ALIGNED or log[begin + _NEEDLE_AT - 1] & 0xF0 != _CREATE:
                continue
            (length,) = _OWNER.unpack_from(log, begin)
            if not _LEAST_RECORD <= length <= _MOST_RECORD:
                continue
            if begin + length > len(log):
                self._sought = begin
                return
            self._look_at(begin, bytes(log[begin : begin + length]))
        self._sought = max(self._sought, (len(log) - _NEEDLE_AT - _NEEDLE_BYTES) // _ALIGNED * _ALIGNED)

    def _look_at(self, begin: int, record: bytes) -> None:
        """Takes the path out, where it is a record that makes a tablespace."""
        data = _data_at(record)
        (said,) = _OWNER.unpack_from(record, wal.RECORD.size - 4)
        if data is None or not record[data + 4] or checksum(record) != said:
            return
        made = MadeSpace(
            str(_OWNER.unpack_from(record, data)[0]),
            record[data + 4 :].partition(b"\0")[0].decode("utf-8", "surrogateescape"),
            self._span(begin)[2],
        )
        if not self._is_within:
            raise SourceError(
                f"the log makes the tablespace at {made.location!a} where the live server may have it, and a server of this version cannot make it elsewhere",
                hint="go to an instant before that, or to one behind a base that was taken after it",
            )
        self.found.append(made)
        changed = bytearray(record)
        changed[data + 4] = 0
        changed[wal.RECORD.size - 4 : wal.RECORD.size] = _OWNER.pack(checksum(bytes(changed)))
        for offset in (data + 4, *range(wal.RECORD.size - 4, wal.RECORD.size)):
            self._put(begin + offset, changed[offset])

    def _put(self, at: int, value: int) -> None:
        """Changes one byte of the log, here and in the archive."""
        self._log[at] = value
        self._raw[self._span(at)[1] - self._passed] = value

    def _span(self, at: int) -> tuple[int, int, int]:
        """Where one byte of the log lies."""
        place = self._log_at + at
        begin, archive, address = self._spans[bisect.bisect_right(self._spans, (place, 1 << 63, 0)) - 1]
        return place, archive + place - begin, address + place - begin

    def _pass_on(self) -> bytes:
        """All before the first record that may still be changed."""
        sought = self._sought
        while len(self._spans) > 1 and self._spans[1][0] <= self._log_at + sought:
            self._spans.popleft()
        keep = len(self._raw)
        if self._spans and sought < len(self._log):
            keep = self._spans[0][1] + max(0, self._log_at + sought - self._spans[0][0]) - self._passed
        passed = bytes(memoryview(self._raw)[:keep])
        del self._raw[:keep]
        self._passed += keep
        del self._log[:sought]
        self._log_at += sought
        self._sought = 0
        return passed


def _data_at(record: bytes) -> int | None:
    """Where the data of a record begins that is about no block, and holds a number and a path; None where it is none."""
    at = wal.RECORD.size
    while at < len(record) and record[at] in (wal.ORIGIN, wal.TOP_LEVEL):
        at += 3 if record[at] == wal.ORIGIN else 5
    if at + 5 > len(record):
        return None
    if record[at] == wal.SHORT_DATA:
        at, count = at + 2, record[at + 1]
    elif record[at] == wal.LONG_DATA:
        at, count = at + 5, _OWNER.unpack_from(record, at + 1)[0]
    else:
        return None
    return at if at + count == len(record) and count > 5 else None


def checksum(record: bytes) -> int:
    """As a record has it: of what follows its header, then of the header but for the checksum itself."""
    crc = 0xFFFF_FFFF
    for byte in record[wal.RECORD.size :] + record[: wal.RECORD.size - 4]:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


def _row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F6_3B78 if value & 1 else 0)
    return value


_TABLE: Final = tuple(_row(each) for each in range(256))
"""CRC-32C, a byte at a time: it is asked for seldom."""
