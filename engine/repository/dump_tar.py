"""Tar archives of what a snapshot holds: POSIX.1-2001 (pax), as restic's dump writes them.

Names that are no UTF-8, nanoseconds, large numbers, extended attributes and ACLs go into pax headers, which GNU tar and bsdtar read.
Sockets have no form in an archive and are left out; further names of one file are written as files of their own.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Sequence
from typing import Final

from engine.format.tree import Node, unix_mode
from engine.repository.restore_files import nanoseconds

_BLOCK_BYTES: Final = 512
END: Final = bytes(2 * _BLOCK_BYTES)
"""Two empty blocks end an archive."""

_TYPES: Final = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "fifo": tarfile.FIFOTYPE,
    "chardev": tarfile.CHRTYPE,
    "dev": tarfile.BLKTYPE,
}
_ACL_HEADER: Final = struct.Struct("<I")
_ACL_ENTRY: Final = struct.Struct("<HHI")
_ACL_NAMES: Final = {
    0x01: "user:",
    0x02: "user:{}",
    0x04: "group:",
    0x08: "group:{}",
    0x10: "mask:",
    0x20: "other:",
}
"""Tags of linux/posix_acl.h."""


def has_form(node: Node) -> bool:
    """Whether an archive can hold it."""
    return node.type in _TYPES


def padding(size_bytes: int) -> bytes:
    """What fills the last block of a content of that size."""
    return bytes(-size_bytes % _BLOCK_BYTES)


def header(path: bytes, node: Node, size_bytes: int) -> bytes:
    """The header blocks of a member. `size_bytes` is what will follow, whatever the node says."""
    return _written(_info(path, node, size_bytes))


def link_header(path: bytes, node: Node, first: bytes) -> bytes:
    """A further name of a file that the archive holds already, by that path."""
    info = _info(path, node, 0)
    info.type, info.linkname = tarfile.LNKTYPE, _text(first)
    return _written(info)


def sparse_header(
    path: bytes, node: Node, real_bytes: int, extents: Sequence[tuple[int, int]]
) -> tuple[bytes, bytes]:
    """Header and map of a file with holes, and what fills its last block; between them comes what the extents (offset, length) hold.

    Source: GNU tar manual, "Storing Sparse Files", PAX format, version 1.0.
    """
    # A last extent without length says where the file ends, as GNU tar writes it.
    listed = extents if extents and sum(extents[-1]) == real_bytes else [*extents, (real_bytes, 0)]
    numbers = [len(listed), *(number for extent in listed for number in extent)]
    mapped = b"".join(b"%d\n" % number for number in numbers)
    mapped += padding(len(mapped))
    stored = sum(length for _, length in extents)
    info = _info(path, node, len(mapped) + stored)
    info.pax_headers = {
        **info.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": _text(path),
        "GNU.sparse.realsize": str(real_bytes),
    }
    return _written(info) + mapped, padding(stored)


def _written(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _info(path: bytes, node: Node, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(_text(path))
    info.type = _TYPES[node.type]
    info.mode = unix_mode(node.mode)
    info.uid, info.gid = node.uid, node.gid
    info.uname, info.gname = _text(node.user), _text(node.group)
    info.size = size_bytes
    info.linkname = _text(node.linktarget)
    if node.type in ("chardev", "dev"):
        # Not os.major: the repository may come from another system, and the numbers from Linux.
        info.devmajor = (node.device >> 8) & 0xFFF | (node.device >> 32) & 0xFFFFF000
        info.devminor = node.device & 0xFF | (node.device >> 12) & 0xFFFFFF00
    info.pax_headers = _more(node)
    modified = _modified(node)
    info.mtime = modified // 1_000_000_000
    if modified % 1_000_000_000 or info.mtime < 0:
        info.pax_headers["mtime"] = _decimal(modified)
    return info


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _modified(node: Node) -> int:
    try:
        return nanoseconds(node.mtime) or 0
    except ValueError:
        return 0


def _decimal(instant: int) -> str:
    """Nanoseconds as pax writes them: seconds, a point, and a fraction that counts away from zero."""
    sign = "-" if instant < 0 else ""
    seconds, fraction = divmod(abs(instant), 1_000_000_000)
    return f"{sign}{seconds}.{fraction:09d}"


def _more(node: Node) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in node.extended_attributes:
        acl = acl_text(value) if name.startswith(b"system.posix_acl_") else None
        if acl is not None:
            headers[f"SCHILY.acl.{_text(name).rpartition('_')[2]}"] = acl
        else:
            # A record's keyword ends at its first `=`: GNU tar writes these two so, and reads them back.
            keyword = _text(name).replace("%", "%25").replace("=", "%3D")
            headers[f"SCHILY.xattr.{keyword}"] = _text(value)
    return headers


def acl_text(value: bytes) -> str | None:
    """An ACL as star and GNU tar write it, `user::rwx,user:12:r--,...`; None where the bytes are none. Source: linux/posix_acl_xattr.h."""
    if len(value) < _ACL_HEADER.size or (len(value) - _ACL_HEADER.size) % _ACL_ENTRY.size:
        return None
    if _ACL_HEADER.unpack_from(value)[0] != 2:
        return None
    entries = []
    for tag, permissions, number in _ACL_ENTRY.iter_unpack(value[_ACL_HEADER.size :]):
        if tag not in _ACL_NAMES:
            return None
        rights = "".join(
            letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1))
        )
        entries.append(f"{_ACL_NAMES[tag].format(number)}:{rights}")
    return ",".join(entries)
