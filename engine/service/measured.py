"""What was last measured of each storage, and whether it answered: kept in the catalog, so that whoever asks often need not connect."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.alerting import conditions
from engine.catalog.catalog import Catalog
from engine.errors import HoldfastError, NoRepositoryError, StorageError, StorageUnreachableError
from engine.jobs import presence
from engine.model.storage_results import StorageUsage
from engine.service.parts import Parts

_SETTING: Final = "storage-measured."
_MOST_S: Final = 120.0
"""How long each storage may take to tell."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A storage as it was when it was last asked."""

    storage: str
    asked_at: datetime.datetime
    is_reachable: bool
    """Whether it answered then."""
    measured_at: datetime.datetime | None
    """When the figures are from: the last time that it answered."""
    used_bytes: int | None = None
    free_bytes: int | None = None
    days_until_full: float | None = None


async def ask(parts: Parts, name: str) -> StorageUsage:
    """Asks a storage what it holds, and keeps the answer, or that there was none. Raises: StorageError, RepositoryError."""
    from engine.service import repositories

    try:
        usage = await repositories.usage(parts, name)
    except HoldfastError as error:
        await remember_failure(parts, name, error)
        raise
    await remember(parts, usage)
    return usage


async def ask_all(parts: Parts) -> None:
    """Asks those that are switched on, one after the other; one that does not answer is no error here."""
    for storage in await parts.catalog.storages.all():
        if storage.is_enabled:
            try:
                async with asyncio.timeout(_MOST_S):
                    await ask(parts, storage.name)
            except TimeoutError:
                slow = StorageUnreachableError(
                    f"storage {storage.name} did not answer in {_MOST_S:g} seconds"
                )
                await remember_failure(parts, storage.name, slow)
            except HoldfastError:
                continue


async def remember(parts: Parts, usage: StorageUsage) -> None:
    """Keeps what was measured."""
    now, free = parts.clock.now(), usage.free_bytes
    await keep(
        parts.catalog, Measured(usage.storage, now, True, now, usage.used_bytes, free, usage.days_until_full)
    )


async def keep(catalog: Catalog, found: Measured) -> None:
    """Keeps figures as they are."""
    figures = {
        "asked_at": found.asked_at.isoformat(),
        "is_reachable": found.is_reachable,
        "measured_at": found.measured_at.isoformat() if found.measured_at else None,
        "used_bytes": found.used_bytes,
        "free_bytes": found.free_bytes,
        "days_until_full": found.days_until_full,
    }
    await catalog.settings.put(_SETTING + found.storage, figures)


async def remember_failure(parts: Parts, storage: str, error: HoldfastError) -> None:
    """Keeps that it did not answer, where that is what the error says; the figures of before stay."""
    if isinstance(error, StorageError | NoRepositoryError):
        before = await parts.catalog.settings.get(_SETTING + storage) or {}
        asked = {"asked_at": parts.clock.now().isoformat(), "is_reachable": False}
        await parts.catalog.settings.put(_SETTING + storage, {**before, **asked})


async def measured(parts: Parts, storage: str) -> Measured | None:
    """What was found when it was last asked, by whoever asked; None where it never was."""
    kept = await parts.catalog.settings.get(_SETTING + storage)
    ours = _measured(storage, kept) if kept is not None else None
    seen = await parts.catalog.settings.get(presence.STORAGE_SEEN + storage)
    theirs = conditions.from_object(storage, seen) if seen else None
    if theirs is None or (ours is not None and ours.asked_at >= theirs.seen_at):
        return ours
    found = ours or Measured(storage, theirs.seen_at, False, None)
    if theirs.error:
        return dataclasses.replace(found, asked_at=theirs.seen_at, is_reachable=False)
    return dataclasses.replace(
        found,
        asked_at=theirs.seen_at,
        is_reachable=True,
        free_bytes=theirs.free_bytes,
        days_until_full=theirs.days_until_full,
    )


def _measured(storage: str, kept: Mapping[str, Any]) -> Measured:
    return Measured(
        storage,
        datetime.datetime.fromisoformat(kept["asked_at"]),
        kept["is_reachable"],
        datetime.datetime.fromisoformat(kept["measured_at"]) if kept.get("measured_at") else None,
        kept.get("used_bytes"),
        kept.get("free_bytes"),
        kept.get("days_until_full"),
    )
