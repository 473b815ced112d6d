"""The walk of a restore: through the trees, directories made on the way, everything else handed to the workers in tasks of a few megabytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine import events
from engine.errors import DamagedError, HoldfastError
from engine.format import names, tree
from engine.format.ids import parse_id
from engine.format.outline import Outline, decode_outline
from engine.repository import restore_delete, restore_files, restore_long, restore_talk
from engine.repository.reader import Trees
from engine.repository.restore_files import Descent
from engine.repository.restore_folders import Folder, Folders
from engine.repository.restore_links import Group, Links, Name
from engine.repository.restore_long import LongFile
from engine.repository.restore_pool import Report, RestorePool
from engine.repository.restore_values import RestoreOptions, Tally
from engine.scope import task_scope

TASK_FILES: Final = 512
TASK_BYTES: Final = 4 << 20
"""A task is handed out when it holds this many files or this much content: enough that blobs of one pack are read together."""
LONG_FROM_BYTES: Final = 32 << 20
"""Files from here on are shared by all workers."""
_LONG_AT_ONCE: Final = 2


@dataclass(slots=True, eq=False)
class _Task:
    """Nodes gathered for one worker."""

    folders: list[tuple[Folder, list[bytes]]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    """Hard links whose leaders are in it."""
    files: int = 0
    size_bytes: int = 0

    def add(self, folder: Folder, node: bytes, size_bytes: int) -> bool:
        """Takes a node; says whether the task is to be handed out."""
        if not self.folders or self.folders[-1][0] is not folder:
            folder.pending += 1
            self.folders.append((folder, []))
        self.folders[-1][1].append(node)
        self.files += 1
        self.size_bytes += max(0, size_bytes) + len(node)
        return self.files >= TASK_FILES or self.size_bytes >= TASK_BYTES


@dataclass(slots=True)
class _Level:
    """One directory of the walk: what is still to be looked at in it."""

    folder: Folder
    nodes: Iterator[tuple[Outline, bytes]]
    is_included: bool


class RestoreWalk:
    """One restore. Made by `restore.restore`, which sets `pool` before it lets it run. For the event loop's thread."""

    pool: RestorePool

    def __init__(self, root: int, trees: Trees, options: RestoreOptions, tally: Tally, emit: events.Emit) -> None:  # fmt: skip
        self._trees = trees
        self._options = options
        self._selection = options.selection
        self._tally = tally
        self._emit = emit
        self._folders = Folders(root, options.overwrite, tally.fail)
        self._leaders = Descent(root)
        self._task = _Task()
        self._busy: Counter[tuple[bytes, ...]] = Counter()
        self._links = Links()
        self._again: list[tuple[Name, Group | None]] = []
        self._long_slots = asyncio.Semaphore(_LONG_AT_ONCE)

    async def run(self, tree_id: bytes) -> None:
        """Restores everything below that tree."""
        root = Folder((), None, b"", is_wanted=True, is_made=True)
        async with task_scope() as group:
            await self._walk(tree_id, root, group)
            await self._hand_out()
        await self.pool.wait_idle()
        while self._again:
            waiting, self._again = self._again, []
            async with task_scope() as group:
                for name, linked in waiting:
                    await self._give(name, linked, group)
                    self._folders.release(name.folder)
                await self._hand_out()
            await self.pool.wait_idle()
        self._tally.directories = self._folders.made
        self._emit(self._tally.progress("restore"))

    def close(self, token: bytes) -> None:
        """Removes what an interrupted run left incomplete, and closes what is open. The workers must be gone."""
        for parts in self._busy:
            with contextlib.suppress(OSError):
                restore_files.sweep(self._leaders.enter(parts), token)
        self._folders.close()
        self._leaders.forget()

    async def _walk(self, tree_id: bytes, root: Folder, group: asyncio.TaskGroup) -> None:
        levels = [await self._open_level(tree_id, root, is_included=not self._selection.includes)]
        is_everything = self._selection.is_everything
        while levels:
            level = levels[-1]
            folder = level.folder
            for outline, node in level.nodes:
                if outline.type == "dir":
                    below = await self._enter(level, outline, node)
                    if below is not None:
                        levels.append(below)
                        break
                elif (is_everything or self._is_meant(level, outline)) and (
                    folder.is_made or self._folders.make(folder)
                ):
                    if outline.type == "file" and (outline.links > 1 or outline.size >= LONG_FROM_BYTES):
                        await self._add(folder, outline, node, group)
                    elif self._task.add(folder, node, outline.size):
                        await self._hand_out()
            else:
                levels.pop()
                self._folders.release(level.folder)

    async def _open_level(self, tree_id: bytes, folder: Folder, *, is_included: bool) -> _Level:
        nodes: list[tuple[Outline, bytes]] = []
        try:
            blob = await self._trees.load(tree_id)
            nodes = self._sound(folder, decode_outline(blob), tree.split_nodes(blob))
            below = [parse_id(each.subtree) for each, _ in nodes if each.subtree]
        except HoldfastError as error:
            if error.retryable:
                raise
            self._tally.fail(folder.path, f"what is in it cannot be read: {error.message}")
        else:
            if self._options.is_deleting:
                await self._delete_extras(folder, [outline for outline, _ in nodes])
            await self._trees.read_ahead(below)
        return _Level(folder, iter(nodes), is_included)

    def _sound(
        self, folder: Folder, outlines: Sequence[Outline], nodes: Sequence[bytes]
    ) -> list[tuple[Outline, bytes]]:
        """The nodes with names that a file can have, each name once; the others become failures."""
        pairs = list(zip(outlines, nodes, strict=True))
        texts = {outline.name for outline in outlines}
        joined = "".join(texts)
        is_plain = not texts & {"", ".", ".."} and not any(sign in joined for sign in "/\\\0")
        if is_plain and len(texts) == len(pairs):
            return pairs
        sound: list[tuple[Outline, bytes]] = []
        seen: set[bytes] = set()
        for outline, node in pairs:
            try:
                name = names.unquote(outline.name)
            except DamagedError:
                name = b""
            if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
                self._tally.fail(folder.path, f"it holds the impossible name {outline.name[:80]!r}")
            elif name in seen:
                self._tally.fail(
                    b"/".join((*folder.parts, name)), "the backup holds it twice; the first was taken"
                )
            else:
                seen.add(name)
                sound.append((outline, node))
        return sound

    async def _enter(self, level: _Level, outline: Outline, node: bytes) -> _Level | None:
        """Goes into a directory, which is made at once if it is meant itself, else when something in it is."""
        parts = (*level.folder.parts, names.unquote(outline.name))
        is_included = level.is_included
        if not self._selection.is_everything:
            if self._selection.excludes_path(parts):
                return None
            is_included = self._selection.includes_path(parts, parent_is_included=level.is_included)
            if not is_included and not self._selection.may_include_below(parts):
                return None
        folder = Folder(parts, level.folder, node, is_wanted=is_included)
        level.folder.pending += 1
        if is_included and not self._folders.make(folder):
            self._folders.release(folder)
            return None
        if not outline.subtree:
            self._tally.fail(folder.path, "the backup does not say what is in it")
            self._folders.release(folder)
            return None
        return await self._open_level(parse_id(outline.subtree), folder, is_included=is_included)

    def _is_meant(self, level: _Level, outline: Outline) -> bool:
        parts = (*level.folder.parts, names.unquote(outline.name))
        return not self._selection.excludes_path(parts) and self._selection.includes_path(
            parts, parent_is_included=level.is_included
        )

    async def _delete_extras(self, folder: Folder, outlines: Sequence[Outline]) -> None:
        if folder.is_fresh or not (folder.is_made or self._folders.exists(folder.parts)):
            return
        kept = {names.unquote(outline.name) for outline in outlines}
        try:
            opened = os.dup(self._folders.enter(folder.parts))
        except OSError as error:
            self._tally.fail(folder.path, f"could not be looked through: {restore_files.reason(error)}")
            return
        try:
            self._tally.deleted += await asyncio.to_thread(
                restore_delete.delete_extras, opened, folder.parts, kept, self._selection, self._tally.fail
            )
        finally:
            os.close(opened)

    async def _add(self, folder: Folder, outline: Outline, node: bytes, group: asyncio.TaskGroup) -> None:
        """Hands on a file that is long or has several names."""
        name = Name(folder, names.unquote(outline.name), node, outline)
        linked = self._links.add(name) if outline.links > 1 else None
        if linked is None or self._leads(name, linked):
            await self._give(name, linked, group)

    async def _give(self, name: Name, linked: Group | None, group: asyncio.TaskGroup) -> None:
        """Hands on a file that may lead others, or is long."""
        if name.outline.size >= LONG_FROM_BYTES:
            await self._long_slots.acquire()
            name.folder.pending += 1
            group.create_task(self._restore_long(name, linked))
            return
        if linked is not None:
            self._task.groups.append(linked)
        if self._task.add(name.folder, name.node, name.outline.size):
            await self._hand_out()

    def _leads(self, name: Name, linked: Group) -> bool:
        """Whether this name is the one to be restored; else it is linked, now or when its leader is there."""
        if linked.leader is None or linked.leader is name:
            linked.leader = name
            return True
        name.folder.pending += 1
        if linked.is_ready:
            self._link(name, linked)
        else:
            linked.waiting.append(name)
        return False

    def _link(self, name: Name, linked: Group) -> None:
        """Gives a file that is there one more name. Where the file system cannot, it is restored by itself."""
        leader = linked.leader
        assert leader is not None
        try:
            is_new = restore_files.link(
                self._leaders.enter(leader.folder.parts),
                leader.name,
                self._folders.enter(name.folder.parts),
                name.name,
                keeps=self._options.overwrite == "never",
            )
        except OSError:
            self._again.append((name, None))
            return
        if is_new is None:
            self._tally.kept_files += 1
        elif is_new:
            self._tally.restored_files += 1
            self._tally.linked_files += 1
        else:
            self._tally.unchanged_files += 1
        self._folders.release(name.folder)

    def _settle(self, linked: Group, *, is_linkable: bool) -> None:
        """The leader of a group is there, or could not be restored as the backup has it: then another takes its place."""
        if not is_linkable:
            linked.leader = linked.waiting.pop(0) if linked.waiting else None
            if linked.leader is not None:
                self._again.append((linked.leader, linked))
            return
        linked.is_ready = True
        waiting, linked.waiting = linked.waiting, []
        for name in waiting:
            self._link(name, linked)

    async def _hand_out(self) -> None:
        """Gives what was gathered to a worker."""
        task, self._task = self._task, _Task()
        if not task.files:
            return
        bodies = [tree.encode_tree(nodes) for _, nodes in task.folders]
        header = {
            "folders": [
                (folder.parts, folder.is_fresh, len(body))
                for (folder, _), body in zip(task.folders, bodies, strict=True)
            ]
        }
        self._busy.update(folder.parts for folder, _ in task.folders)
        await self.pool.submit(restore_talk.FILES, header, bodies, lambda report: self._done(task, report))

    def _done(self, task: _Task, report: Report) -> None:
        self._tally.take(report)
        for folder, _ in task.folders:
            if report.error:
                self._tally.fail(folder.path, f"files in it are not restored: {report.error}")
        for linked in task.groups:
            leader = linked.leader
            assert leader is not None
            path = b"/".join((*leader.folder.parts, leader.name))
            self._settle(linked, is_linkable=not report.error and path not in report.unlinkable)
        for folder, _ in task.folders:
            self._leave(folder.parts)
            self._folders.release(folder)
        self._emit(self._tally.progress("restore", task.folders[-1][0].path))

    def _leave(self, parts: tuple[bytes, ...]) -> None:
        self._busy[parts] -= 1
        if not self._busy[parts]:
            del self._busy[parts]

    async def _restore_long(self, name: Name, linked: Group | None) -> None:
        folder = name.folder
        path = b"/".join((*folder.parts, name.name))
        is_linkable = True

        def take(report: Report) -> None:
            nonlocal is_linkable
            is_linkable = is_linkable and not report.unlinkable
            self._tally.take(report)
            self._emit(self._tally.progress("restore", path))

        self._busy[folder.parts] += 1
        try:
            pieces = restore_long.content_of(self._trees.repository.index, name.outline)
            file = LongFile(folder.parts, folder.is_fresh, name.name, name.node, pieces)
            error = await restore_long.restore_long(self.pool, file, take)
        except DamagedError as damage:
            error = damage.message
        finally:
            self._long_slots.release()
        if error:
            self._tally.fail(path, error)
        if linked is not None:
            self._settle(linked, is_linkable=is_linkable and not error)
        self._leave(folder.parts)
        self._folders.release(folder)
