"""Nodes as text, straight from a host's listing: the hot path of backing up trees.

A hundred thousand nodes are written for every backup, changed or not, so fragments that repeat are kept ready: owners, modes and seconds.
"""

from __future__ import annotations

import base64
import datetime
import functools
from typing import Final

from engine.format import names, strict_json
from engine.model.entry import Entry

_PLAIN_BYTES: Final = bytes(byte for byte in names.PLAIN_BYTES if byte not in b"<>&")
"""What stands in a node's name as it does on disk: neither quoting nor JSON touches it."""

_GO_TYPES: Final = {
    "f": ("file", 0),
    "d": ("dir", 1 << 31),
    "l": ("symlink", 1 << 27),
    "p": ("fifo", 1 << 25),
    "s": ("socket", 1 << 24),
    "c": ("chardev", 1 << 26 | 1 << 21),
    "b": ("dev", 1 << 26),
}
_GO_BITS: Final = ((0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20))
"""set-user, set-group, sticky."""

_CACHED: Final = 1 << 16
_EPOCH: Final = datetime.date(1970, 1, 1)
_DAY_S: Final = 86_400
_MINUTES: Final = tuple(b"%02d:%02d:" % divmod(minute, 60) for minute in range(1440))
_SECONDS: Final = tuple(b"%02d" % second for second in range(60))
_FIRST_SECOND: Final = -62_167_219_200
"""0000-01-01, where restic clamps times."""
_FIRST_MINUTE: Final = _FIRST_SECOND // 60
_YEAR_ONE: Final = -62_135_596_800
_LAST_MINUTE: Final = 253_402_300_799 // 60
"""9999-12-31T23:59."""


def go_mode(letter: str, mode: int) -> int:
    """Go's FileMode of a file of type `letter` (find's %y) with the low twelve bits of st_mode."""
    result = _GO_TYPES[letter][1] | mode & 0o777
    for unix, go in _GO_BITS:
        if mode & unix:
            result |= go
    return result


@functools.lru_cache(maxsize=4096)
def unix_mode(mode: int) -> int:
    """The low twelve bits of st_mode of a Go FileMode; its type is the node's `type`."""
    result = mode & 0o777
    for unix, go in _GO_BITS:
        if mode & go:
            result |= unix
    return result


@functools.lru_cache(maxsize=4096)
def _type_and_mode(letter: str, mode: int) -> bytes:
    value = go_mode(letter, mode)
    text = b'","type":"%b","mode":%d,"mtime":"' % (_GO_TYPES[letter][0].encode(), value)
    return text if value else text.replace(b',"mode":0', b"")


@functools.lru_cache(maxsize=_CACHED)
def _owner(uid: int, gid: int, user: bytes, group: bytes) -> bytes:
    parts = [b'","uid":%d,"gid":%d' % (uid, gid)]
    if user:
        parts.append(b',"user":' + strict_json.quote(user))
    if group:
        parts.append(b',"group":' + strict_json.quote(group))
    return b"".join(parts)


def _second(seconds: bytes) -> bytes:
    """The text of a second since 1970, without the zone. Files of one time come together, so minutes are kept ready: 0.3 us, where datetime takes 2."""
    minute, second = divmod(int(seconds), 60)
    return _minute(minute) + _SECONDS[second] if _FIRST_MINUTE <= minute <= _LAST_MINUTE else _edge(minute)


def _edge(minute: int) -> bytes:
    """Before the first second or after the last one there is no other."""
    return _minute(_FIRST_MINUTE) + b"00" if minute < _FIRST_MINUTE else _minute(_LAST_MINUTE) + b"59"


@functools.lru_cache(maxsize=_CACHED)
def _minute(minute: int) -> bytes:
    """The text of a minute since 1970, up to the last colon."""
    day, rest = divmod(minute, 1440)
    return _day(day) + _MINUTES[rest]


def _day(day: int) -> bytes:
    """The text of a day since 1970, up to the T."""
    if day * _DAY_S < _YEAR_ONE:
        # The year 0 is a leap year of 366 days as 4 is, which datetime knows.
        shown = datetime.date(4, 1, 1) + datetime.timedelta(days=day - _FIRST_SECOND // _DAY_S)
        return b"0000" + shown.strftime("-%m-%dT").encode()
    return (_EPOCH + datetime.timedelta(days=day)).isoformat().encode() + b"T"


def time_text(instant: bytes) -> bytes:
    """Go's text, in UTC, of an instant as find's %T@ prints it: floored seconds, and a fraction that counts upwards."""
    seconds, _, fraction = instant.partition(b".")
    fraction = fraction[:9].rstrip(b"0")
    if fraction:
        return b"%b.%bZ" % (_second(seconds), fraction)
    return _second(seconds) + b"Z"


def node_prefix(entry: Entry) -> bytes:
    """The node's JSON from its beginning up to where `node_suffix` takes over."""
    path, letter, mode, uid, gid, user, group, size, mtime, ctime, inode, device, links, target = entry
    name = path[path.rfind(b"/") + 1 :]
    if name.translate(None, _PLAIN_BYTES):
        name = strict_json.quote(names.quote(name))[1:-1]
    modified = time_text(mtime)
    # Plain file access tells no change time.
    changed = modified if ctime in (mtime, b"") else time_text(ctime)
    head = b'{"name":"%b%b%b","atime":"%b","ctime":"%b%b' % (
        name,
        _type_and_mode(letter, mode),
        modified,
        modified,
        changed,
        _owner(uid, gid, user, group),
    )
    if letter == "f" and size and inode and device and links:
        return b'%b,"inode":%d,"device_id":%d,"size":%d,"links":%d' % (head, inode, device, size, links)
    return head + _tail(letter, size, inode, device, links, target)


def _tail(letter: str, size: int, inode: int, device: int, links: int, target: bytes) -> bytes:
    """The numbers, zeros left out: links of all but directories, fifos and sockets, sizes of files alone; then the link's target."""
    numbers = (
        (b"inode", inode),
        (b"device_id", device),
        (b"size", size if letter == "f" else 0),
        (b"links", links if letter in "flcb" else 0),
    )
    text = b"".join([b',"%b":%d' % (name, number) for name, number in numbers if number])
    return text + link_target(target) if letter == "l" else text


def link_target(target: bytes) -> bytes:
    """The fields for what a symbolic link points at; its raw form as well where it is not UTF-8."""
    if not target:
        return b""
    text = b',"linktarget":' + strict_json.quote(target)
    try:
        target.decode()
    except UnicodeDecodeError:
        return b'%b,"linktarget_raw":"%b"' % (text, base64.b64encode(target))
    return text


def node_suffix(
    xattrs: tuple[tuple[bytes, bytes], ...],
    device: int,
    content: tuple[bytes, ...] | list[bytes] | None,
    subtree: bytes | None,
    *,
    error: bytes = b"",
    generic: bytes = b"",
) -> bytes:
    """The rest of the node's JSON, its closing brace included. `generic` is the JSON of Windows' attributes."""
    if content is None:
        contained = b',"content":null'
    elif content:
        contained = b',"content":["%b"]' % '","'.join([each.hex() for each in content]).encode()
    else:
        contained = b',"content":[]'
    before = _attributes(xattrs) if xattrs else b""
    if generic:
        before += b',"generic_attributes":' + generic
    if device:
        before += b',"device":%d' % device
    after = b',"subtree":"%b"' % subtree.hex().encode() if subtree is not None else b""
    if error:
        after += b',"error":' + strict_json.quote(error)
    return b"%b%b%b}" % (before, contained, after)


def _attributes(xattrs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    encoded = [
        b'{"name":%b,"value":"%b"}' % (strict_json.quote(name), base64.b64encode(value))
        for name, value in xattrs
    ]
    return b',"extended_attributes":[%b]' % b",".join(encoded)
