"""Storages: added, tested, measured, unlocked; their keys and the recovery kit.

What opens a repository lies in repositories.py and is loaded on use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.model import definitions
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.model.standings import Loss, StorageStanding
from engine.model.storage_results import StorageCreated, StorageTest, StorageUsage
from engine.service.parts import Methods

if TYPE_CHECKING:
    from engine.repository.lock_verdicts import LockInfo


class StorageMethods(Methods):
    """Storages, and the repository in each."""

    async def add_storage(
        self,
        storage: definitions.Storage,
        *,
        is_default: bool = False,
        typed: Mapping[str, Secret] | None = None,
    ) -> StorageCreated:
        """Defines a storage: makes its repository, or opens the one that is there. Without a password REF a strong password is made, sealed
        in the vault, and returned this once. Secrets in `typed` are sealed under their REFs, `vault:NAME`. Raises: UsageError, WrongPasswordError, StorageError; then nothing is defined.
        """
        from engine.service import repositories

        async with self.sealing(typed):
            return await repositories.add(self._parts, storage, is_default=is_default)

    async def storages(self) -> Sequence[definitions.Storage]:
        """All storages."""
        return await self._parts.catalog.storages.all()

    async def show_storage(self, name: str) -> definitions.Storage:
        """One storage. Raises: UnknownNameError."""
        return await self._parts.catalog.storages.get(name)

    async def edit_storage(
        self,
        name: str,
        options: Mapping[str, OptionValue],
        password: str = "",
        *,
        typed: Mapping[str, Secret] | None = None,
    ) -> definitions.Storage:
        """Changes those options (None removes one), and the REF of the password where one is given. Raises: UnknownNameError."""
        old = await self._parts.catalog.storages.get(name)
        merged = {key: value for key, value in {**old.options, **options}.items() if value is not None}
        new = dataclasses.replace(old, options=merged, password=password or old.password)
        async with self.sealing(typed):
            await self._parts.catalog.storages.replace(new)
            await self._parts.write_down("storage edit", name)
        return new

    async def remove_storage(self, name: str) -> None:
        """Forgets a storage. The repository in it is left as it is. Raises: UnknownNameError."""
        await self._parts.catalog.storages.remove(name)
        await self._parts.write_down("storage remove", name)
        await self.warn_of_schedules(name, "storage")

    async def enable_storage(self, name: str, *, is_enabled: bool) -> None:
        """Switches a storage on or off. Raises: UnknownNameError."""
        old = await self._parts.catalog.storages.get(name)
        await self._parts.catalog.storages.replace(dataclasses.replace(old, is_enabled=is_enabled))
        await self._parts.write_down("storage enable" if is_enabled else "storage disable", name)

    async def make_default_storage(self, name: str) -> None:
        """Makes it the one that backups go to where none is named. Raises: UnknownNameError."""
        await self._parts.catalog.storages.make_default(name)
        await self._parts.write_down("storage make-default", name)

    async def test_storage(self, name: str) -> StorageTest:
        """Writes, reads back, lists and deletes; measures both ways. Raises: StorageError, naming what is missing."""
        from engine.service import repositories

        return await repositories.test(self._parts, name)

    async def storage_standings(self) -> Sequence[StorageStanding]:
        """How each storage stands, as the catalog and the last look know it. Connects to nothing."""
        from engine.service import standings

        return await standings.of_storages(self._parts)

    async def storage_loss(self, name: str) -> Loss:
        """What would be left if that storage were lost. Connects to nothing. Raises: UnknownNameError."""
        from engine.service import standings

        return await standings.of_loss(self._parts, name)

    async def storage_usage(self, name: str) -> StorageUsage:
        """What the storage holds. Raises: StorageError, RepositoryError."""
        from engine.service import repositories

        return await repositories.usage(self._parts, name)

    async def measure_storage(self, name: str) -> StorageUsage:
        """As `storage_usage`, and keeps the answer, so that `storage_standings` and metrics know it. Raises: StorageError, RepositoryError."""
        from engine.service import measured

        return await measured.ask(self._parts, name)

    async def storage_locks(self, name: str) -> Sequence[LockInfo]:
        """Who holds the repository, and what can be proved of them. Raises: StorageError, RepositoryError."""
        from engine.service import repositories

        return await repositories.locks(self._parts, name)

    async def unlock_storage(self, name: str, *, is_forced: bool = False) -> Sequence[LockInfo]:
        """Removes the locks whose holder is proved dead, or all; returns what was removed. Raises: StorageError."""
        from engine.service import repositories

        return await repositories.unlock(self._parts, name, is_forced=is_forced)

    async def rotate_storage_password(self, name: str, reference: str) -> str:
        """Changes the repository's password to the one that `reference` names, or a made one, which is returned this once.

        Raises: RefusedError where the new password is the old one; StorageError, RepositoryError: then the old one still opens it.
        """
        from engine.service import repositories

        return await repositories.rotate_password(self._parts, name, reference)

    async def recovery_kit(self, name: str) -> str:
        """All that is needed to restore without holdfast: where, the password, the stock restic command lines. Holds a secret."""
        from engine.service import repositories

        return await repositories.kit(self._parts, name)
