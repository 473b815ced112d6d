"""Finding files across snapshots.

All snapshots are walked together, path by path: those that share a tree at a path share the visit, so that a hundred snapshots of a
tree that hardly changes cost little more than one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from engine.errors import DamagedError
from engine.format.tree import Node
from engine.repository import patterns
from engine.repository.patterns import Pattern
from engine.repository.reader import Named, OnDamaged, Trees
from engine.repository.repository import Repository

Sharing = dict[bytes, list[Named]]
"""Trees at one path, and the snapshots that have each."""


class Found(NamedTuple):
    """One match in one snapshot."""

    snapshot: Named
    path: bytes
    """From the snapshot's root, without a slash at its beginning."""
    node: Node


async def find(
    repository: Repository,
    snapshots: Sequence[Named],
    wanted: Pattern,
    *,
    on_damaged: OnDamaged | None = None,
) -> AsyncIterator[Found]:
    """Every path of these snapshots that `wanted` matches, path by path; for each, the snapshots in the order given.

    `patterns.escape` makes the pattern of one exact path. With `on_damaged` a tree that cannot be read is handed to it and passed over,
    else it raises DamagedError. Holds one level of each tree that differs on the way down, never whole snapshots.
    """
    trees = Trees(repository)
    levels = [iter([(b"", _by_root(snapshots))])]
    while levels:
        following = next(levels[-1], None)
        if following is None:
            levels.pop()
            continue
        path, sharing = following
        below: dict[bytes, Sharing] = {}
        await trees.read_ahead(list(sharing))
        for tree_id, having in sharing.items():
            for node in await _nodes(trees, tree_id, path, on_damaged):
                whole = path + b"/" + node.name if path else node.name
                parts = patterns.split(whole)
                if wanted.matches(parts):
                    for each in having:
                        yield Found(each, whole, node)
                if node.type == "dir" and node.subtree is not None and wanted.may_match_below(parts):
                    below.setdefault(whole, {}).setdefault(node.subtree, []).extend(having)
        levels.append(iter(below.items()))


def _by_root(snapshots: Sequence[Named]) -> Sharing:
    sharing: Sharing = {}
    for each in snapshots:
        sharing.setdefault(each.snapshot.tree, []).append(each)
    return sharing


async def _nodes(trees: Trees, tree_id: bytes, path: bytes, on_damaged: OnDamaged | None) -> list[Node]:
    try:
        return await trees.nodes(tree_id)
    except DamagedError as error:
        if on_damaged is None:
            raise
        on_damaged(path, error)
        return []
