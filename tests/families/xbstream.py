"""Streams of mariadb-backup, written as it writes them and laid out as they are meant, for the tests of what reads them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from engine.sources.base import Member, Renamed
from engine.sources.mariadb.xbstream import HEADER, LENGTH, MAGIC, OFFSET, PAYLOAD, Event, XbstreamReader

LIKE = Member("", "d", 0o700, 103, 105, "mysql", "mysql", 1_800_000_000)
NOTES = {
    "xtrabackup_info": b"tool_version = 10.11.18-MariaDB\nincremental = N\n",
    "xtrabackup_checkpoints": b"backup_type = full-backuped\n",
    "ib_logfile0": b"log",
}
"""What every backup has."""


def chunk(letter: str, path: str | bytes, rest: bytes = b"", flags: int = 0) -> bytes:
    """A chunk of any kind; `rest` follows the path."""
    raw = path.encode() if isinstance(path, str) else path
    return HEADER.pack(MAGIC, flags, letter.encode(), len(raw)) + raw + rest


def payload(path: str | bytes, offset: int, data: bytes, flags: int = 0) -> bytes:
    """More of a file."""
    return chunk("P", path, PAYLOAD.pack(len(data), offset, zlib.crc32(data)) + data, flags)


def renamed(path: str, to: str) -> bytes:
    """A file gets another name."""
    return chunk("R", path, LENGTH.pack(len(to)) + to.encode())


def patched(path: str, offset: int, data: bytes) -> bytes:
    """A few bytes that came are written once more."""
    return chunk("S", path, OFFSET.pack(offset)) + payload(path, offset, data)


def whole(path: str, data: bytes, flags: int = 0) -> bytes:
    """A file in one chunk; an empty one has none but its end."""
    return (payload(path, 0, data, flags) if data else b"") + chunk("E", path)


def notes() -> bytes:
    """What ends every stream."""
    return b"".join(whole(path, data) for path, data in NOTES.items())


def laid_out(events: Iterable[Event]) -> dict[str, bytes | None]:
    """The files that a stream brings, folders as None."""
    found: dict[str, bytearray | None] = {}
    file, position = bytearray(), 0
    for event in events:
        if isinstance(event, Renamed):
            moved = found.pop(event.path)
            if event.to:
                found[event.to] = moved
        elif isinstance(event, memoryview):
            if len(file) < position:
                file += bytes(position - len(file))
            file[position : position + len(event)] = event
            position += len(event)
        elif event.type == "d":
            found[event.path] = None
        else:
            file = found.setdefault(event.path, bytearray()) or bytearray()
            found[event.path], position = file, event.offset
    return {path: None if data is None else bytes(data) for path, data in found.items()}


def read(data: bytes, size: int = 1 << 18) -> dict[str, bytes | None]:
    """What a whole stream brings, in pieces of that size. Raises: IncompleteDumpError."""
    reader = XbstreamReader(LIKE)
    events: list[Event] = []
    for begin in range(0, len(data), size):
        events += reader.feed(data[begin : begin + size])
    reader.require_whole()
    return laid_out(events)
