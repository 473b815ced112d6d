"""What a restore would do, without doing it: one value a path, as they come, so that a preview of millions needs no memory."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository import restore_files
from engine.repository.patterns import split
from engine.repository.reader import Trees, Visited, find_node, walk
from engine.repository.repository import Repository
from engine.repository.restore_files import Descent
from engine.repository.restore_values import RestoreOptions, refuse_dangerous

Action = Literal["create", "replace", "keep", "delete"]
"""keep: size and modification time agree, or nothing is overwritten. With overwrite `always` a kept file is read and compared all the same."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One path and what would happen to it."""

    path: bytes
    """From the target, without a slash at its beginning."""
    action: Action
    type: str
    """A node's type; for what would be deleted `dir`, with all that is in it, or `file`."""
    size_bytes: int


@dataclass(slots=True)
class PlanTotals:
    """Sums over a plan."""

    creates: int = 0
    replaces: int = 0
    keeps: int = 0
    deletes: int = 0
    write_bytes: int = 0
    """At most: of what is replaced only what differs is fetched."""

    def add(self, planned: Planned) -> None:
        """Counts one path."""
        if planned.action == "delete":
            self.deletes += 1
        elif planned.action == "keep":
            self.keeps += 1
        else:
            self.creates += planned.action == "create"
            self.replaces += planned.action == "replace"
            self.write_bytes += planned.size_bytes


async def plan_restore(
    repository: Repository, snapshot: Snapshot, options: RestoreOptions
) -> AsyncIterator[Planned]:
    """What `restore` would do with these options, path by path. Nothing is written, and the target need not be there.

    Raises: RefusedError as `restore` does; PathMissingError; DamagedError where a tree cannot be read; OSError where the target cannot.
    """
    refuse_dangerous(options)
    trees = Trees(repository)
    node = await find_node(trees, snapshot, options.sub_path)
    if node.type != "dir" or node.subtree is None:
        return
    with _Target(options) as target:
        for planned in target.extras((), [each.name for each in await trees.nodes(node.subtree)]):
            yield planned
        async for visited in walk(trees, node.subtree, enters=target.enters):
            parts = split(visited.path)
            if options.selection.selects(parts):
                yield target.plan(parts, visited)
            below = visited.node
            if options.is_deleting and below.subtree is not None and target.enters(visited):
                for planned in target.extras(parts, [each.name for each in await trees.nodes(below.subtree)]):
                    yield planned


class _Target:
    """The target as it is."""

    def __init__(self, options: RestoreOptions) -> None:
        self._options = options
        self._root: int | None = None
        self._descent: Descent | None = None

    def __enter__(self) -> _Target:
        try:
            self._root = os.open(self._options.target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self
        self._descent = Descent(self._root)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descent is not None:
            self._descent.forget()
        if self._root is not None:
            os.close(self._root)

    def enters(self, visited: Visited) -> bool:
        """Whether something in that directory is meant."""
        selection = self._options.selection
        parts = split(visited.path)
        return not selection.excludes_path(parts) and (
            selection.selects(parts) or selection.may_include_below(parts)
        )

    def plan(self, parts: tuple[bytes, ...], visited: Visited) -> Planned:
        node = visited.node
        found = self._status(parts)
        size = node.size if node.type == "file" else 0
        if found is None:
            return Planned(visited.path, "create", node.type, size)
        keeps = self._options.overwrite == "never" or _is_same(node, found)
        return Planned(visited.path, "keep" if keeps else "replace", node.type, size)

    def extras(self, parts: tuple[bytes, ...], names: list[bytes]) -> Iterator[Planned]:
        """What would be deleted directly in a directory."""
        if not self._options.is_deleting or self._descent is None:
            return
        try:
            folder = self._descent.enter(parts)
            present = sorted(set(restore_files.names_in(folder)) - set(names))
            found = [(name, restore_files.status(folder, name)) for name in present]
        except OSError:
            return
        for name, status in found:
            path = (*parts, name)
            if status is not None and self._options.selection.selects(path):
                kind = "dir" if stat.S_ISDIR(status.st_mode) else "file"
                yield Planned(b"/".join(path), "delete", kind, status.st_size if kind == "file" else 0)

    def _status(self, parts: tuple[bytes, ...]) -> os.stat_result | None:
        if self._descent is None:
            return None
        try:
            return restore_files.status(self._descent.enter(parts[:-1]), parts[-1])
        except OSError:
            return None


def _is_same(node: Node, found: os.stat_result) -> bool:
    """Whether what is there looks as the backup has it."""
    if node.type == "dir":
        return stat.S_ISDIR(found.st_mode)
    if node.type == "symlink":
        return stat.S_ISLNK(found.st_mode) and found.st_size == len(node.linktarget)
    if node.type != "file":
        return not stat.S_ISREG(found.st_mode) and found.st_rdev == node.device
    try:
        modified = restore_files.nanoseconds(node.mtime)
    except ValueError:
        modified = None
    return stat.S_ISREG(found.st_mode) and found.st_size == node.size and found.st_mtime_ns == modified
