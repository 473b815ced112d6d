"""The tar streams of a base backup, taken apart into their files, and checked against the server's own manifest as they go by.

There is one archive a tablespace, and one of the data folder; what a tablespace holds is brought where the data folder has its link to it.
The server writes `backup_manifest` last: each file's size and SHA-256, and one of the manifest itself. WAL is not in it; what comes of it
was fetched after the copy, whole segments each. Source: PostgreSQL's documentation, "Backup Manifest Format", and src/port/tar.c.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import IncompleteDumpError
from engine.sources.base import Member
from engine.sources.postgres import backup_manifest, wal
from engine.sources.postgres.space_filter import SpaceFilter

_BLOCK = 512
_LABEL = "backup_label"
_LOG = "pg_wal/0"
_MOST_LABEL_BYTES = 64 << 10
_START = re.compile(rb"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) ", re.MULTILINE)
_FOLDER_MODE = 0o700
SPACES = "pg_tblspc"
"""Of the data folder: a link to each tablespace, by its number."""
_LINK = b"2"
_MAP = "tablespace_map"
"""By which a server that starts makes such links anew; it is empty, or not there, in what was asked for."""


Event = Member | memoryview
"""A file or folder begins, or more of the last file's content comes."""


@dataclass(slots=True)
class _File:
    """The file whose content is coming."""

    member: Member
    left: int
    padding: int
    hasher: Any
    kept: bytearray | None
    """The content itself, for the manifest and the label."""
    is_log: bool = False


class BaseReader:
    """Takes the stream in pieces of any length; what it holds grows with the number of files, not with the data."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._folder: Member | None = None
        self._folders: set[str] = set()
        self._pending = bytearray()
        self._file: _File | None = None
        self._found: dict[str, tuple[int, str]] = {}
        self._manifest = bytearray()
        self._zero_blocks = 0
        self._has_begun = False
        self._label = b""
        self._made = SpaceFilter(is_within=True)
        """What the log that comes with it makes."""
        self._prefix = ""
        self._spaces: set[str] = set()
        """The numbers of the tablespaces whose archives came."""
        self.last_segment: Member | None = None
        """The last file of the write-ahead log that came, by its name."""

    @property
    def files(self) -> int:
        """How many files came so far."""
        return len(self._found)

    def begin_archive(self, space: str = "") -> None:
        """Another archive begins: of the tablespace of that number, or of the data folder. Raises: IncompleteDumpError where the last one has no end,
        or this one came already."""
        if self._has_begun:
            self._require_end()
        self._has_begun = True
        if space in self._spaces:
            raise IncompleteDumpError(f"the base backup brought the tablespace {space} twice")
        if space:
            self._spaces.add(space)
        self._prefix = f"{SPACES}/{space}/" if space else ""
        self._zero_blocks = 0

    def feed_manifest(self, data: bytes) -> list[Event]:
        """More of the manifest, where it comes behind the archives. Raises: IncompleteDumpError."""
        if self._folder is None:
            raise IncompleteDumpError("the base backup came without any file")
        events: list[Event] = []
        if not self._manifest:
            events.append(replace(self._folder, path=backup_manifest.NAME, type="f", mode=0o600))
        if len(self._manifest) + len(data) > backup_manifest.MOST_BYTES:
            raise IncompleteDumpError("the manifest of the base backup has no end")
        self._manifest += data
        return [*events, memoryview(data)]

    def _require_end(self) -> None:
        if self._file is not None or self._pending or self._zero_blocks < 2:
            raise IncompleteDumpError("the base backup ends before its end")

    def feed(self, data: bytes) -> list[Event]:
        """The next bytes, and what they bring. Raises: IncompleteDumpError where this is no tar stream, or one of other things than files and folders."""
        view = memoryview(data)
        while view:
            if self._file is not None and self._file.left and not self._pending:
                view = view[self._take(self._file, view) :]
                continue
            need = self._needed() - len(self._pending)
            self._pending += view[:need]
            view = view[need:]
            if len(self._pending) == self._needed():
                block, self._pending = bytes(self._pending), bytearray()
                self._block(block)
        events, self._events = self._events, []
        return events

    def has_folder(self, path: str) -> bool:
        """Whether it came."""
        return path in self._folders

    def require_whole(self) -> None:
        """Raises: IncompleteDumpError where the stream ended early, or a file is not as the server's manifest says."""
        self._require_end()
        if not self._manifest:
            raise IncompleteDumpError("the base backup came without its manifest")
        if _LABEL not in self._found or not any(name.startswith("pg_wal/") for name in self._found):
            raise IncompleteDumpError("the base backup came without its label or its write-ahead log")
        if self._found.get(_MAP, (0, ""))[0]:
            raise IncompleteDumpError(
                f"the base backup has a {_MAP}, by which a server would link to other places"
            )
        self._require_no_new_space()
        for path, (size, checksum) in _listed(bytes(self._manifest)).items():
            found = self._found.get(path)
            if found is None:
                raise IncompleteDumpError(f"the base backup came without {path!a}, which its manifest has")
            if found != (size, checksum):
                raise IncompleteDumpError(f"{path!a} of the base backup is not as its manifest says")

    def _require_no_new_space(self) -> None:
        """A tablespace that is made while the rest is copied is in the log alone, whose replay makes it where the server had it.

        Raises: IncompleteDumpError.
        """
        start = _START.search(self._label)
        begin = wal.parse_position(start[1].decode()) if start else 0
        for each in self._made.found:
            if each.position >= begin:
                raise IncompleteDumpError(
                    f"the tablespace at {each.location!a} was made while the cluster was copied",
                    hint="back it up again",
                )

    def _needed(self) -> int:
        """Bytes to gather next: a header, or what fills a file's last block up."""
        if self._file is not None and not self._file.left:
            return self._file.padding
        return _BLOCK

    def _take(self, file: _File, view: memoryview) -> int:
        piece = view[: file.left]
        file.hasher.update(piece)
        self._events.append(piece)
        if file.kept is not None:
            file.kept += piece
        if file.is_log:
            self._made.feed(bytes(piece))
        file.left -= len(piece)
        if not file.left and not file.padding:
            self._end(file)
        return len(piece)

    def _block(self, block: bytes) -> None:
        if self._file is not None:
            self._end(self._file)
        elif not any(block):
            self._zero_blocks += 1
        else:
            self._begin(block)

    def _begin(self, header: bytes) -> None:
        if header[257:262] != b"ustar" or not _is_header(header):
            raise IncompleteDumpError("what pg_basebackup sent is no tar stream")
        name, prefix = _text(header[0:100]), _text(header[345:500])
        sent = f"{prefix}/{name}" if prefix else name
        if self._is_of_space(header, sent):
            return
        member = _member(header, self._prefix + sent.removeprefix("./"))
        path = member.path
        if path in self._found or path in self._folders or not path:
            raise IncompleteDumpError(f"the base backup brought {path!a} twice")
        if self._folder is None:
            # The server sends no entry for the data folder itself; it belongs to whom its content does.
            self._folder = replace(member, path="", type="d", mode=_FOLDER_MODE, size_bytes=0)
            self._events.append(self._folder)
        self._add_spaces(member)
        if path == backup_manifest.NAME:
            # The program adds it, and knows no owner.
            folder = self._folder
            member = replace(member, uid=folder.uid, gid=folder.gid, user=folder.user, group=folder.group)
        self._events.append(member)
        if member.type == "d":
            self._folders.add(path)
            return
        size = member.size_bytes
        if size > {backup_manifest.NAME: backup_manifest.MOST_BYTES, _LABEL: _MOST_LABEL_BYTES}.get(
            path, size
        ):
            raise IncompleteDumpError(f"{path} of the base backup has no end")
        kept = bytearray() if path in (backup_manifest.NAME, _LABEL) else None
        file = _File(member, size, -size % _BLOCK, hashlib.sha256(), kept, path.startswith(_LOG))
        if file.is_log:
            self._made.feed(header)
        if size:
            self._file = file
        else:
            self._end(file)

    def _end(self, file: _File) -> None:
        self._file = None
        if file.is_log:
            self._made.feed(bytes(file.padding))
        if file.member.path == _LABEL:
            self._label = bytes(file.kept or b"")
        if file.member.path == backup_manifest.NAME:
            self._manifest = file.kept or bytearray()
        else:
            member, last = file.member, self.last_segment
            if member.path.startswith(_LOG) and (last is None or member.path > last.path):
                self.last_segment = member
            self._found[member.path] = (member.size_bytes, file.hasher.hexdigest())

    def _is_of_space(self, header: bytes, sent: str) -> bool:
        """Whether the data folder's archive has here no more than the place of a tablespace that came, or of all of them: a link, or a folder."""
        parts = sent.removeprefix("./").removesuffix("/").split("/")
        if self._prefix or parts[0] != SPACES or not self._spaces:
            return False
        is_folder = header[156:157] == b"5"
        return (len(parts) == 1 and is_folder and SPACES in self._folders) or (
            len(parts) == 2 and parts[1] in self._spaces and (is_folder or header[156:157] == _LINK)
        )

    def _add_spaces(self, member: Member) -> None:
        """The folders above a tablespace's first member, which no archive has: they belong to whom its content does."""
        for path in (SPACES, self._prefix.removesuffix("/")) if self._prefix else ():
            if path not in self._folders:
                self._folders.add(path)
                self._events.append(replace(member, path=path, type="d", mode=_FOLDER_MODE, size_bytes=0))


def _member(header: bytes, path: str) -> Member:
    """Raises: IncompleteDumpError for what is neither file nor folder, and for a name that leads elsewhere."""
    letter = {b"0": "f", b"\0": "f", b"5": "d"}.get(header[156:157])
    parts = path.removeprefix("./").removesuffix("/").split("/")
    if letter is None or any(part in ("", ".", "..") for part in parts):
        raise IncompleteDumpError(f"the base backup holds {path!a}, which is no file of a data folder")
    return Member(
        path="/".join(parts),
        type="d" if letter == "d" else "f",
        mode=_number(header[100:108]) & 0o7777,
        uid=_number(header[108:116]),
        gid=_number(header[116:124]),
        user=_text(header[265:297]).encode("ascii", "ignore").decode(),
        group=_text(header[297:329]).encode("ascii", "ignore").decode(),
        modified_s=_number(header[136:148]),
        size_bytes=0 if letter == "d" else _number(header[124:136]),
    )


def _listed(content: bytes) -> Mapping[str, tuple[int, str]]:
    """Path to size and SHA-256. Raises: IncompleteDumpError where the manifest is not what its own checksum says."""
    files = backup_manifest.parse(content).files
    if {each.algorithm for each in files.values()} - {"SHA256"}:
        raise IncompleteDumpError("the manifest of the base backup has other checksums than were asked for")
    return {path: (each.size_bytes, each.checksum) for path, each in files.items()}


def _is_header(header: bytes) -> bool:
    """Whether its checksum is right, which counts its own eight bytes as spaces."""
    return sum(header) - sum(header[148:156]) + 8 * 32 == _number(header[148:156])


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Octal, or of base 256 where the first bit is set: sizes from 8 GiB on."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits and not all(48 <= each < 56 for each in digits):
        raise IncompleteDumpError("what pg_basebackup sent is no tar stream")
    return int(digits or b"0", 8)
