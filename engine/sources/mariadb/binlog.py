"""A binary log of MariaDB or MySQL, taken apart into its events. Pure.

Behind a magic word events follow each other: time of day in whole seconds, type, the server's number, length, where it ends, flags; then its
body, and a CRC-32 of all of it where the server writes one. A transaction begins with an event of its own, which bears the time at which its
commit began, so that the others of it are not later; it never goes on in another file. A log that was closed ends with a *rotate* or *stop*
event. After a crash it has neither, and the mark of a log in use stays on it for ever (measured, 10.11).
Source: MariaDB's manual, "Binary Log Event Formats", and sql/log_event.h.
"""

from __future__ import annotations

import datetime
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.errors import IncompleteDumpError

MAGIC: Final = b"\xfebin"
HEADER: Final = struct.Struct("<IBIIIH")
STOP, ROTATE, FORMAT = 3, 4, 15
_ANONYMOUS, _MYSQL_GTID, GTID, _ENCRYPTION = 34, 33, 162, 164
_FORMAT_BODY: Final = struct.Struct("<H50sIB")
_GTID_BODY: Final = struct.Struct("<QI")
_IN_USE: Final = 1
"""The flag of a log that nobody closed."""
_CHECKSUM_BYTES: Final = 4
_NO_CHECKSUM, _CRC32 = 0, 1
_HELD_BYTES: Final = 64 << 10
"""A longer event is looked at piece by piece."""
_MOST_DIGITS: Final = 12
GTID_TEXT: Final = re.compile(r"[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,20}", re.ASCII)
"""Domain, server and number of a transaction of MariaDB."""
_NAME: Final = re.compile(rf"([ -.0-~]{{1,80}})\.([0-9]{{6,{_MOST_DIGITS}}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Transaction:
    """The beginning of a transaction, or of a statement that is none of any."""

    offset: int
    """Where it begins in its file."""
    at: datetime.datetime
    """When its commit began; a whole second, by the server's clock or by `SET TIMESTAMP`."""
    gtid: str
    """MariaDB's; empty where there is none."""


def parse_name(name: str) -> tuple[str, int] | None:
    """The base name and the number of a log; None for anything else."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] in (".", ".."):
        return None
    return found[1], int(found[2])


class BinlogReader:
    """Takes one log in pieces of any length, and holds little of it. Raises: IncompleteDumpError in `feed` and `require_whole`."""

    def __init__(
        self,
        name: str,
        tell: Callable[[Transaction], None] | None = None,
        see: Callable[[int, memoryview, bool], None] | None = None,
    ) -> None:
        """`tell` is called with each transaction as it comes, `see` with the type and the body of each event; of one of more than 64 KiB with its
        beginning, and that it is."""
        self._name = name
        self._tell = tell
        self._see = see
        self._rest = b""
        """Of an event that is not there yet."""
        self._offset = 0
        """Of what is looked at next."""
        self._left = 0
        """Of a long event: bytes to come, the checksum of those that came, and as much of its own as came."""
        self._sum = 0
        self._written = b""
        self._has_checksums = False
        self._has_format = False
        self._is_in_use = False
        self._is_closed = False
        self.begins_at: datetime.datetime | None = None
        """The first transaction's time."""
        self.ends_at: datetime.datetime | None = None
        """The latest one's."""

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        block = self._rest + data if self._rest else data
        at = 0
        if not self._offset:
            if len(block) < len(MAGIC):
                self._rest = block
                return
            if block[: len(MAGIC)] != MAGIC:
                raise self._wrong("is no binary log")
            at = self._offset = len(MAGIC)
        view = memoryview(block)
        while (taken := self._take(view, at)) > 0:
            at += taken
        self._rest = block[at:]

    def require_whole(self, size_bytes: int) -> None:
        """After all of it: whether so many bytes came, and they are a whole log that the server is done with."""
        if self._left or self._rest or self._offset != size_bytes or not self._has_format:
            raise self._wrong("ends within an event")
        if not self._is_closed and not self._is_in_use:
            raise self._wrong("lacks its end")

    def _take(self, view: memoryview, at: int) -> int:
        """The next event, or a piece of a long one: how many bytes; 0 where more of it must come first."""
        there = len(view) - at
        if self._left:
            return self._take_long(view[at : at + self._left])
        if there < HEADER.size:
            return 0
        fields: tuple[int, ...] = HEADER.unpack_from(view, at)
        moment, kind, server, size, end, flags = fields
        if there < min(size, _HELD_BYTES):
            return 0
        self._require_header(kind, size, end)
        if size > _HELD_BYTES:
            if self._see is not None:
                self._see(kind, view[at + HEADER.size : at + _HELD_BYTES], True)
            self._left, self._sum, self._written = size, 0, b""
            return self._take_long(view[at : at + size])
        event = view[at : at + size]
        if kind == FORMAT:
            self._take_format(event, flags)
        elif self._has_checksums:
            self._require_sum(zlib.crc32(event[:-_CHECKSUM_BYTES]), event[-_CHECKSUM_BYTES:])
        if kind in (GTID, _MYSQL_GTID, _ANONYMOUS):
            self._begin(kind, moment, server, event)
        if self._see is not None:
            self._see(kind, event[HEADER.size : size - _CHECKSUM_BYTES * self._has_checksums], False)
        self._is_closed = kind in (ROTATE, STOP)
        self._offset += size
        return size

    def _take_long(self, piece: memoryview) -> int:
        body = min(len(piece), self._left - _CHECKSUM_BYTES) if self._has_checksums else len(piece)
        body = max(body, 0)
        self._sum = zlib.crc32(piece[:body], self._sum)
        self._written += bytes(piece[body:])
        self._left -= len(piece)
        self._offset += len(piece)
        if not self._left and self._has_checksums:
            self._require_sum(self._sum, self._written)
        return len(piece)

    def _require_header(self, kind: int, size: int, end: int) -> None:
        is_first = self._offset == len(MAGIC)
        is_damaged = kind == FORMAT and size > _HELD_BYTES
        least = HEADER.size + (_CHECKSUM_BYTES if self._has_checksums else 0)
        if (
            is_damaged
            or is_first != (kind == FORMAT)
            or size < least
            or (self._offset + size) & 0xFFFFFFFF != end
        ):
            raise self._wrong("is damaged")
        if self._is_closed:
            raise self._wrong("goes on behind its end")
        if kind == _ENCRYPTION:
            raise self._wrong(
                "is encrypted, so that nobody can look at it or replay it: set encrypt_binlog = OFF"
            )

    def _take_format(self, event: memoryview, flags: int) -> None:
        """The first event says how the others are written. Its own checksum is that of a log that was closed."""
        least = HEADER.size + _FORMAT_BODY.size + 1 + _CHECKSUM_BYTES
        if len(event) < least:
            raise self._wrong("is damaged")
        version, _server, _created, header = _FORMAT_BODY.unpack_from(event, HEADER.size)
        algorithm = event[-_CHECKSUM_BYTES - 1]
        if version != 4 or header != HEADER.size or algorithm not in (_NO_CHECKSUM, _CRC32):
            raise self._wrong("is of a format that is not known")
        content = bytearray(event[:-_CHECKSUM_BYTES])
        content[HEADER.size - 2] &= ~_IN_USE & 0xFF
        self._require_sum(zlib.crc32(content), event[-_CHECKSUM_BYTES:])
        self._has_checksums = algorithm == _CRC32
        self._is_in_use = bool(flags & _IN_USE)
        self._has_format = True

    def _begin(self, kind: int, moment: int, server: int, event: memoryview) -> None:
        at = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        self.begins_at = self.begins_at or at
        self.ends_at = max(self.ends_at or at, at)
        if self._tell is None:
            return
        gtid = ""
        if kind == GTID:
            if len(event) < HEADER.size + _GTID_BODY.size:
                raise self._wrong("is damaged")
            sequence, domain = _GTID_BODY.unpack_from(event, HEADER.size)
            gtid = f"{domain}-{server}-{sequence}"
        self._tell(Transaction(self._offset, at, gtid))

    def _require_sum(self, found: int, written: memoryview | bytes) -> None:
        if found != int.from_bytes(written, "little"):
            raise self._wrong("is damaged: a checksum is wrong")

    def _wrong(self, how: str) -> IncompleteDumpError:
        return IncompleteDumpError(f"the binary log {self._name} {how} (at {self._offset})")
