"""Backups: listed, looked into, compared, protected.

What looks into a repository lies in contents.py and is loaded on use: the repository engine costs a listing of backups a third of a second.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from engine.model.backup import Backup, BackupFilter, OrderBy, Ordered, Place, ProofRecord
from engine.model.results import Compared, Difference, FileItem, FoundItem
from engine.service.parts import Methods


class BackupMethods(Methods):
    """Backups, and what is in them."""

    async def backups(
        self, chosen: BackupFilter | None = None, *, limit: int = 100, before: Place | None = None
    ) -> Sequence[Backup]:
        """A page of backups, newest first. A limit of 0 gives all."""
        return await self._parts.catalog.backups.page(chosen, limit=limit or -1, before=before)

    async def require_names(self, *, source: str = "", storage: str = "") -> None:
        """Raises: UnknownNameError for a source that is not defined, and of which there is no backup; for a storage likewise."""
        backups = self._parts.catalog.backups
        if source and not await backups.page(BackupFilter(source=source), limit=1):
            await self._parts.catalog.sources.get(source)
        if storage and not await backups.page(BackupFilter(storage=storage), limit=1):
            await self._parts.catalog.storages.get(storage)

    async def backup_proofs(self, backup_id: str) -> Sequence[ProofRecord]:
        """Every attempt to prove a backup, newest first."""
        return await self._parts.catalog.backups.list_proofs(backup_id)

    async def count_backups(self) -> int:
        """How many there are."""
        return await self._parts.catalog.backups.count()

    async def count_backups_of(self, source: str) -> int:
        """How many there are of a source."""
        return await self._parts.catalog.backups.count_of_source(source)

    async def ordered_backups(
        self,
        chosen: BackupFilter | None = None,
        by: OrderBy = OrderBy.CREATED,
        *,
        is_falling: bool = True,
        limit: int = 0,
    ) -> Ordered:
        """All backups that a filter chooses, in an order, without reading them: `backups_at` does. A limit of 0 gives all."""
        found = self._parts.catalog.backups
        return await found.ordered(chosen, by, is_falling=is_falling, limit=limit or -1)

    async def backups_at(self, order: Ordered, first: int, count: int) -> Sequence[Backup | None]:
        """Those at these places of the order, None for each that is gone since."""
        keys = order.keys(first, count)
        found = await self._parts.catalog.backups.by_keys(keys)
        return [found.get(key) for key in keys]

    async def show_backup(self, backup: str) -> Backup:
        """One backup, by id, by the beginning of one, or as latest:SOURCE. Raises: UnknownNameError, UsageError."""
        return await self._parts.catalog.backups.find(backup)

    async def latest_backup(self, source: str, before: datetime.datetime | None = None) -> Backup:
        """The newest backup of all of a source that did not fail, or the newest from before that instant. Raises: UnknownNameError."""
        return await self._parts.catalog.backups.latest(source, before)

    def ls(self, backup: str, path: str = "", *, is_recursive: bool = False) -> AsyncIterator[FileItem]:
        """What lies at that path of a backup. Raises, on the way: PathMissingError, DamagedError."""
        from engine.service import contents

        return contents.ls(self._parts, backup, path, is_recursive=is_recursive)

    def find(self, pattern: str, *, source: str = "") -> AsyncIterator[FoundItem]:
        """Files of that name or pattern in all backups, each with its backup. Raises, on the way: UsageError for the pattern, DamagedError."""
        from engine.service import contents

        return contents.find(self._parts, pattern, source)

    async def dump(self, backup: str, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
        """One file's content, or a folder as a tar stream, handed to `write` in order; returns the bytes. Raises: PathMissingError, DamagedError."""
        from engine.service import contents

        return await contents.dump(self._parts, backup, path, write)

    async def diff(self, before: str, after: str, tell: Callable[[Difference], None]) -> Compared:
        """Tells what differs between two backups: paths, and of databases what differs per table. Returns how far it looked.

        Raises: UsageError where no storage holds both; DamagedError.
        """
        from engine.service import contents

        return await contents.diff(self._parts, before, after, tell)

    async def diff_live(
        self, backup: str, tell: Callable[[Difference], None], *, is_checksum: bool = False
    ) -> Compared:
        """Tells what differs between a backup and what its source holds now; with `is_checksum` everything is read, and not a sample of it.

        Raises: UsageError where such a source cannot be asked; SourceError, HostError, DamagedError.
        """
        from engine.jobs import diff_live

        found = await self.show_backup(backup)
        return await diff_live.run(self._parts.context(), found, tell, is_checksum=is_checksum)

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
