"""A digest of a table's rows as they stream by: the same for the same rows in any order, in memory that does not grow with them.

Two dumps of the same rows need not have them in the same order, and a hash of the bytes would call them different. So each row is hashed
by itself and the hashes are added up. The hash is the interpreter's own for bytes (SipHash, 64 bits, under a key that each process draws
anew): nobody can make two tables look alike on purpose, by chance one in 2**64 does, and it costs 60 ns a row where SHA-256 takes 600.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from engine.model.contents import RowSample, TableContent

LONGEST_HELD_BYTES: Final = 1 << 20
"""A longer row is hashed piece by piece, and not held."""
_MASK: Final = (1 << 128) - 1


def hash_of(row: bytes) -> int:
    """Of one row, the same as a `RowDigest` has for it."""
    if len(row) <= LONGEST_HELD_BYTES:
        return hash(row)
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest())


class RowDigest:
    """Takes the text of one table in pieces of any length. A row is a line that begins with `begin`, less its last `cut` bytes."""

    def __init__(self, wanted: Iterable[int] = (), *, begin: bytes = b"", cut: int = 0) -> None:
        """`wanted`: hashes of rows that are looked for."""
        self.rows = 0
        self._wanted = set(wanted)
        self._begin = begin
        self._cut = cut
        self._sum = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._long: _LongRow | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        first, newline, rest = data.partition(b"\n")
        self._hold(first)
        if newline:
            self._close()
            lines = rest.split(b"\n")
            last = lines.pop()
            self._add(lines, is_long=len(rest) > LONGEST_HELD_BYTES)
            self._hold(last)

    def finish(self) -> None:
        """Says that the last line has come, which need not end in a newline."""
        if self._held or self._long is not None:
            self._close()

    def add(self, hashes: Sequence[int]) -> None:
        """Rows that were hashed already."""
        self.rows += len(hashes)
        self._sum = (self._sum + sum(hashes)) & _MASK
        if self._wanted:
            self._wanted.difference_update(hashes)

    def take_away(self, row: bytes) -> None:
        """A line that was counted and is no row."""
        self.rows -= 1
        self._sum = (self._sum - hash_of(row)) & _MASK

    @property
    def content(self) -> TableContent:
        """What there was."""
        return TableContent(self.rows, self._sum, len(self._wanted))

    def _add(self, lines: list[bytes], *, is_long: bool) -> None:
        if self._begin or self._cut:
            lines = [line[: len(line) - self._cut] for line in lines if line.startswith(self._begin)]
        self.add(list(map(hash_of if is_long else hash, lines)))

    def _hold(self, piece: bytes) -> None:
        if self._long is not None:
            self._long.feed(piece)
            return
        if piece:
            self._held.append(piece)
            self._held_bytes += len(piece)
        if self._held_bytes > LONGEST_HELD_BYTES + self._cut:
            self._long = _LongRow(self._cut)
            self._long.feed(b"".join(self._held))
            # Its beginning is all that is still asked for.
            self._held = [self._long.begin]

    def _close(self) -> None:
        line, long = b"".join(self._held), self._long
        self._held, self._held_bytes, self._long = [], 0, None
        if long is None:
            self._add([line], is_long=False)
        elif line.startswith(self._begin):
            self.add([long.value()])


class SampledRows(RowDigest):
    """Rows of a live table: besides, the hash of each is kept."""

    def __init__(self, *, begin: bytes = b"", cut: int = 0) -> None:
        super().__init__(begin=begin, cut=cut)
        self.hashes: set[int] = set()

    def add(self, hashes: Sequence[int]) -> None:
        """Rows that were hashed already."""
        super().add(hashes)
        self.hashes.update(hashes)

    def sample(self, table: str, columns: Sequence[str] = (), *, is_whole: bool) -> RowSample:
        """What there was; with `is_whole` these were all rows of the table."""
        return RowSample(table, frozenset(self.hashes), columns, self.content if is_whole else None)


class _LongRow:
    """A line that is not held; its last bytes may have to be left out."""

    def __init__(self, cut: int) -> None:
        self.begin = b""
        self._hash = hashlib.blake2b(digest_size=8)
        self._cut = cut
        self._last = b""

    def feed(self, piece: bytes) -> None:
        self.begin = self.begin or piece[:64]
        piece = self._last + piece
        keep = max(0, len(piece) - self._cut)
        self._hash.update(piece[:keep])
        self._last = piece[keep:]

    def value(self) -> int:
        return int.from_bytes(self._hash.digest())
