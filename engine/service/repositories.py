"""The repository of a storage: made, measured, unlocked, given another password. Loaded with the repository engine, when it is needed."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import secrets
import string
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from engine.errors import HoldfastError, RefusedError, UsageError
from engine.events import Warned
from engine.jobs import recovery_kit, storage_report
from engine.jobs.opening import open_or_create, open_storage, open_unlocked, storage_secrets
from engine.model import definitions
from engine.model.names import check_name
from engine.model.requests import Limits
from engine.model.secret import Secret
from engine.model.storage_results import StorageCreated, StorageTest, StorageUsage
from engine.repository import keys, lock
from engine.repository.keys import Kdf
from engine.repository.lock_verdicts import LockInfo
from engine.repository.repository import Repository
from engine.service.parts import Parts
from engine.storages.base import Kind

_PASSWORD_LETTERS = string.ascii_letters + string.digits
_ASKED_S = 20.0
"""How long another storage is asked for its chunker polynomial."""
_WATCHED_RETRY_S = 5
"""How long an address is tried that does not answer, while somebody waits."""
_PASSWORD_LENGTH = 40
"""About 238 bits."""


async def add(parts: Parts, storage: definitions.Storage, *, is_default: bool = False) -> StorageCreated:
    """See `Engine.add_storage`."""
    check_name("storage", storage.name)
    if any(each.name == storage.name for each in await parts.catalog.storages.all()):
        raise UsageError(f"there is a storage named {storage.name} already", hint="choose another name")
    kept, created = await prepare(parts, storage)
    await parts.catalog.storages.add(dataclasses.replace(kept, is_default=is_default or storage.is_default))
    await parts.write_down("storage add", storage.name)
    return created


async def prepare(
    parts: Parts, storage: definitions.Storage, hosts: Mapping[str, definitions.Host] | None = None
) -> tuple[definitions.Storage, StorageCreated]:
    """Opens or makes the repository of a storage that is about to be defined, on one of these hosts or one that is defined; what is to be defined.

    A password that is made is sealed in the vault. Raises: UsageError, WrongPasswordError, VaultError, StorageError.
    """
    made = (
        ""
        if storage.password
        else "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))
    )
    password = Secret(made) if made else await parts.secrets(storage.password)
    if not password.reveal():
        raise UsageError("the password is empty", hint="leave --password out and a strong one is made")
    async with AsyncExitStack() as stack:
        found, is_new = await open_or_create(
            dataclasses.replace(parts.context(), hosts=hosts or {}),
            watched(storage),
            password,
            Limits(),
            stack,
            functools.partial(_polynomial, parts),
        )
        location = found.location
    if not is_new:
        await _say_if_cut_otherwise(parts, storage.name, found)
    reference = storage.password
    if made or reference == "-":
        reference = f"vault:storage.{storage.name}"
        await parts.vault.set(f"storage.{storage.name}", password)
    kept = dataclasses.replace(storage, password=reference, repository_id=found.id)
    return kept, StorageCreated(storage.name, location, found.id, is_new, made)


def watched(storage: definitions.Storage) -> definitions.Storage:
    """The storage as it is opened for somebody who waits for the answer: an address that is wrong is told after seconds, not a quarter of an hour."""
    return dataclasses.replace(storage, options={"retry_limit": _WATCHED_RETRY_S, **storage.options})


async def test(parts: Parts, name: str) -> StorageTest:
    """See `Engine.test_storage`."""
    definition = await parts.catalog.storages.get(name)
    async with AsyncExitStack() as stack:
        opened = await open_storage(parts.context(), watched(definition), Limits(), stack)
        return await storage_report.test(name, opened, parts.clock)


async def usage(parts: Parts, name: str) -> StorageUsage:
    """See `Engine.storage_usage`."""
    async with AsyncExitStack() as stack:
        found = await _open(parts, name, stack)
        counted = await parts.catalog.backups.count_by_storage()
        logs = await storage_report.logs_in(parts.catalog)
        measured = await storage_report.usage(name, found, counted.get(name, 0), logs.get(name, ()))
    now = parts.clock.now()
    added, span = await parts.catalog.backups.growth(name, now - storage_report.GROWTH_WINDOW)
    return storage_report.with_growth(measured, added, span)


async def locks(parts: Parts, name: str) -> Sequence[LockInfo]:
    """See `Engine.storage_locks`."""
    async with AsyncExitStack() as stack:
        return await lock.inspect(await _open(parts, name, stack), clock=parts.clock)


async def unlock(parts: Parts, name: str, *, is_forced: bool = False) -> Sequence[LockInfo]:
    """See `Engine.unlock_storage`."""
    async with AsyncExitStack() as stack:
        found = await _open(parts, name, stack)
        if is_forced:
            removed = await lock.inspect(found, clock=parts.clock)
            for each in removed:
                await found.delete(Kind.LOCK, each.name)
        else:
            removed = await lock.remove_stale(found, clock=parts.clock)
    await parts.write_down("storage unlock", name, detail=f"{len(removed)} locks")
    return removed


async def rotate_password(parts: Parts, name: str, reference: str) -> str:
    """See `Engine.rotate_storage_password`."""
    definition = await parts.catalog.storages.get(name)
    made = "" if reference else "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))
    new = Secret(made) if made else await parts.secrets(reference)
    old = await parts.secrets(definition.password)
    if new == old:
        raise RefusedError(f"the new password of {name} is the old one", hint="choose another")
    async with AsyncExitStack() as stack:
        found = await _open(parts, name, stack)
        # Taken first: a lock that is in the way must be found while nothing is changed.
        held = await stack.enter_async_context(lock.hold(found, exclusive=True, clock=parts.clock))
        is_in_vault = bool(made) or reference == "-"
        kept = f"vault:storage.{name}" if is_in_vault else reference
        # Both passwords open it while the change is made: at no instant is the one that we keep without a key.
        await keys.add(found.storage, found.master, new, clock=parts.clock, kdf=Kdf())
        if is_in_vault:
            await parts.vault.set(f"storage.{name}", new)
        await parts.catalog.storages.replace(dataclasses.replace(definition, password=kept))
        await held.assert_held()
        reopened = await _open(parts, name, stack)
        await keys.remove(reopened.storage, found.key_name, current=reopened.key_name)
    await parts.write_down("storage rotate-password", name)
    return made


async def kit(parts: Parts, name: str) -> str:
    """See `Engine.recovery_kit`."""
    definition = await parts.catalog.storages.get(name)
    password = await parts.secrets(definition.password)
    async with AsyncExitStack() as stack:
        found = await _open(parts, name, stack)
        text = recovery_kit.text(
            definition,
            recovery_kit.place_of(found, await parts.vault.newest_key(), await _sources_in(parts, name)),
            password,
            await storage_secrets(parts.context(), definition.options),
            parts.clock.now(),
        )
    with parts.noting(
        "that the kit was shown is not in the audit log"
    ):  # whoever needs it most may have a full disk
        await parts.write_down("storage recovery-kit", name)
    return text


async def _sources_in(parts: Parts, storage: str) -> list[definitions.Source]:
    """The sources whose newest backup the storage holds; of one that is forgotten nothing but its name is known."""
    defined = {each.name: each for each in await parts.catalog.sources.all()}
    newest = await parts.catalog.backups.newest_of_each_source()
    names = {
        each.source
        for each in newest
        if any(copy.storage == storage and copy.snapshot_id for copy in each.copies)
    }
    return [defined.get(name, definitions.Source(name, "")) for name in sorted(names)]


async def _open(parts: Parts, name: str, stack: AsyncExitStack) -> Repository:
    definition = await parts.catalog.storages.get(name)
    return await open_unlocked(parts.context(), definition, Limits(), stack)


async def _say_if_cut_otherwise(parts: Parts, name: str, found: Repository) -> None:
    """What becomes of one cutting for all when a repository is taken in that was made elsewhere."""
    others = await _polynomial(parts)
    if others not in (None, found.config.chunker_polynomial):
        parts.emit(
            Warned(
                f"{name} cuts files in another way than the other storages: what is backed up to it by itself and what is backed up to several "
                "share nothing of files over 512 KiB, so name the same storages each time"
            )
        )


async def _polynomial(parts: Parts) -> int | None:
    """That of a storage of this home, so that one cutting serves all; None, which is told, where there are some and none opens."""
    found = await parts.catalog.storages.all()
    for definition in found:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_ASKED_S):
                    opened = await open_unlocked(parts.context(), definition, Limits(), stack)
            except (HoldfastError, TimeoutError):
                continue
            return opened.config.chunker_polynomial
    if found:
        parts.emit(
            Warned(
                "no other storage can be opened now, so that this one cuts files by itself: what is backed up to it and to others takes more room"
            )
        )
    return None
