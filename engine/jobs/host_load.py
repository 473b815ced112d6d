"""How busy hosts are when jobs begin on them: each job writes it down, and smart schedules look there for quiet times."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.errors import CatalogError, HostError
from engine.hosts import registry as hosts
from engine.hosts.base import OpenHost
from engine.jobs import presence
from engine.jobs.context import JobContext
from engine.model.definitions import LOCAL_HOST, Host


@asynccontextmanager
async def open_host(context: JobContext, definition: Host) -> AsyncIterator[OpenHost]:
    """Opens a host for a job's work, which closes it by leaving, and writes down whether it was reached, and how busy it is.

    Raises: as `hosts.registry.open_host`.
    """
    opening = hosts.open_host(definition, resolve_secret=context.secrets)
    async with presence.reaching(context.catalog, context.clock, definition, opening, context.job_id) as host:
        await write_down(context, host)
        yield host


async def write_down(context: JobContext, host: OpenHost) -> None:
    """Once for each host that a job works on, before it does. What a question asks that is no job is not of interest."""
    if not context.job_id or host.name in context.measured:
        return
    with contextlib.suppress(HostError):
        await _keep(context, host.name, (await host.facts()).load)


async def write_down_here(context: JobContext) -> None:
    """The same of this machine, which every job works on: it reads, seals and sends here."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return
    await _keep(context, LOCAL_HOST, load)


async def _keep(context: JobContext, name: str, load: float | None) -> None:
    context.measured.add(name)
    if load is not None:
        # No job fails of it: what the catalog takes nothing of now is told by the job's own rows.
        with contextlib.suppress(CatalogError):
            await context.catalog.timetable.add_load(name, context.clock.now(), load)
