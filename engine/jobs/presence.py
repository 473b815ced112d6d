"""Whether hosts and storages answer, as jobs and looks find it: written down for status and alerts, which connect to nothing.

Of a host there is a record only while it cannot be reached. That of a storage is made by the looks, which find more; a job writes down that it
does not answer, and takes that back when it does.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from engine.alerting import conditions
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.errors import CatalogError, HoldfastError, HostError, NoRepositoryError, StorageError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host

HOST_SEEN = "host-seen."
STORAGE_SEEN = "storage-seen."
"""Settings that begin so, with the name behind, hold what was found last."""


@asynccontextmanager
async def noting_failure(catalog: Catalog, clock: Clock, host: Host, job_id: str = "") -> AsyncIterator[None]:
    """Round the opening of a host: that it cannot be reached is written down, and passes on."""
    try:
        yield
    except HostError as error:
        with contextlib.suppress(CatalogError):
            await _host_failed(catalog, clock, host, error, job_id)
        raise


@asynccontextmanager
async def reaching(
    catalog: Catalog,
    clock: Clock,
    host: Host,
    opening: AbstractAsyncContextManager[OpenHost],
    job_id: str = "",
) -> AsyncIterator[OpenHost]:
    """Opens a host, and writes down whether it was reached; what goes wrong afterwards says nothing of that. Raises: as `opening`."""
    async with AsyncExitStack() as stack:
        async with noting_failure(catalog, clock, host, job_id):
            opened = await stack.enter_async_context(opening)
        with contextlib.suppress(CatalogError):
            await forget_host(catalog, host.name)
        yield opened


async def _host_failed(catalog: Catalog, clock: Clock, host: Host, error: HostError, job_id: str) -> None:
    if host.kind == "local":
        return
    before = await catalog.settings.get(HOST_SEEN + host.name)
    since, first_job = _first(before, clock.now(), job_id)
    found = conditions.HostFacts(host.name, since, clock.now(), error.message, error.hint or "", first_job)
    await catalog.settings.put(HOST_SEEN + host.name, conditions.host_to_object(found))


async def forget_host(catalog: Catalog, name: str) -> None:
    """It is reached, or no more of interest. Writes only where there is something to forget."""
    if await catalog.settings.get(HOST_SEEN + name) is not None:
        await catalog.settings.put(HOST_SEEN + name, None)


async def silent_hosts(catalog: Catalog) -> dict[str, conditions.HostFacts]:
    """Those that could not be reached when it was last tried; some may not be defined any more."""
    return {
        name: conditions.host_from_object(name, kept)
        for name, kept in (await catalog.settings.beginning(HOST_SEEN)).items()
    }


async def note_storage(
    catalog: Catalog, clock: Clock, name: str, error: HoldfastError | None, job_id: str = ""
) -> None:
    """Writes down that a storage did not answer a job, or that it did after all; other errors say nothing of that."""
    before = await catalog.settings.get(STORAGE_SEEN + name)
    if error is None and before is not None and before["error"]:
        await catalog.settings.put(STORAGE_SEEN + name, None)
    elif isinstance(error, StorageError | NoRepositoryError):
        found = storage_failure(name, error.message, error.hint or "", before, clock.now(), job_id)
        await catalog.settings.put(STORAGE_SEEN + name, conditions.to_object(found))


def storage_failure(
    name: str,
    error: str,
    hint: str,
    before: Mapping[str, Any] | None,
    now: datetime.datetime,
    job_id: str = "",
) -> conditions.StorageFacts:
    """What is to be written down of a storage that does not answer; `before` is what is."""
    since, first_job = _first(before if before and before["error"] else None, now, job_id)
    return conditions.StorageFacts(name, now, error, hint=hint, since=since, job_id=first_job)


def _first(
    before: Mapping[str, Any] | None, now: datetime.datetime, job_id: str
) -> tuple[datetime.datetime, str]:
    """Since when it does not answer, and the job that found it."""
    if before is None:
        return now, job_id
    return datetime.datetime.fromisoformat(before.get("since") or before["at"]), before.get("job_id", "")
