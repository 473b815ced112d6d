"""Finding the programs that tests need. In CI a missing one fails the test; elsewhere the test is skipped and says what is missing."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
"""The root of the work tree."""
CACHE = PROJECT / ".cache"
"""Where programs that are fetched once are kept; git ignores it."""
_MORE_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def is_ci() -> bool:
    """Whether nothing may be skipped for want of a program."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def packages() -> dict[str, str]:
    """Command to Debian package, as packages.txt lists them."""
    lines = Path(__file__).with_name("packages.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def find_tool(name: str) -> Path | None:
    """The program's path, also from the folders that an ordinary user's PATH leaves out."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_FOLDERS)))
    return Path(found) if found else None


def missing(what: str) -> None:
    """Ends the test: skipped, loudly, or failed where CI is set."""
    if is_ci():
        pytest.fail(f"{what}, and CI lets nothing be skipped", pytrace=False)
    pytest.skip(what)


def require_tool(name: str) -> Path:
    """The path of a program that this test cannot do without."""
    path = find_tool(name)
    if path is None:
        missing(f"{name} is not installed (Debian: apt-get install {packages().get(name, name)})")
    assert path is not None
    return path


def require_root() -> None:
    """Ends the test where this process is not root (owners, devices and modes can only be made by root)."""
    if os.geteuid() != 0:
        missing("this test needs root")


def free_port() -> int:
    """A port below the range that outgoing connections take theirs from."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
