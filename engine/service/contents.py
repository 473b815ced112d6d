"""What is in backups: listed, searched, dumped, compared. Loaded with the repository engine, which merely listing backups does without."""

from __future__ import annotations

import base64
import contextlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from engine.errors import HoldfastError, UnknownSnapshotError, UsageError
from engine.format.node_text import unix_mode
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs import diff as diff_job
from engine.jobs.diff import Side, Tell
from engine.jobs.opening import open_unlocked
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy
from engine.model.requests import Limits
from engine.model.results import Compared, FileItem, FoundItem
from engine.repository import dump as repository_dump
from engine.repository import find as repository_find
from engine.repository import reader
from engine.repository.lock import hold_for_reading
from engine.repository.patterns import Pattern
from engine.repository.reader import Named, Visited
from engine.repository.repository import Repository
from engine.service.parts import Parts

_LETTERS = {"dir": "d", "symlink": "l", "dev": "b", "chardev": "c", "fifo": "p", "socket": "s"}


async def ls(parts: Parts, backup: str, path: str, *, is_recursive: bool) -> AsyncIterator[FileItem]:
    """See `Engine.ls`."""
    async with _opened(parts, backup) as (repository, snapshot):
        async for visited in reader.ls(repository, snapshot, _raw(path), is_recursive=is_recursive):
            yield file_item(visited)


async def find(parts: Parts, pattern: str, source: str) -> AsyncIterator[FoundItem]:
    """See `Engine.find`."""
    wanted = Pattern.parse(_raw(pattern))
    page = await parts.catalog.backups.page(BackupFilter(source=source), limit=-1)
    by_storage: dict[str, dict[str, Backup]] = {}
    for backup in page:
        copy = _good_copy(backup)
        if copy is not None:
            by_storage.setdefault(copy.storage, {})[copy.snapshot_id] = backup
    for storage, backups in by_storage.items():
        async with _repository(parts, storage) as repository:
            snapshots = []
            for snapshot_id in backups:
                with contextlib.suppress(HoldfastError):
                    snapshots.append(Named(snapshot_id, await repository.load_snapshot(snapshot_id)))
            async for found in repository_find.find(repository, snapshots, wanted):
                backup = backups[found.snapshot.id]
                item = file_item(Visited(found.path, found.node))
                yield FoundItem(backup.backup_id, backup.source, backup.created_at, item)


async def dump(parts: Parts, backup: str, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
    """See `Engine.dump`."""
    async with _opened(parts, backup) as (repository, snapshot):
        return await repository_dump.dump(repository, snapshot, _raw(path), write)


async def diff(parts: Parts, before: str, after: str, tell: Tell) -> Compared:
    """See `Engine.diff`."""
    old, new = await parts.catalog.backups.find(before), await parts.catalog.backups.find(after)
    old_ids = {copy.storage: copy.snapshot_id for copy in old.copies if copy.snapshot_id}
    shared = next((copy for copy in new.copies if copy.snapshot_id and copy.storage in old_ids), None)
    if shared is None:
        raise UsageError(
            "no storage holds both backups", hint="copy one to the other's storage first: holdfast copy"
        )
    async with _repository(parts, shared.storage) as repository:
        sides = (
            Side(old, await repository.load_snapshot(old_ids[shared.storage])),
            Side(new, await repository.load_snapshot(shared.snapshot_id)),
        )
        return await diff_job.run(parts.context(), repository, sides, tell)


@asynccontextmanager
async def _opened(parts: Parts, backup: str) -> AsyncIterator[tuple[Repository, Snapshot]]:
    """The backup's snapshot in the first of its storages that answers. Raises: the last storage's error."""
    found = await parts.catalog.backups.find(backup)
    copies = [copy for copy in found.copies if copy.snapshot_id]
    if not copies:
        raise UnknownSnapshotError(
            f"no storage holds backup {found.backup_id}", hint=f"holdfast show {found.backup_id}"
        )
    async with AsyncExitStack() as stack:
        for number, copy in enumerate(copies):
            try:
                repository = await stack.enter_async_context(_repository(parts, copy.storage))
                snapshot = await repository.load_snapshot(copy.snapshot_id)
            except HoldfastError:
                if number == len(copies) - 1:
                    raise
            else:
                break
        yield repository, snapshot


@asynccontextmanager
async def _repository(parts: Parts, storage: str) -> AsyncIterator[Repository]:
    """A storage's repository for reading, under a shared lock."""
    definition = await parts.catalog.storages.get(storage)
    context = parts.context()
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(context, definition, Limits(), stack)
        holding = hold_for_reading(repository, clock=context.clock, emit=context.emit)
        await stack.enter_async_context(holding)
        await repository.load_index()
        yield repository


def file_item(visited: Visited) -> FileItem:
    """A node as people and scripts are shown it."""
    node = visited.node
    try:
        path, raw = "/" + visited.path.decode(), ""
    except UnicodeDecodeError:
        path, raw = (
            "/" + visited.path.decode(errors="backslashreplace"),
            base64.b64encode(visited.path).decode(),
        )
    return FileItem(
        path=path,
        type=node.type,
        mode=_mode_text(node),
        size_bytes=node.size,
        modified_at=node.mtime,
        user=node.user.decode(errors="backslashreplace"),
        group=node.group.decode(errors="backslashreplace"),
        uid=node.uid,
        gid=node.gid,
        target=node.linktarget.decode(errors="backslashreplace"),
        raw_path=raw,
    )


def _mode_text(node: Node) -> str:
    letters = {
        "d": stat.S_IFDIR,
        "l": stat.S_IFLNK,
        "b": stat.S_IFBLK,
        "c": stat.S_IFCHR,
        "p": stat.S_IFIFO,
        "s": stat.S_IFSOCK,
    }
    return stat.filemode(unix_mode(node.mode) | letters.get(_LETTERS.get(node.type, "-"), stat.S_IFREG))


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _good_copy(backup: Backup) -> Copy | None:
    return next(
        (copy for copy in backup.copies if copy.snapshot_id and copy.status is not BackupStatus.FAILED), None
    )
