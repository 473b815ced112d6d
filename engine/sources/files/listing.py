"""The listing that GNU find sends: untrusted bytes in, checked entries out. Pure, and a hot path: a million entries in about a second.

One record is four fields, each ended by a NUL, because a path and a link's target may hold anything else: type, mode, owner, group, device
and links; size, times and inode; path; target. What has few different values (the first field) is parsed once and remembered; what has
many is taken apart for a whole piece at a time. Names of users and groups are asked for apart: see owners.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat

from engine.errors import HostileListingError, IncompleteDumpError
from engine.model.entry import Entry
from engine.sources.files.order import Walk, shown
from engine.sources.files.owners import Owners

FIND_FORMAT = r"%y %m %U %G %D %n\0%s %T@ %C@ %i\0%p\0%l\0"
"""What `find -printf` is told. Paths are absolute."""

_FIELDS = 4
_RECORD_LIMIT_BYTES = 1 << 20
"""No honest record is longer: a path has at most 4096 bytes on Linux, some more where directories are nested deeper than that."""
_SLICE_BYTES = 1 << 16
"""So much is parsed at a time: what is made of it stays in the processor's cache (twice as fast as slices of 1 MiB)."""
_KNOWN_LIMIT = 1 << 16
"""So many combinations of type, mode, owner, device and links are remembered; a hostile host could send a new one with each entry."""

_HEAD = re.compile(rb"([fdlpscb]) ([0-7]{1,4}) (\d{1,10}) (\d{1,10}) (\d{1,20}) (\d{1,20})")
_NUMBERS = re.compile(rb"\d{1,20} -?\d{1,19}\.\d{1,10} -?\d{1,19}\.\d{1,10} \d{1,20}")
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")

_Head = tuple[str, int, int, int, bytes, bytes, int, int]


class ListingParser:
    """Takes the listing in pieces of any size and hands out checked entries, without the requested root `/` itself."""

    def __init__(self, roots: Sequence[bytes], owners: Owners) -> None:
        """`owners` knows the names. `roots` are the absolute paths that were asked for: normalised, none below another, in the order in which find was given them. `/` comes
        alone, and find does not list it (`-mindepth 1`).
        """
        self._walk = Walk(roots)
        self._fields: list[bytes] = []
        self._rest = b""
        self._owners = owners
        self._known: dict[bytes, _Head] = {}
        self._seen_shapes: set[bytes] = set()

    def feed(self, data: bytes) -> list[Entry]:
        """The entries whose records `data` completes. Raises: HostileListingError."""
        entries: list[Entry] = []
        for begin in range(0, len(data), _SLICE_BYTES):
            entries += self._feed_slice(data[begin : begin + _SLICE_BYTES])
        return entries

    def _feed_slice(self, data: bytes) -> list[Entry]:
        fields = (self._rest + data).split(b"\0")
        self._rest = fields.pop()
        if self._fields:
            fields = self._fields + fields
        whole = len(fields) - len(fields) % _FIELDS
        self._fields = fields[whole:]
        if len(self._rest) + sum(map(len, self._fields)) > _RECORD_LIMIT_BYTES:
            raise HostileListingError(
                f"a record of the listing is longer than {_RECORD_LIMIT_BYTES} bytes: {shown(self._rest)}"
            )
        return self._parse(fields, whole) if whole else []

    def end(self) -> None:
        """Says that nothing more comes. Raises: IncompleteDumpError where the last record is cut."""
        if self._rest or self._fields:
            raise IncompleteDumpError(
                f"the listing ends in the middle of a record: {shown(b' '.join([*self._fields, self._rest]))}"
            )

    def _parse(self, fields: list[bytes], whole: int) -> list[Entry]:
        heads = self._heads(fields[0:whole:_FIELDS])
        sizes, mtimes, ctimes, inodes = self._numbers(fields[1:whole:_FIELDS])
        paths = fields[2:whole:_FIELDS]
        targets = fields[3:whole:_FIELDS]
        types, modes, uids, gids, users, groups, devices, links = zip(*heads, strict=True)
        self._walk.check(paths, types)
        if len(targets) - targets.count(b"") != types.count("l"):
            _check_targets(types, targets, paths)
        columns = zip(
            [path[1:] for path in paths], types, modes, uids, gids, users, groups,
            map(int, sizes), mtimes, ctimes, map(int, inodes), devices, links, targets, strict=True,
        )  # fmt: skip
        return list(map(tuple.__new__, repeat(Entry), columns))

    def forget_names(self) -> None:
        """The owners know more by now: heads that were parsed before are parsed anew."""
        self._known.clear()

    def _heads(self, heads: list[bytes]) -> list[_Head]:
        known = self._known
        try:
            return list(map(known.__getitem__, heads))
        except KeyError:
            for head in set(heads).difference(known):
                if len(known) >= _KNOWN_LIMIT:
                    known.clear()
                    return [_parse_head(each, self._owners) for each in heads]
                known[head] = _parse_head(head, self._owners)
            return list(map(known.__getitem__, heads))

    def _numbers(self, numbers: list[bytes]) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
        # Validated by shape: with all digits made zeros, a million different records have a few hundred different shapes.
        shapes = set(b"\0".join(numbers).translate(_DIGITS_TO_ZERO).split(b"\0"))
        if not shapes <= self._seen_shapes:
            for number in numbers:
                if not _NUMBERS.fullmatch(number):
                    raise HostileListingError(
                        f"the listing holds what is no size, time and inode: {shown(number)}"
                    )
            if len(self._seen_shapes) < _KNOWN_LIMIT:
                self._seen_shapes |= shapes
        columns = b" ".join(numbers).split(b" ")
        return columns[0::4], columns[1::4], columns[2::4], columns[3::4]


def _parse_head(head: bytes, owners: Owners) -> _Head:
    found = _HEAD.fullmatch(head)
    if not found:
        raise HostileListingError(f"the listing holds what is no type, mode, owner and device: {shown(head)}")
    type_, mode, *numbers = found.groups()
    uid, gid, device, links = map(int, numbers)
    return type_.decode(), int(mode, 8), uid, gid, owners.user(uid), owners.group(gid), device, links


def _check_targets(types: Sequence[str], targets: list[bytes], paths: list[bytes]) -> None:
    for type_, target, path in zip(types, targets, paths, strict=True):
        if target and type_ != "l":
            raise HostileListingError(
                f"the listing gives a target to what is no symbolic link: {shown(path)}"
            )


def require_safe_name(path: bytes, prefix: bytes) -> None:
    """Raises HostileListingError unless the path is the prefix and one more part, which is no `.` or `..`."""
    name = path[len(prefix) :]
    if not path.startswith(prefix) or name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise HostileListingError(f"the listing of a directory holds what cannot lie in it: {shown(path)}")
