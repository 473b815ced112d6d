"""What this machine is, found without a shell: only a tool whose version nobody asked yet, or that was changed since, is started.

A backup asks each time, and a shell that looks for forty tools and starts three of them costs 20 ms.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from engine.hosts import facts
from engine.hosts.base import Facts

_Mark = tuple[str, int, int, int, int]
Ask = Callable[[Sequence[str]], Awaitable[Facts]]

_MOST_KNOWN: Final = 100
_versions: dict[_Mark, str] = {}
"""The first line of a version, by the tool's file as it was when it was asked."""


def find(search_path: str) -> dict[str, str]:
    """The path of each tool that is there. Looks at the disk: for a thread."""
    names = (*facts.VERSIONED, *facts.FOUND)
    return {name: path for name in names if (path := shutil.which(name, path=search_path))}


async def complete(found: dict[str, str], ask: Ask) -> Facts:
    """The facts, from what `find` gave. `ask` starts tools of these names, and gives facts with their versions. Raises: what `ask` raises."""
    marks = {name: _mark(found[name]) for name in facts.VERSIONED if name in found}
    unknown = [name for name, mark in marks.items() if mark not in _versions]
    if unknown:
        asked = await ask(unknown)
        if len(_versions) > _MOST_KNOWN:
            _versions.clear()
        _versions.update({marks[name]: asked.tools[name] for name in unknown if asked.tools.get(name)})
    versions = {name: _versions.get(mark, "") for name, mark in marks.items()}
    this = os.uname()
    return facts.of(this.nodename, this.sysname, _user(), os.getloadavg()[0], {**found, **versions})


def _mark(path: str) -> _Mark:
    try:
        found = Path(path).stat()
    except OSError:
        return path, 0, 0, 0, 0
    return path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _user() -> str:
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
