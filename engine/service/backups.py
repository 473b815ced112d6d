"""Backups: listed, looked into, compared, protected."""

from __future__ import annotations

import base64
import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from engine.catalog.backups import BackupFilter, Place
from engine.errors import HoldfastError, UnknownSnapshotError, UsageError
from engine.format.node_text import unix_mode
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs.opening import open_unlocked
from engine.model.backup import Backup, BackupStatus, Copy
from engine.model.requests import Limits
from engine.model.results import Difference, FileItem, FoundItem
from engine.repository import diff, dump, find, reader
from engine.repository.lock import hold
from engine.repository.patterns import Pattern
from engine.repository.reader import Named, Visited
from engine.repository.repository import Repository
from engine.service.parts import Methods

_LETTERS = {"dir": "d", "symlink": "l", "dev": "b", "chardev": "c", "fifo": "p", "socket": "s"}


class BackupMethods(Methods):
    """Backups, and what is in them."""

    async def backups(
        self, chosen: BackupFilter | None = None, *, limit: int = 100, before: Place | None = None
    ) -> Sequence[Backup]:
        """A page of backups, newest first. A limit of 0 gives all."""
        return await self._parts.catalog.backups.page(chosen, limit=limit or -1, before=before)

    async def count_backups(self) -> int:
        """How many there are."""
        return await self._parts.catalog.backups.count()

    async def show_backup(self, backup: str) -> Backup:
        """One backup, by id, by the beginning of one, or as latest:SOURCE. Raises: UnknownNameError, UsageError."""
        return await self._parts.catalog.backups.find(backup)

    async def ls(self, backup: str, path: str = "", *, is_recursive: bool = False) -> AsyncIterator[FileItem]:
        """What lies at that path of a backup. Raises: PathMissingError, DamagedError."""
        async with self._opened(backup) as (repository, snapshot):
            async for visited in reader.ls(repository, snapshot, _raw(path), is_recursive=is_recursive):
                yield file_item(visited)

    async def find(self, pattern: str, *, source: str = "") -> AsyncIterator[FoundItem]:
        """Files of that name or pattern in all backups, each with its backup."""
        page = await self._parts.catalog.backups.page(BackupFilter(source=source), limit=-1)
        by_storage: dict[str, dict[str, Backup]] = {}
        for backup in page:
            copy = _good_copy(backup)
            if copy is not None:
                by_storage.setdefault(copy.storage, {})[copy.snapshot_id] = backup
        for storage, backups in by_storage.items():
            async with self._repository(storage) as repository:
                snapshots = []
                for snapshot_id in backups:
                    with contextlib.suppress(HoldfastError):
                        snapshots.append(Named(snapshot_id, await repository.load_snapshot(snapshot_id)))
                async for found in find.find(repository, snapshots, Pattern.parse(_raw(pattern))):
                    backup = backups[found.snapshot.id]
                    item = file_item(Visited(found.path, found.node))
                    yield FoundItem(backup.backup_id, backup.source, backup.created_at, item)

    async def dump(self, backup: str, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
        """One file's content, or a folder as a tar stream, handed to `write` in order; returns the bytes. Raises: PathMissingError, DamagedError."""
        async with self._opened(backup) as (repository, snapshot):
            return await dump.dump(repository, snapshot, _raw(path), write)

    async def diff(self, before: str, after: str) -> AsyncIterator[Difference]:
        """What differs between two backups, path by path. Raises: UsageError where no storage holds both."""
        old, new = await self.show_backup(before), await self.show_backup(after)
        old_ids = {copy.storage: copy.snapshot_id for copy in old.copies if copy.snapshot_id}
        shared = next((copy for copy in new.copies if copy.snapshot_id and copy.storage in old_ids), None)
        if shared is None:
            raise UsageError(
                "no storage holds both backups", hint="copy one to the other's storage first: holdfast copy"
            )
        async with self._repository(shared.storage) as repository:
            first = await repository.load_snapshot(old_ids[shared.storage])
            second = await repository.load_snapshot(shared.snapshot_id)
            async for each in diff.diff(repository, first, second):
                path = "/" + each.path.decode(errors="backslashreplace")
                yield Difference(path, each.kind, each.size_bytes_before, each.size_bytes_after)

    async def protect_backup(self, backup: str, *, is_protected: bool, hold_reason: str = "") -> Backup:
        """Protects a backup from forget and delete, or ends that. Raises: UnknownNameError."""
        found = await self.show_backup(backup)
        await self._parts.catalog.backups.protect(
            found.backup_id, is_protected=is_protected, hold_reason=hold_reason
        )
        await self._parts.write_down("protect" if is_protected else "unprotect", found.backup_id)
        return await self._parts.catalog.backups.get(found.backup_id)

    async def expire_backup(self, backup: str, expires_at: datetime.datetime | None) -> Backup:
        """Gives a backup a last day, or takes it away. Raises: UnknownNameError."""
        found = await self.show_backup(backup)
        await self._parts.catalog.backups.set_expiry(found.backup_id, expires_at)
        return await self._parts.catalog.backups.get(found.backup_id)

    @asynccontextmanager
    async def _opened(self, backup: str, storage: str = "") -> AsyncIterator[tuple[Repository, Snapshot]]:
        """The backup's snapshot in the first of its storages that answers. Raises: the last storage's error."""
        found = await self.show_backup(backup)
        copies = [copy for copy in found.copies if copy.snapshot_id and storage in ("", copy.storage)]
        if not copies:
            raise UnknownSnapshotError(
                f"no storage holds backup {found.backup_id}", hint=f"holdfast show {found.backup_id}"
            )
        async with AsyncExitStack() as stack:
            for number, copy in enumerate(copies):
                try:
                    repository = await stack.enter_async_context(self._repository(copy.storage))
                    snapshot = await repository.load_snapshot(copy.snapshot_id)
                except HoldfastError:
                    if number == len(copies) - 1:
                        raise
                else:
                    break
            yield repository, snapshot

    @asynccontextmanager
    async def _repository(self, storage: str) -> AsyncIterator[Repository]:
        """A storage's repository for reading, under a shared lock."""
        definition = await self._parts.catalog.storages.get(storage)
        context = self._parts.context()
        async with AsyncExitStack() as stack:
            repository = await open_unlocked(context, definition, Limits(), stack)
            holding = hold(
                repository, exclusive=False, clock=context.clock, is_confirmed_first=False, emit=context.emit
            )
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
    import stat

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
