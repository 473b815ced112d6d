"""What SFTP storages are tested against: OpenSSH's sshd, and one that gives no shell and does without OpenSSH's own extensions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.storages.base import Reach
from tests.families.hosts import resolve_secret, ssh_definition
from tests.servers.sshd import Sshd, running_sshd
from tests.servers.tools import require_tool

BARE = ("ForceCommand internal-sftp -P posix-rename,fsync,statvfs,fstatvfs,limits",)
"""As on a server of version 3 alone: these calls are refused; nothing but SFTP runs, and few sessions on one connection."""


@pytest.fixture(scope="session")
def bare_sftp() -> Iterator[Sshd]:
    """One such server for the whole session."""
    require_tool("sshd")
    with running_sshd(max_sessions=2, extra=BARE) as server:
        yield server


def reach(server: Sshd) -> Reach:
    """The way there, as the catalog gives it to a storage."""
    return Reach(ssh_definition(server), resolve_secret)


def reach_through(server: Sshd, port: int) -> Reach:
    """The same by way of a proxy at that port; a line that stands still is noticed within two seconds."""
    key = " ".join(Path(f"{server.host_key}.pub").read_text(encoding="ascii").split()[:2])
    there = ssh_definition(
        server, host_key=(key,), known_hosts=None, keepalive=1, keepalive_count=1, connect_timeout=2
    )
    return Reach(replace(there, address=f"{server.user}@127.0.0.1:{port}"), resolve_secret)
