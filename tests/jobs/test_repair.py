"""A storage that rotted is made whole out of another, by one verb; what nobody holds any more is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import errors
from engine.model.backup import Proof
from engine.model.requests import VerifyRequest
from tests.jobs.world import World
from tests.servers.restic import ResticProgram
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow


def rot(storage: Path) -> None:
    """Flips a bit of each pack of a storage, and loses one of them."""
    packs = sorted((storage / "data").glob("*/*"))
    for pack in packs[1:]:
        pack.chmod(0o600)
        stored = bytearray(pack.read_bytes())
        stored[10] ^= 1
        pack.write_bytes(stored)
    packs[0].unlink()


@pytest.fixture
async def tree(world: World) -> Path:
    """A tree of some packs, as source `tree`, and two storages with keys of their own."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "large").write_bytes(bytes(range(256)) * 20_000)
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    return root


async def test_a_storage_that_rotted_is_whole_again(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """Two storages are worth more than twice one: each heals the other."""
    backup = await world.one_backup("tree", ("first", "second"))
    rot(world.place("second"))
    request = VerifyRequest(storage="second", is_reading_data=True, is_repairing=True)
    done = await world.engine.verify(request)
    assert (done.status, list(done.damaged)) == ("passed", [])
    assert done.fetched_blobs > 0
    assert {each for found in done.repaired for each in found.backups} == {backup.backup_id}
    assert (await world.engine.show_backup(backup.backup_id)).proof is Proof.VERIFIED
    world.restic(restic_newest, "second").check()
    world.place("first").rename(world.directory / "lost")
    back = await world.restore(backup.backup_id, world.directory / "back", "second")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_what_both_storages_lost_is_named_and_stored_again_by_the_next_backup(
    world: World, tree: Path
) -> None:
    """A repair says what it could not do; as long as the source is there, all is not lost."""
    backup = await world.one_backup("tree", ("first", "second"))
    for name in ("first", "second"):
        rot(world.place(name))
    done = await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True, is_repairing=True))
    assert done.status == "damaged"
    assert {each for found in done.damaged for each in found.backups} == {backup.backup_id}
    assert (await world.engine.show_backup(backup.backup_id)).proof is Proof.TAKEN
    again = await world.one_backup("tree", ("first",))
    back = await world.restore(again.backup_id, world.directory / "back", "first")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_a_storage_is_not_repaired_from_itself(world: World) -> None:
    """A slip that would look like a repair that found nothing."""
    await world.add_storages("first")
    with pytest.raises(errors.UsageError, match="from itself"):
        await world.engine.verify(VerifyRequest(storage="first", is_repairing=True, repair_from=("first",)))
