"""Full, incremental, differential; and sources whose options changed between two backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.results import SourceResult
from tests.jobs.world import World
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """Three files, source `tree` of this machine."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    for name in ("folder/one", "folder/two.tmp", "three"):
        (root / name).write_bytes(name.encode())
    await world.add_storages("first")
    await world.add_files("tree", root)
    return root


async def _taken(world: World, kind: str = "incremental") -> SourceResult:
    done = await world.backup("tree", kind=kind)
    assert done.status == "completed"
    return done.backups[0]


def _counts(taken: SourceResult) -> tuple[int, int, int]:
    return taken.files_new, taken.files_changed, taken.files_unmodified


async def test_a_full_backup_reads_everything_again(world: World, tree: Path) -> None:
    """Who distrusts times and sizes asks for a full one, and it costs reading, not room."""
    first = await _taken(world, "full")
    again = await _taken(world, "full")
    assert (_counts(first), _counts(again)) == ((3, 0, 0), (3, 0, 0))
    # The folders above the tree are in it too, and in those of all tests things come and go.
    assert again.added_bytes < first.added_bytes / 2
    assert (await world.engine.show_backup(again.backup_id)).kind == "full"


async def test_a_differential_counts_from_the_last_full_one(world: World, tree: Path) -> None:
    """Its figures say what changed since the full one; an incremental's since the last of any kind."""
    await _taken(world, "full")
    (tree / "three").write_bytes(b"changed")
    assert _counts(await _taken(world)) == (0, 1, 2)
    assert _counts(await _taken(world)) == (0, 0, 3)
    assert _counts(await _taken(world, "differential")) == (0, 1, 2)
    assert _counts(await _taken(world)) == (0, 0, 3)


async def test_a_differential_without_a_full_one_reads_everything(world: World, tree: Path) -> None:
    """There is nothing that it could be the difference to."""
    await _taken(world)
    assert _counts(await _taken(world, "differential")) == (3, 0, 0)


async def test_what_is_excluded_later_is_left_out_and_what_is_no_more_comes_in(
    world: World, tree: Path
) -> None:
    """The last backup says which files are as they were, never which ones are wanted."""
    await _taken(world)
    await world.engine.edit_source("tree", {"exclude": ("*.tmp",)})
    assert _counts(await _taken(world)) == (0, 0, 2)
    left = await world.restore("latest:tree", world.directory / "left")
    assert not (left / str(tree).lstrip("/") / "folder" / "two.tmp").exists()
    await world.engine.edit_source("tree", {"exclude": None})
    assert _counts(await _taken(world)) == (1, 0, 2)
    back = await world.restore("latest:tree", world.directory / "back")
    assert differences(tree, back / str(tree).lstrip("/")) == []
