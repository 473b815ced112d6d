"""A look at every storage: whether it answers, what room it has, who locks it. For those that nobody is asked about for days."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from engine.alerting import conditions
from engine.errors import HoldfastError
from engine.jobs import storage_report
from engine.jobs.opening import open_unlocked
from engine.model.definitions import Storage
from engine.model.requests import Limits
from engine.repository import lock
from engine.scope import task_scope
from engine.service import repositories
from engine.service.facts import SEEN
from engine.service.parts import Parts

_AT_ONCE: Final = 4
_TIMEOUT_S: Final = 60.0


async def look_at_storages(parts: Parts) -> Sequence[str]:
    """See `Engine.look_at_storages`."""
    turn = asyncio.Semaphore(_AT_ONCE)
    silent: list[str] = []

    async def look(storage: Storage) -> None:
        async with turn:
            found = await _look(parts, storage)
        await parts.catalog.settings.put(SEEN + storage.name, conditions.to_object(found))
        if found.error:
            silent.append(storage.name)

    async with task_scope() as group:
        for each in await parts.catalog.storages.all():
            if each.is_enabled:
                group.create_task(look(each))
    return sorted(silent)


async def _look(parts: Parts, storage: Storage) -> conditions.StorageFacts:
    now = parts.clock.now()
    try:
        async with asyncio.timeout(_TIMEOUT_S), AsyncExitStack() as stack:
            opened = await open_unlocked(parts.context(), repositories.watched(storage), Limits(), stack)
            space = await opened.storage.space()
            locks = await lock.inspect(opened, clock=parts.clock)
    except TimeoutError:
        return conditions.StorageFacts(
            storage.name, now, f"it did not answer within {_TIMEOUT_S:.0f} seconds"
        )
    except HoldfastError as error:
        return conditions.StorageFacts(storage.name, now, error.message)
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


async def _days_until_full(
    parts: Parts, storage: str, free_bytes: int | None, now: datetime.datetime
) -> float | None:
    added, span = await parts.catalog.backups.growth(storage, now - storage_report.GROWTH_WINDOW)
    if free_bytes is None or span is None:
        return None
    return storage_report.days_until_full(free_bytes, added, span)
