"""Reading small files of this machine, by the worker that stores them: no tool of the host and no stream lies between.

Only what is plainly as it was listed is read here. Whatever else there is to it (it changed, it went away, it may not be read, its attributes
may not) the reader leaves alone: the host's tool is asked for it then, and says in its own words what is wrong.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple, Self

Xattrs = tuple[tuple[bytes, bytes], ...]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Never wait for the writer of a fifo that took the place of a file."""
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENODATA)


class Content(NamedTuple):
    """A file as it was read."""

    data: bytes
    xattrs: Xattrs
    """In the kernel's own order, which restic's trees keep."""


class FileReader:
    """Reads files one after the other; those of one directory side by side are the cheapest. Closes its directory with its context."""

    def __init__(self) -> None:
        self._folder: bytes | None = None
        self._descriptor = -1
        self._flags = open_flags()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._leave()

    def read(self, path: bytes, size_bytes: int, ctime: bytes) -> Content | None:
        """The file at `path` (absolute, without its leading slash), or None where it is not to be had as it was listed.

        `size_bytes` and `ctime` (as find's %C@ prints it) are the listing's. One look at the status after the bytes were read is enough:
        where the change time is the listing's, nothing changed in between.
        """
        cut = path.rfind(b"/")
        try:
            if path[: max(cut, 0)] != self._folder:
                self._enter(path[: max(cut, 0)])
            descriptor = os.open(path[cut + 1 :], self._flags, dir_fd=self._descriptor)
        except OSError:
            return None
        try:
            data = os.read(descriptor, size_bytes + 1)
            status = os.fstat(descriptor)
            is_as_listed = (
                len(data) == size_bytes == status.st_size
                and instant(status.st_ctime_ns) == ctime
                and stat.S_ISREG(status.st_mode)
            )
            return Content(data, read_xattrs(descriptor)) if is_as_listed else None
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _enter(self, folder: bytes) -> None:
        self._leave()
        self._descriptor = os.open(b"/" + folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folder = folder

    def _leave(self) -> None:
        self._folder = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_flags() -> int:
    """What a file is opened with. Reading shall leave no trace; of another's file only root may ask for that."""
    return _FLAGS | os.O_NOATIME if os.geteuid() == 0 else _FLAGS


def instant(nanoseconds: int) -> bytes:
    """A time as find's %C@ prints it: seconds floored, a fraction of ten digits that counts up."""
    return b"%d.%09d0" % divmod(nanoseconds, 1_000_000_000)


def read_xattrs(descriptor: int) -> Xattrs:
    """The extended attributes of an open file; none where the file system knows of none. Raises: OSError."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return ()
        raise
    return tuple(_values(descriptor, names)) if names else ()


def _values(descriptor: int, names: Sequence[str]) -> list[tuple[bytes, bytes]]:
    return [(os.fsencode(name), os.getxattr(descriptor, name)) for name in names]
