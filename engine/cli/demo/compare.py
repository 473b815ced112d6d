"""Two trees compared in everything that a restore must bring back: content, kind, mode, owner, times, links, attributes."""

# Path cannot hold names that are no text.
# ruff: noqa: PTH115, PTH118, PTH123

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

Facts = tuple[object, ...]


def differences(before: Path, after: Path) -> list[str]:
    """The paths that differ, printable, sorted; none where both are the same."""
    first, second = _facts(os.fsencode(before)), _facts(os.fsencode(after))
    paths = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    return [path.decode("utf-8", "backslashreplace") for path in paths]


def count(root: Path) -> int:
    """Entries below `root`."""
    return len(_facts(os.fsencode(root))) - 1


def _facts(base: bytes) -> dict[bytes, Facts]:
    statuses = {path: os.lstat(os.path.join(base, path)) for path in _walk(base)}
    names: dict[tuple[int, int], list[bytes]] = {}
    for path, status in statuses.items():
        if not stat.S_ISDIR(status.st_mode):
            names.setdefault((status.st_dev, status.st_ino), []).append(path)
    return {
        path: (
            *_of_one(os.path.join(base, path), status),
            tuple(sorted(names.get((status.st_dev, status.st_ino), ()))),
        )
        for path, status in statuses.items()
    }


def _walk(base: bytes) -> Iterator[bytes]:
    yield b"."
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(folder, name), base)


def _of_one(path: bytes, status: os.stat_result) -> Facts:
    kind = stat.S_IFMT(status.st_mode)
    content = b""
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    xattrs = tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    device = status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, device, xattrs
