"""Plain file access on this machine: the operating system's calls, in threads."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

from engine.errors import HostError, PathMissingError
from engine.hosts.base import READ_BYTES, FileAccess
from engine.model.entry import Entry

_TYPES = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}


class LocalFiles:
    """See `base.FileAccess`. Each call runs in a thread."""

    async def entries(self, directory: bytes) -> Sequence[Entry]:
        """See `base.FileAccess.entries`."""
        return await asyncio.to_thread(_entries, directory)

    async def entry(self, path: bytes) -> Entry:
        """See `base.FileAccess.entry`."""
        return await asyncio.to_thread(_entry, path)

    @asynccontextmanager
    async def read(self, path: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `base.FileAccess.read`."""
        descriptor = await asyncio.to_thread(_open, path)
        try:
            yield _pieces(descriptor, path)
        finally:
            os.close(descriptor)


@asynccontextmanager
async def opened() -> AsyncIterator[FileAccess]:
    """The files of this machine; nothing to close."""
    yield LocalFiles()


async def _pieces(descriptor: int, path: bytes) -> AsyncIterator[bytes]:
    while True:
        try:
            piece = await asyncio.to_thread(os.read, descriptor, READ_BYTES)
        except OSError as error:
            raise _translated(error, path) from error
        if not piece:
            return
        yield piece


def _open(path: bytes) -> int:
    try:
        # Never wait for the writer of a fifo that took the place of a file.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _translated(error, path) from error


def _entries(directory: bytes) -> list[Entry]:
    try:
        names = os.listdir(directory)  # noqa: PTH208 -- pathlib takes no bytes
    except OSError as error:
        raise _translated(error, directory) from error
    found = []
    for name in names:
        try:
            found.append(_entry(directory.rstrip(b"/") + b"/" + name))
        except PathMissingError:
            continue  # it went away between the two calls
    return found


def _entry(path: bytes) -> Entry:
    try:
        status = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else b""  # noqa: PTH115 -- as above
    except OSError as error:
        raise _translated(error, path) from error
    return Entry(
        path=path.strip(b"/"),
        type=_TYPES.get(stat.S_IFMT(status.st_mode), "f"),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        user=_user_name(status.st_uid),
        group=_group_name(status.st_gid),
        size=status.st_size,
        mtime=_instant(status.st_mtime_ns),
        ctime=_instant(status.st_ctime_ns),
        inode=status.st_ino,
        device=status.st_dev,
        links=status.st_nlink,
        target=target,
    )


def _instant(nanoseconds: int) -> bytes:
    """As find's %T@ prints it: seconds floored, the fraction counts up."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    return b"%d.%09d0" % (seconds, fraction)


@lru_cache(maxsize=4096)
def _user_name(uid: int) -> bytes:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name.encode(errors="surrogateescape")
    except KeyError:
        return b""


@lru_cache(maxsize=4096)
def _group_name(gid: int) -> bytes:
    import grp

    try:
        return grp.getgrgid(gid).gr_name.encode(errors="surrogateescape")
    except KeyError:
        return b""


def _translated(error: OSError, path: bytes) -> HostError | PathMissingError:
    shown = path.decode(errors="backslashreplace")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return PathMissingError(f"{shown} is not there")
    return HostError(f"{shown} cannot be read: {error.strerror}")
