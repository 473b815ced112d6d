"""The password of a storage, changed."""

from __future__ import annotations

import pytest

from engine import errors
from engine.clock import SystemClock
from engine.model.secret import Secret
from engine.repository import lock
from engine.repository.repository import open_repository
from engine.storages import registry
from tests.jobs.world import World
from tests.servers.restic import PASSWORD, Restic, ResticProgram

pytestmark = pytest.mark.slow


@pytest.fixture
async def new(world: World) -> str:
    """A REF to a new password for the storage `first`, which holds a backup."""
    (world.directory / "file").write_bytes(b"content")
    await world.add_storages("first")
    await world.add_files("file", world.directory / "file")
    await world.one_backup("file")
    (world.directory / "new-password").write_text("the new one", encoding="ascii")
    return f"file:{world.directory}/new-password"


async def test_after_a_rotation_only_the_new_password_opens_the_storage(
    world: World, new: str, restic_newest: ResticProgram
) -> None:
    """A password is changed because somebody may know it."""
    await world.engine.rotate_storage_password("first", new)
    await world.one_backup("file")
    kit = await world.engine.recovery_kit("first")
    assert "the new one" in kit
    changed = Restic(restic_newest, world.place("first"), world.directory / "cache", "the new one")
    changed.check()
    assert len(changed.snapshots()) == 2
    with pytest.raises(AssertionError, match="wrong password"):
        world.restic(restic_newest, "first").snapshots()


async def test_a_rotation_that_finds_a_lock_changes_nothing(
    world: World, new: str, restic_newest: ResticProgram
) -> None:
    """Whoever is told that it failed goes on with the old password, and must not be locked out."""
    before = set((world.place("first") / "keys").iterdir())
    clock = SystemClock()
    async with registry.open_storage("local", {"path": str(world.place("first"))}, clock=clock) as storage:
        busy = await open_repository(storage, Secret(PASSWORD), cache_directory=None, clock=clock)
        async with lock.hold(busy, exclusive=False, clock=clock):
            with pytest.raises(errors.RepositoryLockedError):
                await world.engine.rotate_storage_password("first", new)
    assert set((world.place("first") / "keys").iterdir()) == before
    await world.one_backup("file")
    world.restic(restic_newest, "first").check()


async def test_a_made_password_opens_the_storage(world: World, new: str) -> None:
    """What is shown once is what will be typed after the fire."""
    made = await world.engine.rotate_storage_password("first", "")
    await world.one_backup("file")
    assert len(made) >= 32
    assert made in await world.engine.recovery_kit("first")
