"""A nasty tree that is backed up, and a target on a host where a link lies in its way."""

from __future__ import annotations

from pathlib import Path

from tests.jobs.world import World
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.sshd import Sshd


async def nasty_tree_kept(world: World, server: Sshd, directory: Path) -> tuple[Path, Path, Path]:
    """The tree, the folder that the link leads to, which must stay empty, and the target; the host is called `server`."""
    tree, outside, target = directory / "tree", directory / "outside", directory / "there"
    make_nasty_tree(tree)
    outside.mkdir()
    (target / str(directory).lstrip("/")).mkdir(parents=True)
    (target / str(tree).lstrip("/")).symlink_to(outside)
    await world.add_storages("first")
    await world.add_host(server)
    await world.add_files("tree", tree)
    await world.one_backup("tree")
    return tree, outside, target
