"""What `host grants` prints for the sources of a host, pasted and put to use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine import errors
from engine.model.definitions import OptionValue, Source
from engine.model.requests import RestoreRequest, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import running_postgres
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


def _sudoers(grants: str, *purposes: str) -> str:
    """The rules for backups, and for what is headed by these words; a part that is marked as open to everything is left out."""
    first, *others = grants.split("\n## ")
    chosen = [first, *(each for each in others if each.startswith(tuple(purposes)))] if purposes else [first]
    lines = [line for part in chosen for line in part.splitlines()]
    return "".join(f"{line}\n" for line in lines if " NOPASSWD: " in line and not line.endswith(" /bin/sh"))


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
    assert (
        (await world.engine.diff_live("latest:tree", lambda _each: None))
        .not_compared[0]
        .endswith("as root: sudo: a password is required")
    )
    rules.write_text(_sudoers(grants, "Only where `diff --live`"), encoding="utf-8")
    compared = await world.engine.diff_live("latest:tree", lambda _each: None)
    assert any(each.startswith("SHA-256 of 1 file") for each in compared.compared)
    (root / "secret").unlink()
    with pytest.raises(errors.LoginRefusedError):
        await world.engine.restore(RestoreRequest("latest:tree", is_in_place=True))
    rules.write_text(f"{STRANGER} ALL=(root) NOPASSWD: /bin/sh\n", encoding="utf-8")
    assert f"{STRANGER} ALL=(root) NOPASSWD: /bin/sh\n" in grants
    await world.engine.restore(RestoreRequest("latest:tree", is_in_place=True))
    assert (root / "secret").read_bytes() == b"for root alone"


async def test_the_printed_lines_are_enough_to_ship_a_log(world: World, guarded_sshd: Sshd) -> None:
    """Rules hold each command word for word: segments are named on standard input. And SQL for a role that is no superuser."""
    with running_postgres(is_archiving=True, segment_mib=1) as cluster:
        options = cluster.options(physical=True, log_spool=str(cluster.spool))
        await world.add_storages("first")
        await world.add_host(guarded_sshd, "db", STRANGER)
        await world.engine.add_source(Source("shop", "postgres", "db", options))
        cluster.spool.chmod(0o755)
        with pytest.raises(errors.SourceError, match="lets us not read and empty") as refused:
            await world.engine.ship(ShipRequest(("shop",)))
        assert "--as-user" in str(refused.value.hint)
        await world.engine.edit_source("shop", {"as_user": cluster.account, "user": "shipper"})
        grants = await world.engine.host_grants("db")
        (guarded_sshd.directory / "sudoers").write_text(_sudoers(grants), encoding="utf-8")
        sql = [
            each for each in grants.splitlines() if each.startswith(("create role", "grant", "alter role"))
        ]
        assert 'grant execute on function pg_switch_wal() to "shipper";' in sql
        cluster.psql("\n".join(sql))
        await world.one_backup("shop")
        cluster.psql("create table stamps as select clock_timestamp()")
        (shipped,) = (await world.engine.ship(ShipRequest(("shop",)))).logs
        assert (shipped.status, shipped.waiting, shipped.warnings) == ("completed", 0, ())
        assert min(shipped.released, shipped.segments) > 0
