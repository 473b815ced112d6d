"""The stream of mariadb-backup, `--stream=xbstream`, taken apart into its files. Pure.

A chunk is a magic word, flags, a letter, and a path; all numbers are little-endian:

    P  more of a file: length, offset and CRC-32 of the payload, and the payload itself (10 MiB or less)
    E  the file is whole
    R  it has another name now: a second path        D  it is gone        S  what comes next of it lies at this offset

Files follow each other but for the redo log, whose chunks come between those of others, as it is written (measured, 10.11). Tables that are
renamed, dropped or made anew meanwhile bring R, D, and P with the flag to replace what came; where an Aria log is full, a few bytes of its
header are sent once more behind its end. mbstream itself fails on such streams (measured, 10.11.18: an empty file after a rename).
Source: MariaDB's extra/mariabackup/xbstream_write.cc and aria_backup_client.cc.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from engine.errors import IncompleteDumpError
from engine.sources.base import Member, Renamed

Event = Member | Renamed | memoryview
"""A file or folder begins, or a file goes on; one that came has another name; or more of the last file's content comes."""

MAGIC: Final = b"XBSTCK01"
REPLACING: Final = 2
"""The flag of a file that takes the place of one that came."""
HEAD_BYTES: Final = 8192
"""Of an Aria log, its first page: kept back until the file is whole."""
HEADER: Final = struct.Struct("<8sBcI")
PAYLOAD: Final = struct.Struct("<QQI")
LENGTH: Final = struct.Struct("<I")
OFFSET: Final = struct.Struct("<Q")
_LONGEST_PATH = 511
_NOTE_BYTES = 64 << 10
"""More of a note is not kept."""
_ARIA_LOG = re.compile(r"aria_log\.\d+")
_NOTE = re.compile(r"(?:xtrabackup|mariadb_backup)_(info|checkpoints|binlog_info)")


@dataclass(slots=True)
class _File:
    """A file that came, or is coming."""

    path: str
    end: int = 0
    is_whole: bool = False
    head: bytearray | None = None
    """Its beginning, where that may be written to once more."""
    note: bytearray | None = None
    """Its content, where it tells of the backup."""


class XbstreamReader:
    """Takes the stream in pieces of any length; what it holds grows with the number of files, not with the data."""

    def __init__(self, like: Member) -> None:
        """`like` is the data folder: its owner, and the time that its files are given. The stream tells neither."""
        self._like = like
        self._files: dict[str, _File] = {}
        self._folders: set[str] = set()
        self._notes: dict[str, bytearray] = {}
        self._events: list[Event] = []
        self._told: tuple[str, int] | None = None
        """The file whose content was told of last, and where the next byte of it lies."""
        self._pending = bytearray()
        self._needed = HEADER.size
        self._then: Callable[[bytes], None] = self._header
        """Takes so many bytes, once they are there."""
        self._flags = 0
        self._letter = b""
        self._file = _File("")
        """The one whose payload is coming."""
        self._left = self._position = self._checksum = self._found = 0
        """Of the payload: bytes to come, where the next one lies in the file, its CRC-32, and that of what came."""

    @property
    def notes(self) -> Mapping[str, str]:
        """What the program tells of the backup in files of its own: `info`, `checkpoints`, and `binlog_info` where the server keeps a log."""
        return {name: text.decode("utf-8", "replace") for name, text in self._notes.items()}

    def names(self, folder: str) -> list[str]:
        """The names of the files that came into that folder."""
        return [name for above, _, name in (path.rpartition("/") for path in self._files) if above == folder]

    def feed(self, data: bytes) -> list[Event]:
        """The next bytes, and what they bring. Raises: IncompleteDumpError where this is no such stream, or one of other things than files."""
        view = memoryview(data)
        while view:
            if self._left:
                view = view[self._take(view) :]
                continue
            missing = self._needed - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            if len(self._pending) == self._needed:
                block, self._pending = bytes(self._pending), bytearray()
                self._then(block)
        events, self._events = self._events, []
        return events

    def require_whole(self) -> None:
        """Raises: IncompleteDumpError where the stream ended early, or lacks what every backup has."""
        if self._left or self._pending or self._then != self._header:
            raise IncompleteDumpError("the stream of mariadb-backup ends before its end")
        for path, file in self._files.items():
            if not file.is_whole:
                raise IncompleteDumpError(f"the stream of mariadb-backup ends within {path!a}")
        if not {"info", "checkpoints"} <= self._notes.keys() or "ib_logfile0" not in self._files:
            raise IncompleteDumpError(
                "the stream of mariadb-backup lacks its redo log, or what it says of itself"
            )

    def _expect(self, size: int, then: Callable[[bytes], None]) -> None:
        self._needed, self._then = size, then

    def _header(self, block: bytes) -> None:
        magic, self._flags, self._letter, length = HEADER.unpack(block)
        if magic != MAGIC or self._letter not in (b"P", b"E", b"R", b"D", b"S"):
            raise IncompleteDumpError("what mariadb-backup sent is no stream of its own")
        self._expect(_length(length), self._path)

    def _path(self, block: bytes) -> None:
        path = _safe(block)
        match self._letter:
            case b"P":
                self._expect(PAYLOAD.size, lambda rest: self._begin(path, *PAYLOAD.unpack(rest)))
            case b"R":
                self._expect(LENGTH.size, lambda rest: self._expect_name(path, *LENGTH.unpack(rest)))
            case b"S":
                # The payload that follows says itself where it lies.
                self._expect(OFFSET.size, lambda _rest: self._next_chunk())
            case b"E":
                self._end(path)
            case _:
                self._rename(path, "")

    def _next_chunk(self) -> None:
        self._expect(HEADER.size, self._header)

    def _begin(self, path: str, length: int, offset: int, checksum: int) -> None:
        """The payload of a file begins."""
        file = self._opened(path, is_replacing=bool(self._flags & REPLACING))
        is_in_head = file.head is not None and offset + length <= len(file.head)
        if offset != file.end and not is_in_head:
            raise IncompleteDumpError(f"the stream of mariadb-backup has not all of {path!a}")
        self._file, self._left, self._position = file, length, offset
        self._checksum, self._found = checksum, 0
        self._next_chunk()
        if not length:
            self._require_checksum()

    def _opened(self, path: str, *, is_replacing: bool) -> _File:
        """The file that is coming under that name, a new one where there is none. Raises: IncompleteDumpError where one came already."""
        known = self._files.get(path)
        if known is not None and not known.is_whole:
            return known
        if known is not None:
            if not is_replacing:
                raise IncompleteDumpError(f"the stream of mariadb-backup brought {path!a} twice")
            self._rename(path, "")
        if path in self._folders:
            raise IncompleteDumpError(f"the stream of mariadb-backup has {path!a} as a file and as a folder")
        self._make_folders(path)
        file = self._files[path] = _File(path)
        if _ARIA_LOG.fullmatch(path):
            file.head = bytearray()
        else:
            self._tell(file, 0)
        if note := _NOTE.fullmatch(path):
            file.note = self._notes[note[1]] = bytearray()
        return file

    def _make_folders(self, path: str) -> None:
        parts = path.split("/")
        for count in range(len(parts)):
            folder = "/".join(parts[:count])
            if folder in self._files:
                raise IncompleteDumpError(
                    f"the stream of mariadb-backup has {folder!a} as a file and as a folder"
                )
            if folder not in self._folders:
                self._folders.add(folder)
                self._events.append(replace(self._like, path=folder, type="d", mode=0o700))

    def _tell(self, file: _File, offset: int) -> None:
        """Says whose content comes next, and where in the file it lies."""
        self._events.append(replace(self._like, path=file.path, type="f", mode=0o660, offset=offset))
        self._told = (file.path, offset)

    def _take(self, view: memoryview) -> int:
        """A piece of the payload; how much of it was taken."""
        file, piece = self._file, view[: self._left]
        if file.head is not None and self._position < HEAD_BYTES:
            piece = piece[: HEAD_BYTES - self._position]
            file.head[self._position : self._position + len(piece)] = piece
        else:
            if self._told != (file.path, self._position):
                self._tell(file, self._position)
            self._events.append(piece)
            self._told = (file.path, self._position + len(piece))
        if file.note is not None:
            file.note += piece[: _NOTE_BYTES - len(file.note)]
        self._found = zlib.crc32(piece, self._found)
        self._position += len(piece)
        self._left -= len(piece)
        file.end = max(file.end, self._position)
        if not self._left:
            self._require_checksum()
        return len(piece)

    def _require_checksum(self) -> None:
        if self._found != self._checksum:
            raise IncompleteDumpError(f"{self._file.path!a} was changed on its way from mariadb-backup")

    def _end(self, path: str) -> None:
        # The end of a file that is whole is all that there is of an empty one in its place.
        file = self._opened(path, is_replacing=True)
        file.is_whole = True
        if file.head is not None:
            self._tell(file, 0)
            self._events.append(memoryview(bytes(file.head)))
            self._told = file.head = None
        self._next_chunk()

    def _expect_name(self, path: str, length: int) -> None:
        self._expect(_length(length), lambda block: self._rename(path, _safe(block)))

    def _rename(self, path: str, to: str) -> None:
        """Of what never came nothing is known: it was made, and renamed or dropped, before it was copied."""
        self._next_chunk()
        file = self._files.pop(path, None)
        if file is None:
            return
        target = self._files.get(to)
        if not file.is_whole or (target is not None and not target.is_whole) or (to and to in self._folders):
            raise IncompleteDumpError(f"the stream of mariadb-backup renames {path!a} while it is coming")
        if to:
            self._make_folders(to)
            file.path, self._files[to] = to, file
        self._events.append(Renamed(path, to))


def _length(length: int) -> int:
    if not 0 < length <= _LONGEST_PATH:
        raise IncompleteDumpError(f"the stream of mariadb-backup holds a name of {length} bytes")
    return length


def _safe(block: bytes) -> str:
    """The path as a member has it. Raises: IncompleteDumpError for a name that leads elsewhere."""
    path = block.decode("utf-8", "surrogateescape").removeprefix("./")
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise IncompleteDumpError(
            f"the stream of mariadb-backup holds {path!a}, which is no file of a data folder"
        )
    return path
