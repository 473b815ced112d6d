"""PostgreSQL 17, which knows what changed since a backup: of Debian's next release, unpacked beside this one and run from there."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.postgres import Postgres, as_server, running_postgres
from tests.servers.tools import missing
from tests.servers.unpacked import unpacked

_VERSION, _SUITE = "17", "trixie"
_PROGRAMS = f"usr/lib/postgresql/{_VERSION}/bin/*"


def programs() -> Path:
    """The folder of its programs; the test is skipped, in CI failed, where they cannot be had. Takes some seconds once a machine."""
    packages = (f"postgresql-{_VERSION}", f"postgresql-client-{_VERSION}")
    with unpacked(f"postgresql-{_VERSION}", _SUITE, _PROGRAMS, packages) as there:
        found = there.tree / "usr/lib/postgresql" / _VERSION / "bin"
    runs = subprocess.run(
        as_server(str(found / "postgres"), "--version"), check=False, capture_output=True, cwd="/"
    )
    if runs.returncode:
        words = there.said or runs.stderr.decode(errors="replace")
        missing(f"PostgreSQL {_VERSION} could not be had from Debian's {_SUITE}: {words.strip()[-300:]}")
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
