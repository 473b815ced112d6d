"""The demo's file tree: small and large files, and whatever makes backup programs stumble, as far as this user may make it."""

# Path cannot hold names that are no text, and permissive modes are part of the show.
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH108, PTH123, PTH211, S103

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NAMES: Final = (
    b"not UTF-8 \xff\xfe",
    b"new\nline",
    b"tab\there",
    b"\"double\" and 'single' quotes",
    b"back\\slash",
    b"<html> & entities",
    "emoji \U0001f980".encode(),
    "combining e\u0301".encode(),
    "line separator \u2028".encode(),
    b"-leading dash",
    b"$(reboot) `reboot` ; reboot",
    b"  spaces  ",
    b"L" * 255,
)
_FOLDERS: Final = 12
_FILES_IN_EACH: Final = 25
_LONG_BYTES: Final = 6 << 20
_SPARSE_BYTES: Final = 16 << 20
_SEED: Final = 20


def make(root: Path) -> int:
    """Makes the tree at `root`; returns how many entries lie below it. What this file system or user cannot have is left out."""
    root.mkdir(parents=True)
    base = os.fsencode(root)
    _project(base)
    _names(base + b"/names")
    _kinds(base + b"/kinds")
    _times(base + b"/times")
    return sum(len(folders) + len(files) for _, folders, files in os.walk(base))


def change(root: Path) -> str:
    """Changes a little; says what, as people do."""
    base = os.fsencode(root)
    with open(base + b"/project/folder-03/file-07.txt", "ab") as file:
        file.write(b"one more line\n")
    _write(base + b"/names/new \xe2\x9c\xa8 file", b"was not there before")
    os.unlink(base + b"/project/folder-05/file-11.txt")
    os.rename(base + b"/project/folder-00", base + b"/project/folder moved")
    return "one file grew, one is new, one is gone, one folder was renamed"


def _write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _project(base: bytes) -> None:
    """What any tree is mostly made of."""
    chance = random.Random(_SEED)  # noqa: S311 -- the same tree each time
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(900)]
    for number in range(_FOLDERS):
        folder = base + b"/project/folder-%02d" % number
        os.makedirs(folder)
        for file in range(_FILES_IN_EACH):
            text = b" ".join(chance.choices(words, k=chance.randint(20, 1500)))
            _write(folder + b"/file-%02d.txt" % file, text)
    _write(base + b"/project/photo.raw", chance.randbytes(_LONG_BYTES))


def _names(base: bytes) -> None:
    os.mkdir(base)
    for name in _NAMES:
        with contextlib.suppress(OSError):  # some file systems take only UTF-8
            _write(base + b"/" + name, b"I am called " + name)


def _kinds(base: bytes) -> None:
    os.mkdir(base)
    _write(base + b"/original", b"one content, two names")
    os.link(base + b"/original", base + b"/hard link")
    os.symlink(b"original", base + b"/symbolic link")
    os.symlink(b"no/such/file", base + b"/dangling link")
    _write(base + b"/empty", b"")
    os.mkdir(base + b"/empty folder")
    os.mkfifo(base + b"/fifo", 0o600)
    with open(base + b"/sparse", "wb") as file:
        file.seek(_SPARSE_BYTES)
        file.write(b"the end of a long hole")
    for mode in (0o4755, 0o2755, 0o600, 0o400):
        _write(base + b"/mode %04o" % mode, b"%o" % mode)
        os.chmod(base + b"/mode %04o" % mode, mode)
    os.mkdir(base + b"/sticky folder")
    os.chmod(base + b"/sticky folder", 0o1777)
    _if_allowed(lambda: os.setxattr(base + b"/original", b"user.colour", b"blue"))
    if os.geteuid() == 0:
        _write(base + b"/somebody else's", b"owned by nobody known")
        _if_allowed(lambda: os.chown(base + b"/somebody else's", 54321, 54321))
        _if_allowed(lambda: os.mknod(base + b"/character device", 0o020600, os.makedev(1, 3)))


def _if_allowed(act: Callable[[], None]) -> None:
    """Containers and odd file systems forbid some of it."""
    with contextlib.suppress(OSError):
        act()


def _times(base: bytes) -> None:
    os.mkdir(base)
    for name, instant_ns in ((b"1960", -315_619_200_000_000_001), (b"2040", 2_208_988_800_123_456_789)):
        _write(base + b"/" + name, name)
        os.utime(base + b"/" + name, ns=(instant_ns, instant_ns))
