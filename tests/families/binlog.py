"""Binary logs of MariaDB, made here."""

from __future__ import annotations

import struct
import zlib

from engine.sources.mariadb.binlog import FORMAT, GTID, HEADER, MAGIC, ROTATE

_QUERY = 2


class BinlogWriter:
    """Writes a log as a server does."""

    def __init__(self, *, has_checksums: bool = True) -> None:
        self.log = bytearray(MAGIC)
        self._has_checksums = has_checksums
        body = (
            struct.pack("<H50sIB", 4, b"10.11.18-MariaDB", 0, HEADER.size)
            + bytes(40)
            + bytes([has_checksums])
        )
        self.add(FORMAT, body, has_checksum=True)

    def add(self, kind: int, body: bytes = b"", at: int = 0, *, has_checksum: bool | None = None) -> None:
        """One event more."""
        is_summed = self._has_checksums if has_checksum is None else has_checksum
        size = HEADER.size + len(body) + 4 * is_summed
        event = HEADER.pack(at, kind, 9, size, (len(self.log) + size) & 0xFFFFFFFF, 0) + body
        self.log += event + (zlib.crc32(event).to_bytes(4, "little") if is_summed else b"")

    def commit(self, sequence: int, at: int, size: int = 50) -> None:
        """A transaction."""
        self.add(GTID, struct.pack("<QIB", sequence, 0, 0) + bytes(6), at)
        self.add(_QUERY, bytes(size), at)

    def close(self) -> bytes:
        """The log, whole."""
        self.add(ROTATE, struct.pack("<Q", 4) + b"log.000002")
        return bytes(self.log)
