"""What SFTP storages are tested against: OpenSSH's sshd, and one that gives no shell and does without OpenSSH's own extensions."""

from __future__ import annotations

from collections.abc import Iterator

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
