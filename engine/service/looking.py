"""A look at every storage: whether it answers, what room it has, who locks it. For those that nobody is asked about for days. And at hosts:
whether those that could not be reached are reached again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from engine.alerting import conditions
from engine.errors import HoldfastError, HostUnreachableError
from engine.hosts import registry
from engine.jobs import presence, storage_report
from engine.jobs.opening import open_unlocked
from engine.model.definitions import Host, Storage, retired_reason
from engine.model.requests import Limits
from engine.repository import lock
from engine.scope import task_scope
from engine.service import repositories
from engine.service.parts import Parts

_AT_ONCE: Final = 4
_HOSTS_AT_ONCE: Final = 10
_MOST_HOSTS: Final = 30
_TIMEOUT_S: Final = 60.0


async def look_at_storages(parts: Parts) -> Sequence[str]:
    """See `Engine.look_at_storages`."""
    turn = asyncio.Semaphore(_AT_ONCE)
    silent: list[str] = []

    async def look(storage: Storage) -> None:
        async with turn:
            found = await _look(parts, storage)
        await presence.keep_look(parts.catalog, found)
        if found.error:
            silent.append(storage.name)

    async with task_scope() as group:
        for each in await parts.catalog.storages.all():
            if each.is_enabled:
                group.create_task(look(each))
    return sorted(silent)


async def look_at_hosts(parts: Parts, *, is_all: bool = False) -> Sequence[str]:
    """See `Engine.look_at_hosts`."""
    silent = await presence.silent_hosts(parts.catalog)
    wanted = {each.host for each in await parts.catalog.sources.all()} if is_all else set(silent)
    hosts = [
        each for each in await parts.catalog.hosts.all() if each.name in wanted and not retired_reason(each)
    ]
    hosts = [each for each in hosts if each.kind != "local"]
    if not is_all:
        # Those that were tried longest ago: where a whole site is gone, nothing else may wait for all of it.
        hosts = sorted(hosts, key=lambda host: silent[host.name].seen_at)[:_MOST_HOSTS]
    turn = asyncio.Semaphore(_HOSTS_AT_ONCE)

    async def look(host: Host) -> None:
        async with turn:
            with contextlib.suppress(HoldfastError):
                await knock(parts, host)

    async with task_scope() as group:
        for each in hosts:
            group.create_task(look(each))
    names = {each.name for each in hosts}
    return sorted(name for name in await presence.silent_hosts(parts.catalog) if name in names)


async def knock(parts: Parts, host: Host) -> None:
    """Connects to a host and leaves; whether it was reached is written down. Raises: HostError and those below it, VaultError."""
    async with presence.noting_failure(parts.catalog, parts.clock, host):
        try:
            async with asyncio.timeout(_TIMEOUT_S), registry.open_host(host, resolve_secret=parts.secrets):
                pass
        except TimeoutError:
            said = f"host {host.name} did not answer within {_TIMEOUT_S:.0f} seconds"
            raise HostUnreachableError(said) from None
    await presence.host_answers(parts.catalog, parts.clock, host.name)


async def _look(parts: Parts, storage: Storage) -> conditions.StorageFacts:
    now = parts.clock.now()
    try:
        async with asyncio.timeout(_TIMEOUT_S), AsyncExitStack() as stack:
            opened = await open_unlocked(parts.context(), repositories.watched(storage), Limits(), stack)
            space = await opened.storage.space()
            locks = await lock.inspect(opened, clock=parts.clock)
    except TimeoutError:
        return await _silent(parts, storage, f"it did not answer within {_TIMEOUT_S:.0f} seconds", "")
    except HoldfastError as error:
        return await _silent(parts, storage, error.message, error.hint or "")
    return conditions.StorageFacts(
        storage.name,
        now,
        free_bytes=space.free_bytes,
        total_bytes=space.total_bytes,
        days_until_full=await _days_until_full(parts, storage.name, space.free_bytes, now),
        locks=[
            (f"{each.lock.username}@{each.lock.hostname}, process {each.lock.pid}", each.lock.time)
            for each in locks
            if each.lock is not None
        ],
    )


async def _silent(parts: Parts, storage: Storage, error: str, hint: str) -> conditions.StorageFacts:
    before = await parts.catalog.settings.get(presence.STORAGE_SEEN + storage.name)
    return presence.storage_failure(storage.name, error, hint, before, parts.clock.now())


async def _days_until_full(
    parts: Parts, storage: str, free_bytes: int | None, now: datetime.datetime
) -> float | None:
    added, span = await parts.catalog.backups.growth(storage, now - storage_report.GROWTH_WINDOW)
    if free_bytes is None or span is None:
        return None
    return storage_report.days_until_full(free_bytes, added, span)
