"""A tar archive that goes by in pieces of any length, taken apart into its members' content. Pure; what it holds is one header.

For archives of plain files under bare names, as a log is sent. Source: POSIX, "ustar Interchange Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

_BLOCK: Final = 512


class Piece(NamedTuple):
    """Some of a member's content; of an empty member one without any."""

    name: str
    """Without the folders above it."""
    at: int
    """Where in the member it begins."""
    place: int
    """Where in the archive it begins."""
    content: memoryview
    is_last: bool


class TarMembers:
    """One archive. What is behind its end has no members."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._name = ""
        self._at = self._left = self._padding = 0
        self._read = 0

    @property
    def is_within(self) -> bool:
        """Whether it stopped in the middle of a member or a header."""
        return bool(self._header or self._left or self._padding)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The next bytes. To be iterated to its end. Raises: ValueError for a header that is none."""
        view = memoryview(data)
        at = 0
        while at < len(view):
            if self._left:
                piece = view[at : at + self._left]
                self._left -= len(piece)
                yield Piece(self._name, self._at, self._read + at, piece, not self._left)
                self._at += len(piece)
                at += len(piece)
            elif self._padding:
                count = min(self._padding, len(view) - at)
                self._padding -= count
                at += count
            else:
                piece = view[at : at + _BLOCK - len(self._header)]
                self._header += piece
                at += len(piece)
                if len(self._header) == _BLOCK and self._begin():
                    yield Piece(self._name, 0, self._read + at, view[:0], True)
        self._read += len(view)

    def _begin(self) -> bool:
        """Whether a member begins that has no content."""
        header = bytes(self._header)
        self._header.clear()
        if not any(header):
            return False
        self._name = header[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape").rpartition("/")[2]
        size = header[124:136]
        is_binary = bool(size[0] & 0x80)
        self._left = int.from_bytes(size[1:], "big") if is_binary else int(size.strip(b" \0") or b"0", 8)
        self._at, self._padding = 0, -self._left % _BLOCK
        return not self._left
