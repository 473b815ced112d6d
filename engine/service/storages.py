"""Storages: added, tested, measured, unlocked; their keys and the recovery kit."""

from __future__ import annotations

import dataclasses
import secrets
import string
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from engine.errors import HoldfastError, NoRepositoryError, RefusedError, UsageError
from engine.jobs import recovery_kit, storage_report
from engine.jobs.opening import open_unlocked
from engine.model import definitions
from engine.model.definitions import OptionValue
from engine.model.names import check_name
from engine.model.requests import Limits
from engine.model.results import StorageCreated, StorageTest, StorageUsage
from engine.model.secret import Secret
from engine.repository import keys, lock, repository
from engine.repository.keys import Kdf
from engine.repository.lock_verdicts import LockInfo
from engine.repository.repository import Repository
from engine.service.parts import Methods
from engine.storages import registry
from engine.storages.base import Kind

_PASSWORD_LETTERS = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 40
"""About 238 bits."""


class StorageMethods(Methods):
    """Storages, and the repository in each."""

    async def add_storage(self, storage: definitions.Storage, *, is_default: bool = False) -> StorageCreated:
        """Defines a storage: makes its repository, or opens the one that is there. Without a password REF a strong password is made, sealed
        in the vault, and returned this once. Raises: UsageError, WrongPasswordError, StorageError; then nothing is defined.
        """
        check_name("storage", storage.name)
        if any(each.name == storage.name for each in await self._parts.catalog.storages.all()):
            raise UsageError(f"there is a storage named {storage.name} already", hint="choose another name")
        made = (
            ""
            if storage.password
            else "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))
        )
        password = Secret(made) if made else await self._parts.secrets(storage.password)
        if not password.reveal():
            raise UsageError("the password is empty", hint="leave --password out and a strong one is made")
        async with AsyncExitStack() as stack:
            opening = registry.open_storage(
                storage.kind, storage.options, clock=self._parts.clock, emit=self._parts.emit
            )
            opened = await stack.enter_async_context(opening)
            is_new, found = False, None
            try:
                found = await repository.open_repository(
                    opened, password, cache_directory=self._parts.home.cache, clock=self._parts.clock
                )
            except NoRepositoryError:
                polynomial = await self._polynomial()
                found = await repository.create(
                    opened,
                    password,
                    clock=self._parts.clock,
                    polynomial_=polynomial,
                    cache_directory=self._parts.home.cache,
                )
                is_new = True
            location = found.location
        reference = storage.password
        if made or reference == "-":
            reference = f"vault:storage.{storage.name}"
            await self._parts.vault.set(f"storage.{storage.name}", password)
        kept = dataclasses.replace(
            storage, password=reference, repository_id=found.id, is_default=is_default or storage.is_default
        )
        await self._parts.catalog.storages.add(kept)
        await self._parts.write_down("storage add", storage.name)
        return StorageCreated(storage.name, location, found.id, is_new, made)

    async def storages(self) -> Sequence[definitions.Storage]:
        """All storages."""
        return await self._parts.catalog.storages.all()

    async def show_storage(self, name: str) -> definitions.Storage:
        """One storage. Raises: UnknownNameError."""
        return await self._parts.catalog.storages.get(name)

    async def edit_storage(
        self, name: str, options: Mapping[str, OptionValue], password: str = ""
    ) -> definitions.Storage:
        """Changes those options (None removes one), and the REF of the password where one is given. Raises: UnknownNameError."""
        old = await self._parts.catalog.storages.get(name)
        merged = {key: value for key, value in {**old.options, **options}.items() if value is not None}
        new = dataclasses.replace(old, options=merged, password=password or old.password)
        await self._parts.catalog.storages.replace(new)
        await self._parts.write_down("storage edit", name)
        return new

    async def remove_storage(self, name: str) -> None:
        """Forgets a storage. The repository in it is left as it is. Raises: UnknownNameError."""
        await self._parts.catalog.storages.remove(name)
        await self._parts.write_down("storage remove", name)

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
        definition = await self._parts.catalog.storages.get(name)
        async with AsyncExitStack() as stack:
            opening = registry.open_storage(definition.kind, definition.options, clock=self._parts.clock)
            opened = await stack.enter_async_context(opening)
            return await storage_report.test(name, opened, self._parts.clock)

    async def storage_usage(self, name: str) -> StorageUsage:
        """What the storage holds. Raises: StorageError, RepositoryError."""
        async with AsyncExitStack() as stack:
            found = await self._open_repository(name, stack)
            counted = await self._parts.catalog.backups.count_by_storage()
            return await storage_report.usage(name, found, counted.get(name, 0))

    async def storage_locks(self, name: str) -> Sequence[LockInfo]:
        """Who holds the repository, and what can be proved of them. Raises: StorageError, RepositoryError."""
        async with AsyncExitStack() as stack:
            return await lock.inspect(await self._open_repository(name, stack), clock=self._parts.clock)

    async def unlock_storage(self, name: str, *, is_forced: bool = False) -> Sequence[LockInfo]:
        """Removes the locks whose holder is proved dead, or all; returns what was removed. Raises: StorageError."""
        async with AsyncExitStack() as stack:
            found = await self._open_repository(name, stack)
            if is_forced:
                removed = await lock.inspect(found, clock=self._parts.clock)
                for each in removed:
                    await found.delete(Kind.LOCK, each.name)
            else:
                removed = await lock.remove_stale(found, clock=self._parts.clock)
        await self._parts.write_down("storage unlock", name, detail=f"{len(removed)} locks")
        return removed

    async def rotate_storage_password(self, name: str, reference: str) -> str:
        """Changes the repository's password to the one that `reference` names, or a made one, which is returned this once.

        Raises: RefusedError where the new password is the old one; StorageError, RepositoryError: then the old one still opens it.
        """
        definition = await self._parts.catalog.storages.get(name)
        made = (
            "" if reference else "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))
        )
        new = Secret(made) if made else await self._parts.secrets(reference)
        old = await self._parts.secrets(definition.password)
        if new == old:
            raise RefusedError(f"the new password of {name} is the old one", hint="choose another")
        async with AsyncExitStack() as stack:
            found = await self._open_repository(name, stack)
            is_in_vault = bool(made) or reference == "-"
            kept = f"vault:storage.{name}" if is_in_vault else reference
            # Both passwords open it while the change is made: at no instant is the one that we keep without a key.
            await keys.add(found.storage, found.master, new, clock=self._parts.clock, kdf=Kdf())
            if is_in_vault:
                await self._parts.vault.set(f"storage.{name}", new)
            await self._parts.catalog.storages.replace(dataclasses.replace(definition, password=kept))
            held = await stack.enter_async_context(lock.hold(found, exclusive=True, clock=self._parts.clock))
            await held.assert_held()
            reopened = await self._open_repository(name, stack)
            await keys.remove(reopened.storage, found.key_name, current=reopened.key_name)
        await self._parts.write_down("storage rotate-password", name)
        return made

    async def recovery_kit(self, name: str) -> str:
        """All that is needed to restore without holdfast: where, the password, the stock restic command lines. Holds a secret."""
        definition = await self._parts.catalog.storages.get(name)
        password = await self._parts.secrets(definition.password)
        async with AsyncExitStack() as stack:
            found = await self._open_repository(name, stack)
            text = recovery_kit.text(definition, found, password, self._parts.clock.now())
        await self._parts.write_down("storage recovery-kit", name)
        return text

    async def _open_repository(self, name: str, stack: AsyncExitStack) -> Repository:
        definition = await self._parts.catalog.storages.get(name)
        return await open_unlocked(self._parts.context(), definition, Limits(), stack)

    async def _polynomial(self) -> int | None:
        """That of a storage of this home, so that one cutting serves all; None where there is none that opens."""
        for definition in await self._parts.catalog.storages.all():
            async with AsyncExitStack() as stack:
                try:
                    found = await open_unlocked(self._parts.context(), definition, Limits(), stack)
                except HoldfastError:
                    continue
                return found.config.chunker_polynomial
        return None
