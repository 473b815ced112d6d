"""Restores that somebody typed in a hurry."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine import errors
from engine.model.requests import RestoreRequest
from tests.jobs.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """A small tree, source `tree` of this machine, backed up."""
    root = world.directory / "tree"
    (root / "empty").mkdir(parents=True)
    (root / "file").write_bytes(b"content")
    await world.add_storages("first")
    await world.add_files("tree", root)
    await world.one_backup("tree")
    return root


@pytest.mark.parametrize("is_dry_run", [False, True], ids=["restored", "dry run"])
async def test_a_restore_that_finds_nothing_of_what_was_named_has_failed(
    world: World, tree: Path, *, is_dry_run: bool
) -> None:
    """A mistyped path that ends well looks like files that came back."""
    target = str(world.directory / "back")

    def request(path: str) -> RestoreRequest:
        return RestoreRequest("latest:tree", target, include=(path,), is_dry_run=is_dry_run)

    with pytest.raises(errors.PathMissingError, match="holds nothing of"):
        await world.engine.restore(request(f"{tree}/flie"))
    for path in (f"{tree}/empty", f"{tree}/file"):
        assert (await world.engine.restore(request(path))).status == "completed"


async def test_the_next_restore_clears_away_what_a_killed_one_left(world: World, tree: Path) -> None:
    """Half files with odd names beside the good ones are found by somebody a year later."""
    target = world.directory / "back"
    await world.restore("latest:tree", target)
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = target / str(tree).lstrip("/") / f".holdfast-restore-0a1b2c3d-{ended.pid}-1"
    left.write_bytes(b"half")
    await world.restore("latest:tree", target)
    assert not left.exists()
