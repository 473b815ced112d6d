"""A disk whose end cannot be read: a small ext4 on a loop device, from which all behind some byte was taken away once it was attached."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.tools import missing, require_root, require_tool

BROKEN_BYTES = 4 << 20
GOOD = b"good" * 1024
LOST = b"lost" * 1024


@contextmanager
def failing_disk(room: Path) -> Iterator[Path]:
    """The folder that it is mounted on: `good` is read, `broken` (4 MiB), or `other` by another name, up to its middle, `lost` not at all.

    `room` is an empty folder. Ends the test where no disk can be mounted.
    """
    require_root()
    image, mounted = room / "image", room / "disk"
    mounted.mkdir()
    content = random.Random(7).randbytes(BROKEN_BYTES)
    _run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", image, "8M")
    for name, data in (("good", GOOD), ("broken", content), ("lost", LOST)):
        (room / name).write_bytes(data)
        _run("debugfs", "-w", "-R", f"write {room / name} {name}", image)
    for command in ("ln broken other", "set_inode_field broken links_count 2"):
        _run("debugfs", "-w", "-R", command, image)
    device = _attach(image)
    try:
        _cut(image, content[BROKEN_BYTES // 2 :][:4096])
        _run("mount", "-o", "ro", device, mounted)
    finally:
        _run("losetup", "-d", device)  # it goes when nothing is mounted from it any more
    try:
        yield mounted
    finally:
        _run("umount", mounted)


def _attach(image: Path) -> str:
    done = subprocess.run(
        [require_tool("losetup"), "--find", "--show", "--read-only", image],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        missing(f"no loop device is to be had: {done.stderr.strip()}")
    return done.stdout.strip()


def _cut(image: Path, begin: bytes) -> None:
    """Takes away what lies at `begin` and behind it; the files were laid out one behind the other, `good` before the cut."""
    data = image.read_bytes()
    at = data.index(begin)
    assert data.index(GOOD) < at < data.index(LOST)
    with image.open("r+b") as file:
        file.truncate(at)


def _run(program: str, *words: str | Path) -> None:
    subprocess.run([require_tool(program), *words], check=True, capture_output=True)
