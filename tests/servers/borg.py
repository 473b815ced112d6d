"""Debian's borg, the other yardstick of the benches."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tools import require_tool

PASSPHRASE = "correct horse"


@dataclass(frozen=True, slots=True)
class BorgProgram:
    """A borg and its version."""

    version: str
    path: Path


def environment(base: Path) -> dict[str, str]:
    """What borg is run with, so that keys, cache and configuration stay under `base`, and it asks nothing."""
    return {
        **os.environ,
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(base),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }


def version_of(path: Path) -> str:
    """`1.2.4` out of `borg 1.2.4`."""
    return subprocess.run(
        [str(path), "--version"], check=True, capture_output=True, text=True
    ).stdout.split()[1]


@pytest.fixture(scope="session")
def borg_program() -> BorgProgram:
    """Debian's borg."""
    path = require_tool("borg")
    return BorgProgram(version_of(path), path)
