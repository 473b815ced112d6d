"""Each shipment leaves a log snapshot; long before a forget comes they would be thousands. Now and then those that a newer one stands for go."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from engine.errors import HoldfastError
from engine.jobs import log_retention
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.definitions import Storage
from engine.model.requests import Limits

EVERY: Final = 200
"""So many come to a storage, of all sources together, before it is tidied."""
_AGAIN: Final = 20
"""Where it was in use: after so many more."""
_WRITTEN: Final = "log_snapshots."
"""The setting that holds how many came to a storage since."""


async def tidy(context: JobContext, storages: Iterable[Storage], written: int, limits: Limits) -> None:
    """Told that so many log snapshots came to each of these storages, removes what is superseded where that is due and nobody else is at work there.

    What goes wrong is left for the next time. The caller holds no lock. Raises: CatalogError.
    """
    if not written:
        return
    for storage in storages:
        name = _WRITTEN + storage.name
        known = await context.catalog.settings.get(name)
        count = (known if isinstance(known, int) else 0) + written
        if count >= EVERY:
            count = 0 if await _tidy(context, storage, limits) else EVERY - _AGAIN
        await context.catalog.settings.put(name, count, is_lasting=False)


async def _tidy(context: JobContext, storage: Storage, limits: Limits) -> bool:
    """Whether it was done, or need not be."""
    opening = open_repositories(
        context, [storage], is_exclusive=True, limits=dataclasses.replace(limits, wait_lock_s=0.0)
    )
    try:
        async with opening as opened:
            found = opened.opened[0]
            if not found.repository.storage.traits.append_only:
                snapshots = await found.repository.snapshots(is_memory_enough=True)
                await log_retention.cut(context, found, snapshots, None)
    except HoldfastError:
        return False
    return True
