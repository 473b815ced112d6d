"""What a host says of one file, and what it sends of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

EntryType = Literal["f", "d", "l", "p", "s", "c", "b"]
"""file, directory, symbolic link, fifo, socket, character device, block device: the letters of find's %y."""


class Entry(NamedTuple):
    """One file, directory, link or device as the host's listing has it. Untrusted input until `files.listing` let it pass.

    A tuple and not a dataclass, because a listing of a million makes a million of them.
    """

    path: bytes
    """From the host's root, without a leading slash; never empty, no empty part, no `.` or `..` part."""
    type: str
    """An EntryType."""
    mode: int
    """The low twelve bits of st_mode: permissions, set-user, set-group, sticky."""
    uid: int
    gid: int
    user: bytes
    """Name of the owner on the host, empty where it has none (find prints the number then: the listing's parser empties it)."""
    group: bytes
    size: int
    mtime: bytes
    """Seconds since 1970, floored, a dot, and up to ten digits of the fraction counted upwards, as find's %T@ prints it."""
    ctime: bytes
    inode: int
    device: int
    """Number of the file system that the entry lies on (st_dev)."""
    links: int
    target: bytes
    """What a symbolic link points at; empty for all else."""


class Fetched(NamedTuple):
    """The content, or the rest of the metadata, of one entry that was asked for."""

    path: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    """Names and raw values of extended attributes, POSIX ACLs among them as system.posix_acl_access and system.posix_acl_default; in the host's
    own order, which restic's trees keep."""
    rdev: int
    """Device number of a character or block device as st_rdev (makedev), else 0."""
    data: bytes | None
    """The whole content of a small file; b"" for what has no content; None where `stream` has it. None without a
    stream means: the same content as an earlier wanted entry with the same device and inode, of which this is a hard link."""
    stream: AsyncIterator[bytes] | None
    """Pieces of a large file. To be read to its end, or closed, before the next batch is asked for."""
    type: str
    """An EntryType: what lies there now, whatever the listing said. Empty for a hard link of an earlier entry."""


class Failure(NamedTuple):
    """An entry that was asked for and did not come as it was listed."""

    path: bytes
    reason: Literal["vanished", "unreadable", "changed"]
    """`changed`: the content came, yet the file changed while it was read."""
    detail: str
    """The tool's own words, for the log."""
    is_spoiled: bool = False
    """Whether content was delivered all the same, and is not the file's: what could not be read of it was filled with zeros, or left out.
    With the reason `changed` it is not known whether the file became shorter, or its disk fails."""
