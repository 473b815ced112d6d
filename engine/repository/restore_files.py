"""The target of a restore: directories opened without ever following a link, files under temporary names, metadata.

Whatever a tree says, nothing is written outside the target: each directory is opened from its parent's descriptor with O_NOFOLLOW, and
names hold no slash (`tree.decode_tree` refuses those). A link that lies in the way, whoever put it there and whenever, is an error.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import RestoreError
from engine.format.tree import Node, unix_mode

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TEMPORARY_PREFIX: Final = b".holdfast-restore-"
"""Begins the name of what is not complete yet: a random part follows, so no tree can hold the same name, a process id, and a number."""
HOLE_BYTES: Final = 4096
"""Blocks of zeros of this size, aligned, are left out of long files: the file system's own size of a block, mostly."""
HOLES_FROM_BYTES: Final = 64 << 10
"""Shorter files are written as they are: a hole would save nothing worth the time."""

_INCOMPLETE: Final = re.compile(re.escape(TEMPORARY_PREFIX) + rb"[0-9a-f]+-([0-9]{1,9})-[0-9]+")
_KEPT_OPEN: Final = 64
"""Levels of a path that stay open between two calls; deeper ones are opened anew, so that depth costs no descriptors."""
_ZEROS: Final = bytes(HOLE_BYTES)
_WHOLE_HOLE: Final = bytes(64 << 10)
_EPOCH: Final = datetime.date(1970, 1, 1)
_DAY_S: Final = 86_400
_MINUTES: Final = {f"{minute // 60:02d}:{minute % 60:02d}:": minute * 60 for minute in range(1440)}
_SECONDS: Final = {f"{second:02d}": second for second in range(60)}
"""Times are put together from parts that are ready, as node_text.py takes them apart: 0.4 us each, where datetime takes 2."""
_NO_TIME: Final = "0001-01-01T00:00:00Z"
"""What Go writes for a time that is not known."""
_HANDED_DOWN: Final = ("system.posix_acl_access", "system.posix_acl_default")
"""What a new file or directory gets from a default ACL of the directory that it is made in."""
_KEPT_ATTRIBUTES: Final = frozenset(("security.selinux", "system.nfs4_acl"))
"""Set by the system itself; not being in the backup is no reason to remove them."""


class Descent:
    """Opens directories below a root, part by part, and keeps those of the last path open for the next. For one thread."""

    def __init__(self, root: int) -> None:
        """`root` is an open directory; it stays the caller's."""
        self._root = root
        self._open: list[tuple[bytes, int]] = []
        self._loose: int | None = None
        self._last: tuple[Sequence[bytes], int] | None = None

    def enter(self, parts: Sequence[bytes]) -> int:
        """A descriptor of that directory, good until the next call with other parts, which must not be changed meanwhile.

        Raises: OSError; ELOOP or ENOTDIR where a link or something else stands in the way.
        """
        if self._last is not None and self._last[0] is parts:
            return self._last[1]
        self._last = None
        self._close_loose()
        shared = 0
        for (name, _), part in zip(self._open, parts, strict=False):
            if name != part:
                break
            shared += 1
        while len(self._open) > shared:
            os.close(self._open.pop()[1])
        current = self._open[-1][1] if self._open else self._root
        for part in parts[shared:]:
            opened = os.open(part, DIRECTORY_FLAGS, dir_fd=current)
            if len(self._open) < _KEPT_OPEN:
                self._open.append((part, opened))
            else:
                self._close_loose()
                self._loose = opened
            current = opened
        self._last = (parts, current)
        return current

    def forget(self) -> None:
        """Closes all that is open: what it leads to may have been replaced."""
        self._last = None
        self._close_loose()
        while self._open:
            os.close(self._open.pop()[1])

    def _close_loose(self) -> None:
        if self._loose is not None:
            os.close(self._loose)
            self._loose = None


def open_target(path: str | bytes) -> int:
    """Opens the target directory, made where it is missing. Links in its own path are followed: the person named it. Raises: OSError."""
    os.makedirs(path, exist_ok=True)  # noqa: PTH103 -- the target may be named in bytes that are no text
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def reason(error: Exception) -> str:
    """What went wrong, in the system's words without numbers and names, or in ours."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def status(folder: int, name: bytes) -> os.stat_result | None:
    """What lies there, links not followed; None for nothing. Raises: OSError."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=4096)
def _day(text: str) -> int:
    """Seconds since 1970 of the midnight that begins `2024-01-02T`, in UTC."""
    if text[10:] != "T":
        raise ValueError(f"not a time: {text!r}")
    if text.startswith("0000"):
        # 366 days: the year 0 is a leap year, and datetime begins at 1.
        return _day("0004" + text[4:]) - 4 * 365 * _DAY_S - _DAY_S
    return (datetime.date.fromisoformat(text[:10]) - _EPOCH).days * _DAY_S


@functools.lru_cache(maxsize=256)
def _offset(zone: str) -> int:
    """Seconds east of UTC of `+02:00`."""
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
        raise ValueError(f"not a time zone: {zone!r}")
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -60 * minutes if zone[0] == "-" else 60 * minutes


def nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970 of a node's time; None where it has none.

    Raises: ValueError for what is no time.
    """
    if text == _NO_TIME:
        return None
    try:
        seconds = _day(text[:11]) + _MINUTES[text[11:17]] + _SECONDS[text[17:19]]
    except KeyError as error:
        raise ValueError(f"not a time: {text[:60]!r}") from error
    if text.endswith("Z"):
        fraction = text[19:-1]
    else:
        fraction = text[19:-6]
        seconds -= _offset(text[-6:])
    if not fraction:
        return seconds * 1_000_000_000
    if fraction[0] != ".":
        raise ValueError(f"not a time: {text[:60]!r}")
    return seconds * 1_000_000_000 + int(fraction[1:10].ljust(9, "0"))


def times(node: Node) -> tuple[int, int] | None:
    """Access and modification time of a node in nanoseconds. Raises: ValueError."""
    modified = nanoseconds(node.mtime)
    if modified is None:
        return None
    accessed = modified if node.atime == node.mtime else nanoseconds(node.atime)
    return (modified if accessed is None else accessed), modified


@dataclass(frozen=True, slots=True)
class Rights:
    """What this process may do with owners."""

    is_root: bool
    uid: int
    gid: int

    @classmethod
    def mine(cls) -> Rights:
        """Those of this process."""
        return cls(os.geteuid() == 0, os.geteuid(), os.getegid())

    def mode(self, node: Node) -> int:
        """The mode to set: without root the owner stays, and set-user and set-group bits would then lend the wrong one's rights."""
        mode = unix_mode(node.mode)
        is_ours = self.is_root or (node.uid, node.gid) == (self.uid, self.gid)
        return mode if is_ours else mode & 0o1777


class MetadataError(RestoreError):
    """some metadata could not be restored"""


def apply_to_open(descriptor: int, node: Node, rights: Rights, *, is_fresh: bool) -> None:
    """Gives an open file or directory its owner, attributes, mode and times, in the order in which none undoes another.

    A change of owner clears set-user bits and capabilities, an ACL changes the mode. `is_fresh`: it was just made, in a directory that
    hands nothing down, and has no attributes; what it has already is not set once more.

    Raises: MetadataError, after all that could be set was.
    """
    try:
        if is_fresh and not node.extended_attributes:
            found = os.fstat(descriptor)
            mode = rights.mode(node)
            if rights.is_root and (found.st_uid != node.uid or found.st_gid != node.gid):
                os.fchown(descriptor, node.uid, node.gid)
            if found.st_mode & 0o7777 != mode or mode & 0o7000:
                os.fchmod(descriptor, mode)
            instants = times(node)
            if instants is not None:
                os.utime(descriptor, ns=instants)
            return
    except (OSError, OverflowError, ValueError):
        # Once more below, step by step, so that the message names what failed and the rest is done.
        pass
    problems = _Problems()
    if rights.is_root:
        problems.attempt("owner", lambda: os.fchown(descriptor, node.uid, node.gid))
    _set_attributes(problems, descriptor, node, rights)
    problems.attempt("mode", lambda: os.fchmod(descriptor, rights.mode(node)))
    problems.attempt("times", lambda: _set_times(descriptor, node))
    problems.raise_if_any()


def apply_by_name(folder: int, name: bytes, node: Node, rights: Rights, *, is_fresh: bool) -> None:
    """The same for what cannot be opened: links, devices, fifos. Raises: MetadataError."""
    problems = _Problems()
    if rights.is_root:
        problems.attempt(
            "owner", lambda: os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False)
        )
    if node.extended_attributes or not is_fresh:
        _set_attributes(problems, b"/proc/self/fd/%d/%b" % (folder, name), node, rights)
    if node.type != "symlink":
        problems.attempt("mode", lambda: os.chmod(name, rights.mode(node), dir_fd=folder))
    problems.attempt("times", lambda: _set_times(name, node, folder))
    problems.raise_if_any()


class _Problems:
    """What went wrong with one file's metadata."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def attempt(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except OSError as error:
            self._found.append(f"{what}: {error.strerror or error}")
        except (OverflowError, ValueError) as error:
            self._found.append(f"{what}: {error}")

    def raise_if_any(self) -> None:
        if self._found:
            raise MetadataError(", ".join(self._found))


def _set_times(place: int | bytes, node: Node, folder: int | None = None) -> None:
    instants = times(node)
    if instants is None:
        return
    if folder is None:
        os.utime(place, ns=instants)
    else:
        os.utime(place, ns=instants, dir_fd=folder, follow_symlinks=False)


def _set_attributes(problems: _Problems, place: int | bytes, node: Node, rights: Rights) -> None:
    follows = isinstance(place, int)
    for name in _unwanted_attributes(place, node):
        problems.attempt(
            f"attribute {name}", functools.partial(os.removexattr, place, name, follow_symlinks=follows)
        )
    for attribute, value in node.extended_attributes:
        if rights.is_root or not attribute.startswith((b"trusted.", b"security.")):
            problems.attempt(
                f"attribute {attribute.decode(errors='replace')}",
                functools.partial(os.setxattr, place, attribute, value, follow_symlinks=follows),
            )


def _unwanted_attributes(place: int | bytes, node: Node) -> list[str]:
    """The attributes that are there and that the backup does not have."""
    wanted = {os.fsdecode(name) for name, _ in node.extended_attributes}
    try:
        present = os.listxattr(place, follow_symlinks=isinstance(place, int))
    except OSError:
        return []
    return [name for name in present if name not in wanted and name not in _KEPT_ATTRIBUTES]


def refuse_inheritance(folder: int) -> None:
    """Takes from a directory that was just made the ACLs that it got from the one above, so that what is made in it gets none. Raises: OSError."""
    try:
        present = os.listxattr(folder)
    except OSError:
        return
    for name in present:
        if name in _HANDED_DOWN:
            os.removexattr(folder, name)


def write_sparsely(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """Writes `data` at `offset` and leaves out aligned blocks of zeros, where the file must hold nothing yet. Raises: OSError."""
    plain = bytes(data) if isinstance(data, memoryview) else data
    end = len(plain)
    begin = 0
    position = -offset % HOLE_BYTES
    while position + HOLE_BYTES <= end:
        if not plain.startswith(_ZEROS, position):
            position += HOLE_BYTES
            continue
        write_whole(descriptor, offset + begin, plain, begin, position)
        while plain.startswith(_WHOLE_HOLE, position):
            position += len(_WHOLE_HOLE)
        while plain.startswith(_ZEROS, position):
            position += HOLE_BYTES
        begin = position
    write_whole(descriptor, offset + begin, plain, begin, end)


def write_whole(descriptor: int, offset: int, data: bytes, begin: int, end: int) -> None:
    """Writes `data[begin:end]` at `offset`, however many calls that takes. Raises: OSError."""
    if begin >= end:
        return
    if begin == 0 and end == len(data):
        begin = os.pwrite(descriptor, data, offset)
        if begin == end:
            return
        offset += begin
    with memoryview(data) as view:
        while begin < end:
            count = os.pwrite(descriptor, view[begin:end], offset)
            begin += count
            offset += count


def names_in(folder: int) -> list[bytes]:
    """The names in an open directory. Raises: OSError."""
    return [os.fsencode(name) for name in os.listdir(folder)]


def remove(folder: int, name: bytes, *, device: int | None = None) -> int:
    """Removes a file, or a directory with all that is in it, links not followed; gives how many things that were.

    Raises: RestoreError for a directory that lies on another file system than `device`; OSError.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
    else:
        return 1
    opened = os.open(name, DIRECTORY_FLAGS, dir_fd=folder)
    try:
        own = os.fstat(opened).st_dev
        if device is not None and own != device:
            raise RestoreError(f"{os.fsdecode(name)} lies on another file system and was left alone")
        removed = sum(remove(opened, each, device=own) for each in names_in(opened))
    finally:
        os.close(opened)
    os.rmdir(name, dir_fd=folder)
    return removed + 1


def sweep(folder: int, token: bytes) -> None:
    """Removes what a run left incomplete in that directory."""
    prefix = TEMPORARY_PREFIX + token
    for name in names_in(folder):
        if name.startswith(prefix):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def sweep_dead(folder: int) -> None:
    """Removes what restores that were killed left incomplete in that directory: their processes are gone from this machine."""
    for name in names_in(folder):
        found = _INCOMPLETE.fullmatch(name)
        if found and not _is_alive(int(found[1])):
            discard(folder, name)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def discard(folder: int, temporary: bytes) -> None:
    """Removes something incomplete, or does nothing where it is gone."""
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=folder)


def link(leader_folder: int, leader: bytes, folder: int, name: bytes, *, keeps: bool) -> bool | None:
    """Gives a file one more name, in the place of what has it. Links are not followed.

    Gives False where it has that name already, and None where something has it and `keeps` says to leave it. Raises: OSError.
    """
    try:
        os.link(leader, name, src_dir_fd=leader_folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if keeps:
            return None
    else:
        return True
    theirs, ours = status(leader_folder, leader), status(folder, name)
    if theirs is not None and ours is not None and os.path.samestat(theirs, ours):
        return False
    temporary = b"%b%b-%d-0" % (TEMPORARY_PREFIX, secrets.token_hex(8).encode(), os.getpid())
    os.link(leader, temporary, src_dir_fd=leader_folder, dst_dir_fd=folder, follow_symlinks=False)
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        discard(folder, temporary)
        raise
    return True
