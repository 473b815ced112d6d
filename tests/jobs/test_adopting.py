"""Backups whose job died before the catalog had them are found again, and only those."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.backup import Backup
from engine.model.requests import CopyRequest, ForgetRequest, KeepPolicy, VerifyRequest
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """A small tree, source `tree` of this machine, and two storages for it."""
    root = world.directory / "tree"
    root.mkdir()
    (root / "file").write_bytes(b"content")
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    return root


async def _lose(world: World, backup: Backup) -> None:
    """Leaves the catalog as a kill between the snapshot and the row leaves it."""
    with closing(sqlite3.connect(world.engine.home.catalog)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM backups WHERE backup_id = ?", [backup.backup_id])
        database.execute(
            "UPDATE jobs SET status = 'interrupted', result = '{}' WHERE job_id = ?", [backup.job_id]
        )
    assert backup.backup_id not in await _known(world)


async def _known(world: World) -> dict[str, set[str]]:
    """Backup id -> the storages that hold it."""
    return {each.backup_id: {copy.storage for copy in each.copies} for each in await world.engine.backups()}


async def test_the_next_backup_finds_one_that_was_not_written_down(world: World, tree: Path) -> None:
    """What was stored whole is neither lost nor read again."""
    lost = await world.one_backup("tree", to=("first", "second"))
    await _lose(world, lost)
    following = await world.one_backup("tree", to=("first", "second"))
    assert (await _known(world))[lost.backup_id] == {"first", "second"}
    assert (following.files_new, following.files_unmodified) == (0, 1)
    found = await world.engine.show_backup(lost.backup_id)
    assert (found.source, found.size_bytes, found.job_id) == ("tree", lost.size_bytes, lost.job_id)
    assert found.created_at == lost.created_at


async def test_verify_finds_a_backup_that_was_not_written_down(world: World, tree: Path) -> None:
    """Whoever looks after a crash looks with verify."""
    lost = await world.one_backup("tree")
    await _lose(world, lost)
    await world.engine.verify(VerifyRequest(storage="first"))
    assert await _known(world) == {lost.backup_id: {"first"}}


async def test_forget_finds_a_backup_that_was_not_written_down(world: World, tree: Path) -> None:
    """A rule counts every backup that there is, and lists each by the id that restores it."""
    lost = await world.one_backup("tree")
    await _lose(world, lost)
    done = await world.engine.forget(ForgetRequest(KeepPolicy(last=1), is_dry_run=True))
    assert [(each.backup_id, each.is_kept) for each in done.fates] == [(lost.backup_id, True)]
    assert await _known(world) == {lost.backup_id: {"first"}}


async def test_a_copy_that_was_not_written_down_is_found(world: World, tree: Path) -> None:
    """A copy job that was killed at its end has copied all the same."""
    backup = await world.one_backup("tree", to=("first",))
    await world.engine.copy(CopyRequest("first", "second", is_all=True))
    with closing(sqlite3.connect(world.engine.home.catalog)) as database, database:
        database.execute("DELETE FROM copies WHERE storage = 'second'")
    await world.engine.verify(VerifyRequest(storage="second"))
    assert await _known(world) == {backup.backup_id: {"first", "second"}}


async def test_what_another_home_stored_stays_its_own(world: World, tree: Path, tmp_path: Path) -> None:
    """Two machines may share a storage: neither lists the other's backups as its own."""
    mine = await world.one_backup("tree")
    async with open_world(tmp_path / "other") as other:
        (other.directory / "storages").symlink_to(world.directory / "storages")
        await other.add_storages("first")
        await other.add_files("tree", tree)
        await other.one_backup("tree")
    await _lose(world, mine)
    await world.one_backup("tree")
    await world.engine.verify(VerifyRequest(storage="first"))
    known = await _known(world)
    assert mine.backup_id in known
    assert len(known) == 2
