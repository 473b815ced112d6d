"""Storages, repositories and locks of a job, opened together and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import HoldfastError
from engine.jobs.context import JobContext
from engine.model import definitions
from engine.model.definitions import OptionValue
from engine.model.requests import Limits
from engine.model.secret import Secret
from engine.repository import lock
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository, open_repository
from engine.scope import task_scope
from engine.storages import registry
from engine.storages.base import OpenStorage


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
    Raises: the first error, where none could be opened. A lock that is lost later ends the body with LockLostError.
    """
    found = OpenedSet()
    async with AsyncExitStack() as stack:
        repositories: dict[str, Repository] = {}

        async def open_one(definition: definitions.Storage) -> None:
            try:
                repositories[definition.name] = await open_unlocked(context, definition, limits, stack)
            except HoldfastError as error:
                found.failed.append((definition.name, error))

        async with task_scope() as group:
            for definition in storages:
                group.create_task(open_one(definition))
        for definition in storages:
            repository = repositories.get(definition.name)
            if repository is None:
                continue
            try:
                holding = _lock(
                    context, repository, is_exclusive=is_exclusive, is_reading=is_reading, limits=limits
                )
                held = await stack.enter_async_context(holding)
                if is_loading_index:
                    await repository.load_index()
            except HoldfastError as error:
                found.failed.append((definition.name, error))
            else:
                found.opened.append(Opened(definition, repository, held))
        if not found.opened:
            raise found.failed[0][1]
        yield found


async def open_unlocked(
    context: JobContext, definition: definitions.Storage, limits: Limits, stack: AsyncExitStack
) -> Repository:
    """Opens one storage and its repository, without lock or index; closed with the stack. Raises: StorageError, RepositoryError, VaultError."""
    storage = await open_storage(context, definition, limits, stack)
    password = await context.secrets(definition.password)
    return await open_repository(storage, password, cache_directory=context.home.cache, clock=context.clock)


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
        emit=context.emit,
    )
    return await stack.enter_async_context(opening)


def _lock(
    context: JobContext, repository: Repository, *, is_exclusive: bool, is_reading: bool, limits: Limits
) -> AbstractAsyncContextManager[HeldLock]:
    """A shared lock is confirmed while the index is read; an exclusive one before anything."""
    if is_reading:
        return lock.hold_for_reading(
            repository, clock=context.clock, wait_s=limits.wait_lock_s, emit=context.emit
        )
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
