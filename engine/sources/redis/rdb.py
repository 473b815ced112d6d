"""Whether an RDB file is whole, seen as it streams by: its header, its end and its checksum. Pure.

Source: the format as Redis's src/rdb.c writes it. A file begins with `REDIS` and four digits (Valkey from 9 on: `VALKEY` and three), and
ends with the byte 0xFF and eight bytes of checksum, which are zero where the server was told to write none (`rdbchecksum no`).

Where the server sends without a file of its own (`repl-diskless-sync`, the default), it ends with a random mark of 40 hexadecimal digits.
redis-cli cuts it off a file, but cannot off a pipe, and so it comes behind the RDB (measured, 7.0.15). It is left out here: kept, it would
make every backup of an idle server a new one.
"""

from __future__ import annotations

import re
from typing import Final

from engine.errors import IncompleteDumpError
from engine.sources.redis.checksum import Checksum

HEADER_BYTES: Final = 9
_HEADER: Final = re.compile(rb"REDIS(\d{4})|VALKEY(\d{3})")
_END: Final = 0xFF
_CHECKSUM_BYTES: Final = 8
_MARK_BYTES: Final = 40
_MARK: Final = re.compile(rb"[0-9a-f]{40}")
_HELD_BYTES: Final = _CHECKSUM_BYTES + _MARK_BYTES
_CHECKSUM_SINCE: Final = 5
"""The version of the format that brought it (Redis 2.6)."""


class RdbCheck:
    """One file on its way. What `take` and `finish` return is the file, whole and without the mark."""

    def __init__(self, name: str) -> None:
        """`name` is for messages."""
        self._name = name
        self._held = b""
        self._checksum = Checksum()
        self._last = 0
        self.size_bytes = 0
        """Of the file as far as it was handed on."""
        self.version = 0
        """Of the format; 0 before the header came."""

    def take(self, data: bytes) -> bytes:
        """The next bytes in; those that are certain to belong to the file out, maybe none. Raises: IncompleteDumpError for what is no RDB."""
        together = self._held + data
        if not self.version and len(together) >= HEADER_BYTES:
            self._read_header(together[:HEADER_BYTES])
        if not self.version or len(together) <= _HELD_BYTES:
            self._held = together
            return b""
        self._held = together[-_HELD_BYTES:]
        return self._hand_on(together[:-_HELD_BYTES])

    def finish(self) -> tuple[bytes, bool]:
        """At the end: the file's last bytes, and whether a checksum vouched for it. Raises: IncompleteDumpError unless it is whole."""
        if not self.version:
            raise IncompleteDumpError(f"{self._name} is empty or too short to be an RDB file")
        held = self._held
        # With the mark the checksum's own bytes are the first that are held; without it they are the last.
        if (
            len(held) == _HELD_BYTES
            and self._is_end(held[:_CHECKSUM_BYTES])
            and _MARK.fullmatch(held, _CHECKSUM_BYTES)
        ):
            return self._last_bytes(held[:_CHECKSUM_BYTES])
        body, checksum = held[:-_CHECKSUM_BYTES], held[-_CHECKSUM_BYTES:]
        handed_on = self._hand_on(body)
        if len(held) < _CHECKSUM_BYTES or not self._is_end(checksum):
            raise IncompleteDumpError(
                f"{self._name} is not whole: an RDB file ends with its checksum, and this does not"
            )
        last, is_sure = self._last_bytes(checksum)
        return handed_on + last, is_sure

    def _read_header(self, header: bytes) -> None:
        found = _HEADER.fullmatch(header)
        self.version = int(found[1] or found[2]) if found else 0
        if self.version < _CHECKSUM_SINCE:
            raise IncompleteDumpError(
                f"{self._name} is no RDB file that can be proved whole: it begins with {header!r}"
            )

    def _hand_on(self, data: bytes) -> bytes:
        if data:
            self._checksum.update(data)
            self._last = data[-1]
            self.size_bytes += len(data)
        return data

    def _is_end(self, checksum: bytes) -> bool:
        if self._last != _END or self.size_bytes <= HEADER_BYTES:
            return False
        return not any(checksum) or int.from_bytes(checksum, "little") == self._checksum.value()

    def _last_bytes(self, checksum: bytes) -> tuple[bytes, bool]:
        self.size_bytes += len(checksum)
        return checksum, any(checksum)
