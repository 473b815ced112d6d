"""An archive of mongodump as it streams by: its magic number, its prelude, its end. Pure.

Source: mongo-tools, package `archive`: four bytes of magic, a BSON document with the versions, one for each collection, then blocks; each
part ends with four bytes 0xFF. There is no count and no checksum of the whole: the tool's status must say the rest.
"""

from __future__ import annotations

import re
from typing import Final

from engine.errors import IncompleteDumpError

_MAGIC: Final = bytes.fromhex("6de29981")
_TERMINATOR: Final = b"\xff" * 4
_PRELUDE_BYTES: Final = 4096
_TEXT: Final = rb"\x02%s\x00....([^\x00]{1,100})\x00"


class ArchiveCheck:
    """One archive on its way."""

    def __init__(self, name: str) -> None:
        """`name` is for messages."""
        self._name = name
        self._begin = b""
        self._end = b""

    def take(self, data: bytes) -> None:
        """The next bytes. Raises: IncompleteDumpError where they begin no archive."""
        if len(self._begin) < _PRELUDE_BYTES:
            self._begin = (self._begin + data)[:_PRELUDE_BYTES]
            if not self._begin.startswith(_MAGIC[: len(self._begin)]):
                raise IncompleteDumpError(
                    f"{self._name} is no archive of mongodump: it begins with {self._begin[:20]!r}"
                )
        self._end = (self._end + data)[-len(_TERMINATOR) :]

    def finish(self) -> None:
        """At the end. Raises: IncompleteDumpError unless it ends as an archive does."""
        if len(self._begin) <= len(_MAGIC) + len(_TERMINATOR):
            raise IncompleteDumpError(f"{self._name} is empty or too short to be an archive of mongodump")
        if self._end != _TERMINATOR:
            raise IncompleteDumpError(
                f"{self._name} is not whole: an archive of mongodump ends with its terminator, and this does not"
            )

    @property
    def server_version(self) -> str:
        """As the prelude has it; empty before it came."""
        return self._text(b"server_version")

    @property
    def tool_version(self) -> str:
        """As the prelude has it; empty before it came."""
        return self._text(b"tool_version")

    def _text(self, field: bytes) -> str:
        found = re.search(_TEXT % field, self._begin, re.DOTALL)
        return found[1].decode(errors="replace") if found else ""
