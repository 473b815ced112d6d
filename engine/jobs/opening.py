"""Storages, repositories and locks of a job, opened together and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from engine.errors import (
    CatalogError,
    HoldfastError,
    NoRepositoryError,
    RefusedError,
    StorageDeniedError,
    StorageReadOnlyError,
    StorageUnreachableError,
)
from engine.events import Warned
from engine.jobs import presence
from engine.jobs.context import JobContext
from engine.model import definitions
from engine.model.definitions import OptionValue
from engine.model.requests import Limits
from engine.model.secret import Secret
from engine.repository import lock
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository, create, open_repository
from engine.scope import task_scope
from engine.storages import registry
from engine.storages.base import OpenStorage, Reach

LATE_S: Final = 60.0
"""So long the others wait for a storage that does not answer, and that is asked again and again for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A storage whose repository is open and locked."""

    definition: definitions.Storage
    repository: Repository
    lock: HeldLock


@dataclass(slots=True)
class OpenedSet:
    """The storages of a job: those that opened, and why the others did not."""

    opened: list[Opened] = field(default_factory=list)
    failed: list[tuple[str, HoldfastError]] = field(default_factory=list)


@asynccontextmanager
async def open_repositories(
    context: JobContext,
    storages: Sequence[definitions.Storage],
    *,
    is_exclusive: bool,
    limits: Limits,
    is_loading_index: bool = True,
    is_reading: bool = False,
) -> AsyncIterator[OpenedSet]:
    """Opens all of them at once, each with its lock held, and its index loaded unless the body does that itself.

    With `is_reading` the body writes nothing, so that a read-only storage will do.
    Raises: the first error, where none could be opened. A lock that is lost later ends the body with LockLostError; but where several
    storages are written to side by side, only what is asked of that lock then raises, and one that answers much later than the others
    has failed.
    """
    found = OpenedSet()
    # Exclusive work is one storage's after the other; what is read is read from one.
    is_any_enough = len(storages) > 1 and not is_exclusive and not is_reading
    async with AsyncExitStack() as stack:
        repositories = await _open_all(context, storages, limits, stack, found, is_hurried=is_any_enough)
        await _note(context, storages, found)
        for definition in storages:
            repository = repositories.get(definition.name)
            if repository is None:
                continue
            holding = _lock(
                context,
                repository,
                is_exclusive=is_exclusive,
                is_reading=is_reading,
                limits=limits,
                is_beside=is_any_enough,
            )
            try:
                is_hurried = is_any_enough and len(repositories) > 1
                async with asyncio.timeout(LATE_S + limits.wait_lock_s if is_hurried else None):
                    await _clear_dead_locks(context, repository)
                    held = await stack.enter_async_context(holding)
            except HoldfastError as error:
                found.failed.append((definition.name, error))
            except TimeoutError:
                found.failed.append((definition.name, _late(definition)))
            else:
                found.opened.append(Opened(definition, repository, held))
        if is_loading_index:
            await _load_indexes(found)
        if not found.opened:
            raise found.failed[0][1]
        yield found


async def _open_all(
    context: JobContext,
    storages: Sequence[definitions.Storage],
    limits: Limits,
    stack: AsyncExitStack,
    found: OpenedSet,
    *,
    is_hurried: bool,
) -> Mapping[str, Repository]:
    """The repositories that could be opened, by storage. With `is_hurried` one that is open is not kept waiting for the others for long."""
    repositories: dict[str, Repository] = {}
    is_one_open = asyncio.Event()

    async def open_one(definition: definitions.Storage) -> None:
        try:
            repositories[definition.name] = await open_unlocked(context, definition, limits, stack)
            is_one_open.set()
        except HoldfastError as error:
            found.failed.append((definition.name, error))

    async def hurry(opening: Mapping[str, asyncio.Task[None]]) -> None:
        await is_one_open.wait()
        await asyncio.sleep(LATE_S)
        for definition in storages:
            if not opening[definition.name].done():
                opening[definition.name].cancel()
                found.failed.append((definition.name, _late(definition)))

    async with task_scope() as waiting:
        async with task_scope() as group:
            opening = {each.name: group.create_task(open_one(each)) for each in storages}
            hurrying = waiting.create_task(hurry(opening)) if is_hurried else None
        if hurrying is not None:
            hurrying.cancel()
    return repositories


async def _note(context: JobContext, storages: Sequence[definitions.Storage], found: OpenedSet) -> None:
    """Which of them answered, for alerts."""
    failed = dict(found.failed)
    with suppress(CatalogError):
        for each in storages:
            why = failed.get(each.name)
            await presence.note_storage(context.catalog, context.clock, each.name, why, context.job_id)


async def _load_indexes(found: OpenedSet) -> None:
    """Of all at once; whose cannot be read has failed."""

    async def load(opened: Opened) -> None:
        try:
            await opened.repository.load_index()
        except HoldfastError as error:
            found.failed.append((opened.definition.name, error))

    async with task_scope() as group:
        for each in found.opened:
            group.create_task(load(each))
    failed = {name for name, _ in found.failed}
    found.opened = [each for each in found.opened if each.definition.name not in failed]


def _late(definition: definitions.Storage) -> StorageUnreachableError:
    return StorageUnreachableError(
        f"storage {definition.name} did not answer within {LATE_S:.0f} s of the others"
    )


def require_deleting(found: Opened) -> None:
    """Raises: RefusedError where the storage deletes nothing: to find that out half-way would leave half a job."""
    if found.repository.storage.traits.append_only:
        raise RefusedError(
            f"storage {found.definition.name} is append-only: nothing is removed from it",
            hint="its own administrator has to, or its retention must run out; nothing was changed",
        )


async def open_unlocked(
    context: JobContext, definition: definitions.Storage, limits: Limits, stack: AsyncExitStack
) -> Repository:
    """Opens one storage and its repository, without lock or index; closed with the stack. Raises: StorageError, RepositoryError, VaultError."""
    storage = await open_storage(context, definition, limits, stack)
    password = await context.secrets(definition.password)
    return await open_repository(
        storage,
        password,
        cache_directory=context.home.cache,
        clock=context.clock,
        known=context.known_keys,
    )


async def open_or_create(
    context: JobContext,
    definition: definitions.Storage,
    password: Secret,
    limits: Limits,
    stack: AsyncExitStack,
    polynomial: Callable[[], Awaitable[int | None]],
) -> tuple[Repository, bool]:
    """The repository of a storage, and whether it was made just now; closed with the stack. `polynomial` is asked for that of a new one.

    Raises: StorageError, RepositoryError.
    """
    storage = await open_storage(context, definition, limits, stack)
    cache, clock = context.home.cache, context.clock
    try:
        return await open_repository(storage, password, cache_directory=cache, clock=clock), False
    except NoRepositoryError:
        pass
    chosen = await polynomial()
    made = await create(storage, password, clock=clock, polynomial_=chosen, cache_directory=cache)
    return made, True


async def open_storage(
    context: JobContext, definition: definitions.Storage, limits: Limits, stack: AsyncExitStack
) -> OpenStorage:
    """Opens one storage as it is defined, whatever lies there; closed with the stack. Raises: StorageError, VaultError, ConfigurationError."""
    options = {**definition.options, **_limit_options(limits)}
    if _limit_options(limits):
        options.pop("limit_hours", None)  # what is asked of one job holds all the time
    opening = registry.open_storage(
        definition.kind,
        options,
        clock=context.clock,
        secrets=await storage_secrets(context, options),
        reach=await _reach(context, options),
        emit=context.emit,
    )
    return await stack.enter_async_context(opening)


async def _reach(context: JobContext, options: Mapping[str, OptionValue]) -> Reach | None:
    """The host that the storage lies on. Raises: UnknownNameError."""
    name = options.get("host")
    if not isinstance(name, str):
        return None
    return Reach(context.hosts.get(name) or await context.catalog.hosts.get(name), context.secrets)


async def _clear_dead_locks(context: JobContext, repository: Repository) -> None:
    """Where nobody looks on: takes away the locks of processes that are proved dead, as `storage unlock` does. Raises: StorageError."""
    if not context.is_unattended:
        return
    with suppress(StorageReadOnlyError, StorageDeniedError):
        for each in await lock.remove_stale(repository, clock=context.clock):
            context.emit(Warned(f"a lock at {repository.location} was removed: {each.reason}"))


def _lock(
    context: JobContext,
    repository: Repository,
    *,
    is_exclusive: bool,
    is_reading: bool,
    limits: Limits,
    is_beside: bool,
) -> AbstractAsyncContextManager[HeldLock]:
    """A shared lock is confirmed while the index is read; an exclusive one before anything."""
    if is_reading:
        return lock.hold_for_reading(
            repository, clock=context.clock, wait_s=limits.wait_lock_s, emit=context.emit
        )
    if is_beside:
        return lock.hold_beside(repository, clock=context.clock, wait_s=limits.wait_lock_s, emit=context.emit)
    return lock.hold(
        repository,
        exclusive=is_exclusive,
        wait_s=limits.wait_lock_s,
        clock=context.clock,
        is_confirmed_first=is_exclusive,
        emit=context.emit,
    )


def _limit_options(limits: Limits) -> Mapping[str, OptionValue]:
    options: dict[str, OptionValue] = {}
    if limits.upload_kib_s is not None:
        options["limit_upload"] = limits.upload_kib_s
    if limits.download_kib_s is not None:
        options["limit_download"] = limits.download_kib_s
    return options


async def storage_secrets(context: JobContext, options: Mapping[str, OptionValue]) -> Mapping[str, Secret]:
    """The secrets of those options that are REFs; a kind of storage names them by the ending `_ref`."""
    found = {}
    for name, value in options.items():
        if name.endswith("_ref") and isinstance(value, str):
            found[name.removesuffix("_ref")] = await context.secrets(value)
    return found
