"""Whole jobs over OpenSSH's sshd with real find, tar and sqlite3, judged by stock restic and by comparing every byte."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from engine.cli.demo import bank
from engine.model.definitions import Source
from tests.jobs.world import World
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import Restic, ResticProgram
from tests.servers.sshd import Sshd
from tests.servers.tools import require_root
from tests.servers.tree_compare import differences, swollen

pytestmark = pytest.mark.slow

FOLDERS_ABOVE_BYTES = 4096


def _inside(target: Path, path: Path) -> Path:
    return target / path.relative_to("/")


def _subtrees(restic: Restic, snapshot: str, folder: Path) -> dict[str, str]:
    """The ids of the trees right below a folder of a snapshot."""
    nodes = json.loads(restic.cat("tree", f"{snapshot}:{folder}"))["nodes"]
    return {node["name"]: node["subtree"] for node in nodes if node["type"] == "dir"}


@pytest.fixture
async def nasty(world: World, sshd: Sshd) -> Path:
    """The tree that holds everything, as source `nasty` over SSH, with a storage to go to."""
    require_root()
    root = world.directory / "nasty"
    make_nasty_tree(root)
    await world.add_host(sshd)
    await world.add_storages("first")
    await world.add_files("nasty", root, host="server")
    return root


async def test_the_nasty_tree_comes_back_identical_by_us_and_by_restic(
    world: World, nasty: Path, restic_newest: ResticProgram, restics: Sequence[ResticProgram]
) -> None:
    """A backup that loses an attribute, a link or an odd name is found out on the day of the restore, and that is too late."""
    backup = await world.one_backup("nasty")
    assert backup.warnings == ()
    ours = await world.restore(backup.backup_id, world.directory / "ours")
    assert differences(nasty, _inside(ours, nasty)) == []
    assert swollen(nasty, _inside(ours, nasty)) == []
    theirs = world.directory / "theirs"
    world.restic(restic_newest, "first").restore("latest", theirs)
    assert differences(nasty, _inside(theirs, nasty)) == []
    for program in restics:
        world.restic(program, "first").check()


async def test_restic_and_we_take_each_others_snapshots_as_parents(
    world: World, nasty: Path, restic_newest: ResticProgram
) -> None:
    """Whoever changes programs must not have to read and store everything again."""
    first = await world.one_backup("nasty")
    restic = world.restic(restic_newest, "first")
    summary = restic.backup(nasty)
    assert (summary["files_new"], summary["files_changed"]) == (0, 0)
    assert summary["files_unmodified"] == first.files_new
    ours, theirs = (_subtrees(restic, each["id"], nasty) for each in restic.snapshots())
    # Where a file has several attributes restic keeps them in the order of the kernel, we by name.
    assert {name for name in theirs if ours[name] != theirs[name]} <= {"attributes"}
    restic.run("forget", first.copies[0].snapshot_id)
    second = await world.one_backup("nasty")
    assert (second.files_new, second.files_changed, second.files_unmodified) == (0, 0, first.files_new)
    trees = _subtrees(restic, second.copies[0].snapshot_id, nasty)
    assert {name for name in theirs if trees[name] != theirs[name]} <= {"attributes"}
    # The folders above are everybody's: another process may have changed one of them meanwhile.
    assert second.added_bytes < FOLDERS_ABOVE_BYTES
    restic.check()


async def test_a_database_that_is_written_to_comes_back_whole(world: World, sshd: Sshd) -> None:
    """A copy of the file of a database in use is none: it may hold half a transaction."""
    path = world.directory / "bank"
    bank.make(path)
    await world.add_host(sshd)
    await world.add_storages("first", "second")
    await world.engine.add_source(Source("bank", "sqlite", "server", {"path": str(path)}))
    with bank.being_written(path):
        backups = [await world.one_backup("bank", ("first", "second")) for _ in range(3)]
    for number, backup in enumerate(backups):
        for storage in ("first", "second"):
            target = world.directory / f"restored-{number}-{storage}"
            await world.restore(backup.backup_id, target, storage)
            assert bank.faults(target / "sqlite/bank/databases/bank") == []
    assert backups[2].added_bytes < backups[0].added_bytes / 3
    assert sorted(backup.backup_id for backup in backups) == sorted(
        each.backup_id for each in await world.engine.backups()
    )


async def test_a_database_with_an_odd_name_is_found_again(world: World, sshd: Sshd) -> None:
    """Names of databases are not ours to choose."""
    path = world.directory / "a b'ö.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (x)")
    await world.add_host(sshd)
    await world.add_storages("first")
    await world.engine.add_source(Source("odd", "sqlite", "server", {"path": str(path)}))
    backup = await world.one_backup("odd")
    items = [item.path async for item in world.engine.ls(backup.backup_id, is_recursive=True)]
    pieces: list[bytes] = []

    async def keep(piece: bytes) -> None:
        pieces.append(bytes(piece))

    (database_item,) = [item for item in items if "/databases/" in item]
    await world.engine.dump(backup.backup_id, database_item, keep)
    assert b"".join(pieces).startswith(b"SQLite format 3\0")
