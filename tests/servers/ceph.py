"""Ceph's S3 gateway, in memory and unprivileged: one for all test processes of a checkout, since its start takes seconds.

Nobody owns it: each process that uses it holds a lock, and the cluster ends itself when the last one is gone, however it went.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ceph_cluster
from tests.servers.tools import CACHE, PROJECT, require_tool

_NEEDED = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "setpriv", "setsid")


_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Ceph:
    """A running gateway. Buckets are shared by all who use it: each test makes its own, by a name that no other takes."""

    port: int
    tls_port: int
    pid: int
    folder: Path
    access_key: str = ceph_cluster.ACCESS_KEY
    secret_key: str = ceph_cluster.SECRET_KEY

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """Whom to trust at the port that speaks TLS."""
        return self.folder / "authority.pem"

    def administer(self, *words: str) -> None:
        """What its administrator types behind `radosgw-admin`."""
        command = [str(require_tool("radosgw-admin")), "-c", str(self.folder / "ceph.conf"), *words]
        subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def running_ceph(room: Path) -> Iterator[Ceph]:
    """The gateway of that room, started where nobody uses one there yet."""
    room.mkdir(parents=True, exist_ok=True)
    with (room / ceph_cluster.USERS_FILE).open("w") as users:
        with (room / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            found = _alive(room) or _start(room)
        yield found


def _alive(room: Path) -> Ceph | None:
    """The one that runs there. A file that a killed one left behind names nobody."""
    try:
        told: dict[str, Any] = json.loads((room / ceph_cluster.SERVER_FILE).read_text(encoding="utf-8"))
        command = Path(f"/proc/{told['pid']}/cmdline").read_bytes()
    except OSError:
        return None
    is_it = b"ceph_cluster" in command
    return Ceph(told["port"], told["tls_port"], told["pid"], Path(told["folder"])) if is_it else None


def _start(room: Path) -> Ceph:
    """It is nobody's child, so that it may outlive the process that started it. One that ends at once, as where a port that was free is taken
    meanwhile, is started again."""
    for _attempt in range(_ATTEMPTS):
        if (found := _started(room)) is not None:
            return found
    raise RuntimeError(f"Ceph did not start: {(room / 'log').read_text(encoding='utf-8')[-2000:]}")


def _started(room: Path) -> Ceph | None:
    (room / ceph_cluster.SERVER_FILE).unlink(missing_ok=True)
    with (room / "log").open("wb") as log:
        command = ["setsid", "--fork", sys.executable, "-m", "tests.servers.ceph_cluster", str(room)]
        subprocess.run(
            command, check=True, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + ceph_cluster.START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (found := _alive(room)) is not None:
            return found
        if b"Traceback" in (room / "log").read_bytes():
            return None
        time.sleep(0.05)
    return None


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """The gateway that all test processes of this checkout share."""
    for name in _NEEDED:
        require_tool(name)
    with running_ceph(CACHE / "ceph") as server:
        yield server
