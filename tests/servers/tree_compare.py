"""Compares two trees of files in everything that a restore must bring back."""

# Path cannot hold names that are no text.
# ruff: noqa: PTH115, PTH118, PTH123

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

_SPARSE_FROM_BYTES = 1 << 20
_SLACK_BYTES = 256 << 10
"""How much more disk a file may take than its original: file systems round, and holes come in blocks."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one entry of a tree."""

    kind: str
    mode: str
    owner: tuple[int, int]
    size_bytes: int
    mtime_ns: int
    content: str
    """SHA-256 of a file, target of a link."""
    device: int
    xattrs: tuple[tuple[str, bytes], ...]
    linked_with: tuple[bytes, ...]
    """All paths within the tree that are the same inode; empty for folders and for what has one name."""


def describe(root: Path) -> dict[bytes, Facts]:
    """The facts of everything below `root`, and of `root` itself as `.`, by path from `root`."""
    base = os.fsencode(root)
    stats = {path: os.lstat(os.path.join(base, path)) for path in walk(base)}
    groups: dict[tuple[int, int], list[bytes]] = {}
    for path, status in stats.items():
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(path)
    return {
        path: _facts(os.path.join(base, path), status, groups.get((status.st_dev, status.st_ino), []))
        for path, status in stats.items()
    }


def walk(base: bytes) -> Iterator[bytes]:
    """Every path below `base`, and `.`, without following links."""
    yield b"."
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(base, folder)) as entries:
            for entry in entries:
                path = os.path.join(folder, entry.name)
                yield path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _facts(path: bytes, status: os.stat_result, linked: list[bytes]) -> Facts:
    kind = stat.S_IFMT(status.st_mode)
    content = ""
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif kind == stat.S_IFLNK:
        content = repr(os.readlink(path))
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return Facts(
        kind=stat.filemode(status.st_mode)[0],
        mode=f"{stat.S_IMODE(status.st_mode):05o}",
        owner=(status.st_uid, status.st_gid),
        size_bytes=status.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else 0,
        mtime_ns=status.st_mtime_ns,
        content=content,
        device=status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        xattrs=tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        linked_with=tuple(sorted(linked)) if len(linked) > 1 else (),
    )


def differences(
    before: Path, after: Path, *, ignores: Callable[[bytes, str], bool] = lambda _path, _fact: False
) -> list[str]:
    """One sentence for each difference between two trees; none where they are equal.

    `ignores` is asked with the path and the name of the fact (a field of Facts).
    """
    first, second = describe(before), describe(after)
    found = [f"{path!r} is missing" for path in sorted(first.keys() - second.keys())]
    found += [f"{path!r} is too much" for path in sorted(second.keys() - first.keys())]
    for path in sorted(first.keys() & second.keys()):
        for fact in (field.name for field in fields(Facts)):
            expected, actual = getattr(first[path], fact), getattr(second[path], fact)
            if expected != actual and not ignores(path, fact):
                found.append(f"{path!r}: {fact} is {actual!r} instead of {expected!r}")
    return found


def swollen(before: Path, after: Path) -> list[str]:
    """The paths of large files that take clearly more room on disk than their originals: holes that were filled."""
    found = []
    for path in walk(os.fsencode(before)):
        first, second = (os.lstat(os.path.join(os.fsencode(root), path)) for root in (before, after))
        if first.st_size >= _SPARSE_FROM_BYTES and (second.st_blocks - first.st_blocks) * 512 > _SLACK_BYTES:
            found.append(repr(path))
    return found
