"""What each directory looked like when it was last backed up, so that one that looks the same costs no more than its listing.

For each directory a digest of the entries that the listing gave for it, and the tree that came of them. Where the entries are the same, and
all subdirectories kept their trees, the tree is the same. Kept in the local cache beside the snapshot that it belongs to: what was on the
disk of a host is never in there, only digests. It is trusted only while wholeness.py proves that the snapshot's blobs are all there.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.model.entry import Entry

_ROW = struct.Struct("<16s16s32sIQ")
_MAGIC = b"holdfast folders 1\n"
_encode = msgspec.msgpack.Encoder().encode


class Folder(NamedTuple):
    """One directory as it was."""

    signature: bytes
    """Of the entries directly in it."""
    tree_id: bytes
    files: int
    """Regular files directly in it."""
    size_bytes: int
    """Of those."""


def signature(entries: Sequence[Entry]) -> bytes | None:
    """Sixteen bytes that differ when an entry or the order does; None for numbers that no honest host sends."""
    try:
        return hashlib.blake2b(_encode(entries), digest_size=16).digest()
    except OverflowError:
        return None


class FolderMemory:
    """The directories of one snapshot, and those of the one that is being made."""

    def __init__(self, rows: bytes = b"") -> None:
        self._rows = rows
        self._at = {rows[at : at + 16]: at for at in range(0, len(rows), _ROW.size)}
        self._new: list[bytes] = []

    @classmethod
    def load(cls, path: Path) -> FolderMemory:
        """Reads what `content` gave; empty where it is not there or is something else."""
        try:
            content = path.read_bytes()
        except OSError:
            return cls()
        rows = content[len(_MAGIC) : -32]
        is_sound = content.startswith(_MAGIC) and hashlib.sha256(content[:-32]).digest() == content[-32:]
        return cls(rows) if is_sound and len(rows) % _ROW.size == 0 else cls()

    def get(self, path: bytes) -> Folder | None:
        """The directory of that path as it was."""
        if not self._at:
            return None
        at = self._at.get(_key(path))
        if at is None:
            return None
        _, *values = _ROW.unpack_from(self._rows, at)
        return Folder(*values)

    def put(self, path: bytes, folder: Folder) -> None:
        """Remembers the directory as it is now."""
        self._new.append(_ROW.pack(_key(path), *folder))

    def content(self) -> bytes:
        """What was put, for `load`."""
        body = _MAGIC + b"".join(self._new)
        return body + hashlib.sha256(body).digest()


def _key(path: bytes) -> bytes:
    return hashlib.blake2b(path, digest_size=16).digest()
