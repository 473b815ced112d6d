"""The stream that GNU tar writes: bytes in pieces of any size in, members out. Pure, and a hot path: it carries every small file.

Source: POSIX.1-2008 pax, "ustar Interchange Format"; GNU tar manual, "Tar Internals".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import adler32

from engine.errors import IncompleteDumpError, SourceError
from engine.model.entry import Fetched
from engine.sources.files import pax

SMALL_BYTES = 512 << 10
"""Up to this a file comes whole; it is restic's smallest chunk, so such a file is one blob."""

_BLOCK = 512
_EXTENDED_LIMIT_BYTES = 16 << 20
"""Extended attributes and sparse maps are read into memory as a whole; an honest host's are far smaller."""
_ZERO_BLOCK = bytes(_BLOCK)
_SPACES = b" " * 8
_PLAIN = frozenset(b"0\x007")
_HARD_LINK, _LONG_NAME, _LONG_LINK, _EXTENDED = b"1LKx"
_WITHOUT_CONTENT = frozenset(b"2356")
_DEVICES = frozenset(b"34")
_TYPES: Final = {_HARD_LINK: "", ord("2"): "l", ord("3"): "c", ord("4"): "b", ord("5"): "d", ord("6"): "p"}


class Begin(NamedTuple):
    """The content of a large file follows: pieces (bytes) and holes, then `End`."""

    path: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    size: int


class Hole(NamedTuple):
    """That many zero bytes of a large file."""

    size: int


class End(NamedTuple):
    """The large file is whole."""


Event = Fetched | Begin | Hole | End | bytes
_NOTHING: Final = pax.Extended(None, None, (), None)


class TarParser:
    """Takes the stream in pieces and hands out what they complete. A hard link to an earlier member has neither data nor stream."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._have = 0
        self._needed = _BLOCK
        """So many bytes must be there before parsing can go on."""
        self._extended = _NOTHING
        self._long_name: bytes | None = None
        self._segments: list[tuple[int, int]] = []
        """What is left of a large file, last first: bytes of a hole, then bytes of content."""
        self._padding = 0
        self._is_large = False
        self._zero_blocks = 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises: SourceError."""
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._needed:
            return []
        buffer = b"".join(self._pieces) if len(self._pieces) > 1 else data
        self._pieces.clear()
        self._needed = 1
        events: list[Event] = []
        position = 0
        while len(buffer) - position >= self._needed:
            self._needed = 1
            if self._is_large:
                position = self._content(buffer, position, events)
            else:
                position = self._members(buffer, position, events)
        self._have = len(buffer) - position
        if self._have:
            self._pieces.append(buffer[position:] if position else buffer)
        return events

    def end(self) -> None:
        """Says that nothing more comes. Raises: IncompleteDumpError where the archive's own end was not seen."""
        if self._have or self._zero_blocks < 2 or self._is_large:
            raise IncompleteDumpError("the tar stream ended before it was whole")

    def _members(self, buffer: bytes, position: int, events: list[Event]) -> int:
        """Takes whole members from `position` on, and returns where it stopped: at the end, in need of more, or in a large file."""
        end = len(buffer)
        while not self._is_large:
            if end - position < _BLOCK:
                self._needed = _BLOCK
                break
            header = buffer[position : position + _BLOCK]
            if self._is_zero(header):
                position += _BLOCK
                continue
            kind = header[156]
            size = _checked_size(header)
            if self._extended.size is not None and kind != _EXTENDED:
                size = self._extended.size
            begin = position + _BLOCK
            if kind in _PLAIN and (size > SMALL_BYTES or self._extended.sparse):
                position = self._begin_large(buffer, begin, header, size, events)
                if self._needed > 1:
                    break
                continue
            stored = 0 if kind == _HARD_LINK or kind in _WITHOUT_CONTENT or kind in _DEVICES else size
            stop = begin + stored
            following = begin + (stored + 511 & ~511)
            if following > end:
                self._needed = self._limited(following - position)
                break
            if kind in _PLAIN:
                xattrs = self._extended.xattrs
                events.append(Fetched(self._path(header), xattrs, 0, buffer[begin:stop], None, "f"))
                self._extended = _NOTHING
            else:
                self._special(kind, header, buffer[begin:stop], events)
            position = following
        return position

    def _special(self, kind: int, header: bytes, payload: bytes, events: list[Event]) -> None:
        if kind == _EXTENDED:
            self._extended = pax.parse_extended(payload)
        elif kind == _LONG_NAME:
            self._long_name = payload.rstrip(b"\0")
        elif kind == _HARD_LINK:
            self._emit(header, 0, None, events)
        elif kind in _DEVICES:
            self._emit(header, os.makedev(_octal(header[329:337]), _octal(header[337:345])), b"", events)
        elif kind in _WITHOUT_CONTENT:
            self._emit(header, 0, b"", events)
        elif kind != _LONG_LINK:
            raise SourceError(f"the tar stream holds a member of an unknown type: {chr(kind)!a}")

    def _emit(self, header: bytes, device: int, data: bytes | None, events: list[Event]) -> None:
        xattrs, type_ = self._extended.xattrs, _TYPES[header[156]]
        events.append(Fetched(self._path(header), xattrs, device, data, None, type_))
        self._extended = _NOTHING

    def _begin_large(self, buffer: bytes, begin: int, header: bytes, size: int, events: list[Event]) -> int:
        """Returns where the content begins, or where the header stands when more is needed to know."""
        sparse = self._extended.sparse
        extents: Sequence[tuple[int, int]] = ((0, size),)
        real_size = size
        if sparse:
            real_size = sparse.real_size
            extents = sparse.extents or ()
            if sparse.extents is None:
                found = self._read_map(buffer, begin, size, real_size)
                if found is None:
                    return begin - _BLOCK
                extents, map_bytes = found
                begin += map_bytes
                size -= map_bytes
            elif sum(length for _, length in extents) != size:
                raise SourceError("the tar stream holds a map of a sparse file that does not fit its content")
        events.append(Begin(self._path(header), self._extended.xattrs, real_size))
        self._extended = _NOTHING
        reached = 0
        for offset, length in extents:
            self._segments.append((offset - reached, length))
            reached = offset + length
        self._segments.append((real_size - reached, 0))
        self._segments.reverse()
        self._padding = -size % _BLOCK
        self._is_large = True
        return begin

    def _read_map(
        self, buffer: bytes, begin: int, size: int, real_size: int
    ) -> tuple[Sequence[tuple[int, int]], int] | None:
        """The map of sparse format 1.0 (a count, then offsets and lengths, a line each, filled up to a block) and its bytes."""
        stop = begin
        lines = wanted = 0
        while not wanted or lines < wanted:
            if stop + _BLOCK > len(buffer):
                self._needed = self._limited(stop + 2 * _BLOCK - begin)
                return None
            lines += buffer.count(b"\n", stop, stop + _BLOCK)
            stop += _BLOCK
            if not wanted:
                count = buffer[begin:stop].partition(b"\n")[0]
                if not count.isdigit() or len(count) > 9 or stop - begin > size:
                    raise SourceError("the tar stream holds a damaged map of a sparse file")
                wanted = 1 + 2 * int(count)
        numbers = buffer[begin:stop].split(b"\n", wanted)[1:wanted]
        return pax.parse_map(numbers, size - (stop - begin), real_size), stop - begin

    def _content(self, buffer: bytes, position: int, events: list[Event]) -> int:
        """Takes as much of a large file as is there, and returns where it stopped."""
        while self._segments:
            hole, length = self._segments.pop()
            if hole:
                events.append(Hole(hole))
            if length:
                piece = buffer[position : position + length]
                if piece:
                    events.append(piece)
                    position += len(piece)
                if len(piece) < length:
                    self._segments.append((0, length - len(piece)))
                    return position
        if len(buffer) - position < self._padding:
            self._needed = self._padding
            return position
        events.append(End())
        self._is_large = False
        return position + self._padding

    def _path(self, header: bytes) -> bytes:
        name = self._extended.path
        if name is None:
            if self._long_name is not None:
                name, self._long_name = self._long_name, None
            else:
                name = header[:100].rstrip(b"\0")
                if header[345]:
                    name = header[345:500].rstrip(b"\0") + b"/" + name
        if not name.startswith(b"./"):
            raise SourceError(
                f"the tar stream holds a member that was not asked for: {ascii(name[:120])[1:]}"
            )
        return name[2:].rstrip(b"/")

    def _is_zero(self, header: bytes) -> bool:
        if not header[0] and header == _ZERO_BLOCK:
            self._zero_blocks += 1
            return True
        if self._zero_blocks:
            raise SourceError("the tar stream goes on after its end")
        return False

    def _limited(self, needed: int) -> int:
        if needed > _EXTENDED_LIMIT_BYTES:
            raise SourceError("the tar stream holds a header that is too long to be honest")
        return needed


def _checked_size(header: bytes) -> int:
    """The size in a header whose checksum is right. Raises: SourceError."""
    # Adler-32's low half is one more than the sum of all bytes, modulo 65521: the sum that tar wants at a fiftieth of the time.
    # The checksum counts its own field as spaces.
    total = adler32(header[156:], adler32(_SPACES, adler32(header[:148]))) & 0xFFFF
    try:
        if (int(header[148:154], 8) + 1) % 65521 != total:
            raise SourceError("the tar stream is damaged: a header's checksum is wrong")
        if header[124] < 0x80:
            size = int(header[124:135], 8)
            if size >= 0:
                return size
    except ValueError:
        raise SourceError("the tar stream is damaged: what should be a header is none") from None
    size = int.from_bytes(header[125:136], "big")
    if header[124] != 0x80 or size >= 1 << 63:
        raise SourceError("the tar stream holds a size that no file has")
    return size


def _octal(field: bytes) -> int:
    try:
        number = int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        number = -1
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
    if not 0 <= number < 1 << 32:
        raise SourceError("the tar stream holds a device number that no device has")
    return number
