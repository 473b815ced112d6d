"""Programs of another release of Debian, unpacked into a folder and run from there; nothing is installed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers.tools import CACHE, find_tool

_FOR_ALL = Path("/var/cache/holdfast-tests")
"""Where every account can run what root unpacked: a work tree may lie where a server's own account cannot go."""


class Unpacked(NamedTuple):
    """What there is now."""

    folder: Path
    """With the programs in `tree`, where they could be had."""
    said: str
    """What fetching them said; empty where they were there."""

    @property
    def tree(self) -> Path:
        """Where a root folder would be."""
        return self.folder / "tree"


@contextlib.contextmanager
def unpacked(name: str, suite: str, programs: str, packages: Sequence[str]) -> Iterator[Unpacked]:
    """Fetches them once a machine, by apt; nobody else does while it is entered. `programs` are patterns of paths in the packages."""
    folder = (_FOR_ALL if os.geteuid() == 0 else CACHE) / name
    folder.mkdir(parents=True, exist_ok=True)
    said = ""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "tree").exists():
            said = "there is no apt-get"
            if find_tool("apt-get"):
                fetch = [
                    str(Path(__file__).with_name("fetch-packages")),
                    suite,
                    str(folder),
                    programs,
                    *packages,
                ]
                done = subprocess.run(fetch, check=False, capture_output=True)
                said = done.stderr.decode(errors="replace")
        yield Unpacked(folder, said)
