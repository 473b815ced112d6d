"""Restoring in one call, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.format.tree import Node
from engine.repository import restore
from engine.repository.reader import Named
from engine.repository.restore import RestoreOptions, Tally
from tests.fakes.crafted import Crafted


async def run(crafted: Crafted, nodes: Sequence[Node] | bytes, target: Path, **options: Any) -> Tally:
    """Commits a snapshot of these nodes and restores it; options are those of RestoreOptions."""
    named = await crafted.commit(nodes)
    return await run_named(crafted, named, target, **options)


async def run_named(crafted: Crafted, named: Named, target: Path, **options: Any) -> Tally:
    """Restores a snapshot that is there."""
    return await restore.restore(crafted.repository, named.snapshot, RestoreOptions(str(target), **options))


def content(target: Path) -> dict[str, str]:
    """Files and links below the target, with what is in them."""
    return {
        str(path.relative_to(target)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
