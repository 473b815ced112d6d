"""A storage that missed a backup: what the others got meanwhile must reach it with the next, unchanged or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.world import World
from tests.servers.restic import ResticProgram
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow


async def test_a_storage_that_missed_a_backup_is_whole_after_the_next(
    world: World, restic_newest: ResticProgram
) -> None:
    """The disk that was not plugged in last night must hold tonight's backup whole, last night's new files included."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "old").write_bytes(b"old")
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    await world.backup("tree", to=("first", "second"))
    (root / "folder" / "new").write_bytes(b"came while the second was away")
    (root / "other").mkdir()
    (root / "other" / "newer").write_bytes(b"this too")
    await world.backup("tree", to=("first",))
    await world.backup("tree", to=("first", "second"))
    restic = world.restic(restic_newest, "second")
    restic.check()
    restic.restore("latest", world.directory / "restored")
    assert differences(root, Path(f"{world.directory}/restored{root}")) == []
