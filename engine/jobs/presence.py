"""Whether hosts and storages answer, as jobs and looks find it: written down for status and alerts, which connect to nothing.

Of a host there is a record only while it cannot be reached. That of a storage is made by the looks, which find more; a job writes down that it
does not answer, and takes that back when it does.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.alerting import conditions
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.errors import CatalogError, HoldfastError, HostError, NoRepositoryError, StorageError
from engine.model.definitions import Host
from engine.model.status import Absence

if TYPE_CHECKING:
    from engine.hosts.base import OpenHost

HOST_SEEN = "host-seen."
STORAGE_SEEN = "storage-seen."
"""Settings that begin so, with the name behind, hold what was found last."""
_BACK = "back."
HOST_BACK = f"{_BACK}host."
STORAGE_BACK = f"{_BACK}storage."
"""Settings that begin so hold when something was silent last that answers now: what was missed meanwhile is made up for, or said to be."""


@dataclass(frozen=True, slots=True)
class Return:
    """A host or a storage that could not be reached, and is now."""

    span: Absence
    is_made_up: bool
    """Whether schedules have made up for what they missed."""


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
            await host_answers(catalog, clock, host.name)
        yield opened


async def _host_failed(catalog: Catalog, clock: Clock, host: Host, error: HostError, job_id: str) -> None:
    if host.kind == "local":
        return
    before = await catalog.settings.get(HOST_SEEN + host.name)
    since, first_job = _first(before, clock.now(), job_id)
    found = conditions.HostFacts(host.name, since, clock.now(), error.message, error.hint or "", first_job)
    await catalog.settings.put(HOST_SEEN + host.name, conditions.host_to_object(found))
    await _forget(catalog, HOST_BACK + host.name)


async def _forget(catalog: Catalog, setting: str) -> None:
    if await catalog.settings.get(setting) is not None:
        await catalog.settings.put(setting, None)


async def host_answers(catalog: Catalog, clock: Clock, name: str) -> None:
    """It is reached. Writes only where it was not before."""
    silent = await catalog.settings.get(HOST_SEEN + name)
    if silent is None:
        return
    await _note_return(catalog, HOST_BACK + name, silent, clock.now())
    await catalog.settings.put(HOST_SEEN + name, None)


async def _note_return(
    catalog: Catalog, setting: str, silent: Mapping[str, Any], now: datetime.datetime
) -> None:
    since = silent.get("since") or silent["at"]
    back = {"since": since, "until": now.isoformat(), "is_made_up": False}
    await catalog.settings.put(setting, back)


async def forget_host(catalog: Catalog, name: str) -> None:
    """It is no more of interest. Writes only where there is something to forget."""
    for beginning in (HOST_SEEN, HOST_BACK):
        await _forget(catalog, beginning + name)


async def returned(catalog: Catalog) -> dict[str, Return]:
    """Those that were silent once, and answered since, by their setting; some may not be defined any more."""
    return {_BACK + rest: _return(kept) for rest, kept in (await catalog.settings.beginning(_BACK)).items()}


def named(found: Mapping[str, Return], beginning: str) -> dict[str, Return]:
    """Of those, by name: the hosts or the storages, by HOST_BACK or STORAGE_BACK."""
    return {
        setting.removeprefix(beginning): each
        for setting, each in found.items()
        if setting.startswith(beginning)
    }


async def made_up(catalog: Catalog, beginning: str, name: str) -> None:
    """Schedules have made up for what they missed because of it. A silence that began since stays as it is."""
    kept = await catalog.settings.get(beginning + name)
    if kept is not None:
        await catalog.settings.swap(beginning + name, kept, {**kept, "is_made_up": True})


def _return(kept: Mapping[str, Any]) -> Return:
    since, until = (datetime.datetime.fromisoformat(kept[each]) for each in ("since", "until"))
    return Return(Absence(since, until), bool(kept["is_made_up"]))


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
        await _note_return(catalog, STORAGE_BACK + name, before, clock.now())
        await catalog.settings.put(STORAGE_SEEN + name, None)
    elif isinstance(error, StorageError | NoRepositoryError):
        found = storage_failure(name, error.message, error.hint or "", before, clock.now(), job_id)
        await keep_look(catalog, found)


async def keep_look(catalog: Catalog, found: conditions.StorageFacts) -> None:
    """Writes down what a look at a storage found."""
    before = await catalog.settings.get(STORAGE_SEEN + found.name)
    if found.error:
        await _forget(catalog, STORAGE_BACK + found.name)
    elif before is not None and before["error"]:
        await _note_return(catalog, STORAGE_BACK + found.name, before, found.seen_at)
    await catalog.settings.put(STORAGE_SEEN + found.name, conditions.to_object(found))


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
