"""A storage moves to another place, of another kind, and whoever has backups in it notices nothing."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import cast

import pytest

from engine import errors
from engine.model import described
from engine.model.backup import Proof
from engine.model.definitions import Storage
from engine.model.requests import CopyRequest, VerifyRequest
from engine.storages import registry
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World
from tests.servers.restic import ResticProgram
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow

KIND = "elsewhere"


@pytest.fixture
async def tree(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with two backups in storage `first`, and another kind of storage."""
    monkeypatch.setitem(
        cast("MutableMapping[str, str]", registry.MEMBERS), KIND, "engine.storages.local:open_local"
    )
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "large").write_bytes(bytes(range(256)) * 10_000)
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    await world.one_backup("tree")
    (root / "folder" / "two").write_bytes(b"two")
    await world.one_backup("tree")
    return root


def _new(world: World, place: str = "new") -> Storage:
    return Storage("first", KIND, {"path": str(world.place(place))})


async def test_a_storage_moves_with_all_that_it_holds(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """From the disk in the cellar to a bucket: the same name, the same backups, the same password, and the disk as it was."""
    world.restic(restic_newest, "first").run("backup", str(tree))
    moved = await world.engine.move_storage(_new(world))
    assert (moved.status, moved.snapshots) == ("completed", 3)
    assert moved.old_location == str(world.place("first"))
    definition = await world.engine.show_storage("first")
    assert (definition.kind, definition.is_default) == (KIND, True)
    assert len(world.restic(restic_newest, "first").snapshots()) == 3
    world.place("first").rename(world.directory / "cellar")
    names = {each["id"] for each in world.restic(restic_newest, "new").snapshots()}
    for backup in await world.engine.backups():
        assert {copy.snapshot_id for copy in backup.copies} <= names
    later = await world.one_backup("tree")
    assert (later.files_new, later.files_unmodified) == (0, 3)
    assert later.added_bytes < 20_000
    world.restic(restic_newest, "new").check()
    back = await world.restore(later.backup_id, world.directory / "back")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_what_was_proved_of_the_old_place_is_not_said_of_the_new(world: World, tree: Path) -> None:
    """Nobody read the bytes there yet; what lies in another storage is as well proved as before."""
    newest, older = [each.backup_id for each in await world.engine.backups()]
    await world.engine.copy(CopyRequest("first", "second", (newest,)))
    for storage in ("first", "second"):
        await world.engine.verify(VerifyRequest(storage=storage, is_reading_data=storage == "first"))
    assert (await world.engine.show_backup(older)).proof is Proof.VERIFIED
    moved = await world.engine.move_storage(_new(world))
    assert [each.proof for each in await world.engine.backups()] == [Proof.READABLE, Proof.TAKEN]
    shown = described.ladder(await world.engine.show_backup(older), await world.engine.backup_proofs(older))
    told = dict(shown)["proof dropped"]
    assert f"by storage move, job {moved.job_id}, in first: it was read at {world.place('first')}" in told
    assert told.endswith("(verified before)")
    assert "verified" not in dict(shown)
    await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True))
    assert [each.proof for each in await world.engine.backups()] == [Proof.VERIFIED, Proof.VERIFIED]


async def test_nothing_is_switched_where_not_all_can_move(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """Half a move would be two halves of the backups in two places."""
    before = await world.engine.show_storage("first")
    strangers = world.restic(restic_newest, "strangers")
    strangers.run("init")
    strangers.run("backup", str(tree))
    largest = max((world.place("first") / "data").glob("*/*"), key=lambda path: path.stat().st_size)
    largest.chmod(0o600)
    largest.write_bytes(bytes(largest.stat().st_size))
    refusals: dict[str, type[errors.HoldfastError]] = {
        "first": errors.UsageError,
        "second": errors.UsageError,
        "strangers": errors.RefusedError,
        "new": errors.DamagedError,
    }
    for place, expected in refusals.items():
        with pytest.raises(expected):
            await world.engine.move_storage(_new(world, place))
        assert await world.engine.show_storage("first") == before
    assert len(strangers.snapshots()) == 1


async def test_the_verb_says_where_everything_is_now(tmp_path: Path) -> None:
    """Whoever moved a storage must know what to do with the old place, and with the kit in the safe."""
    line = CommandLine(tmp_path)
    line.run("storage", "add", "main", "--kind", "local", "--path", str(tmp_path / "old"))
    ran = line.run("storage", "move", "main", "--kind", "local", "--path", str(tmp_path / "new"))
    assert ran.code == 0, ran.err
    assert f"the old place is left as it is: {tmp_path}/old" in ran.out
    assert "holdfast storage recovery-kit main" in ran.out
