"""What `host grants` prints for the sources of a host, pasted and put to use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine import errors
from engine.model.definitions import OptionValue, Source
from tests.jobs.world import World
from tests.servers.sshd import STRANGER, Sshd
from tests.servers.tools import missing, require_tool

pytestmark = pytest.mark.slow


@pytest.fixture
def guarded_sshd(start_sshd: Callable[..., Sshd]) -> Sshd:
    """A server where `stranger` may become nobody else at first."""
    server = start_sshd()
    if not server.has_guests:
        missing("logging in as another user needs root and mount namespaces")
    require_tool("sudo")
    return server


def _sudoers(grants: str) -> str:
    return "".join(f"{line}\n" for line in grants.splitlines() if " NOPASSWD: " in line)


@pytest.mark.parametrize("options", [{}, {"environment": "NOTE=a word"}], ids=["bare", "environment"])
async def test_the_printed_lines_are_enough_for_a_backup_as_root(
    world: World, guarded_sshd: Sshd, options: dict[str, OptionValue]
) -> None:
    """Whoever pastes what is printed gets a backup, with no root login and no more than that."""
    root = world.directory / "tree"
    root.mkdir()
    (root / "secret").write_bytes(b"for root alone")
    (root / "secret").chmod(0o600)
    with closing(sqlite3.connect(root / "shop.db")) as database, database:
        database.execute("CREATE TABLE wares (name)")
    (root / "shop.db").chmod(0o600)
    await world.add_storages("first")
    await world.add_host(guarded_sshd, "web", STRANGER, as_user="root", **options)
    await world.add_files("tree", root, host="web", exclude="*.db")
    await world.engine.add_source(Source("shop", "sqlite", "web", {"path": str(root / "shop.db")}))
    with pytest.raises(errors.LoginRefusedError, match="as root"):
        await world.backup("tree")
    grants = await world.engine.host_grants("web")
    assert f"for the login {STRANGER}" in grants
    rules: Path = guarded_sshd.directory / "sudoers"
    rules.write_text(_sudoers(grants), encoding="utf-8")
    backup = await world.one_backup("tree")
    assert backup.size_bytes == len(b"for root alone")
    assert (await world.one_backup("tree")).files_unmodified == 1
    assert (await world.one_backup("shop")).size_bytes > 0
