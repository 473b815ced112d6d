"""PostgreSQL 17, which knows what changed since a backup: of Debian's next release, unpacked beside this one and run from there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.postgres import Postgres, as_server, running_postgres
from tests.servers.tools import CACHE, find_tool, missing

_VERSION, _SUITE = "17", "trixie"
_PROGRAMS = f"usr/lib/postgresql/{_VERSION}/bin/*"
_FOR_ALL = Path("/var/cache/holdfast-tests")
"""Where every account can run what root unpacked: a work tree may lie where the server's own account cannot go."""


def programs() -> Path:
    """The folder of its programs; the test is skipped, in CI failed, where they cannot be had. Takes some seconds once a machine."""
    folder = (_FOR_ALL if os.geteuid() == 0 else CACHE) / f"postgresql-{_VERSION}"
    found = folder / "tree/usr/lib/postgresql" / _VERSION / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    said = b""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists() and find_tool("apt-get"):
            program = str(Path(__file__).with_name("fetch-packages"))
            fetch = [
                program,
                _SUITE,
                str(folder),
                _PROGRAMS,
                f"postgresql-{_VERSION}",
                f"postgresql-client-{_VERSION}",
            ]
            said = subprocess.run(fetch, check=False, capture_output=True).stderr
    runs = subprocess.run(
        as_server(str(found / "postgres"), "--version"), check=False, capture_output=True, cwd="/"
    )
    if runs.returncode:
        words = (said or runs.stderr).decode(errors="replace").strip()
        missing(
            f"PostgreSQL {_VERSION} could not be fetched with apt-get from Debian's {_SUITE}: {words[-300:]}"
        )
    return found


@contextlib.contextmanager
def running_postgres_17(
    settings: str = "", *, is_archiving: bool = False, segment_mib: int = 1
) -> Iterator[Postgres]:
    """As `running_postgres`, of that version, whose programs are the first that are found; it writes down what changes."""
    folder, before = programs(), os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        lines = f"summarize_wal = on\n{settings}"
        with running_postgres(
            is_archiving=is_archiving, segment_mib=segment_mib, settings=lines, programs=folder
        ) as server:
            yield server
    finally:
        os.environ["PATH"] = before
