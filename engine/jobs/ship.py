"""ship: the logs of databases into storages, segment by segment, so that each can be brought back to any instant since its oldest base.

A segment leaves its host once every storage that was asked for has it; whatever happens before, it is still there, and comes again. What is
there already is compared, never taken for granted: two servers that fill one spool must not be mistaken for one.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from engine.clock import sleep_until_set
from engine.errors import ConfigurationError, HoldfastError, RefusedError
from engine.events import StepBegan, Warned
from engine.hosts import registry as hosts
from engine.hosts.base import OpenHost
from engine.hosts.registry import HostPool
from engine.jobs import log_tidying, presence
from engine.jobs.backup import chosen_storages
from engine.jobs.context import JobContext
from engine.jobs.log_shipment import Shipment
from engine.model import definitions
from engine.model.definitions import LOCAL_HOST, Host, Source, retired_reason
from engine.model.requests import ShipRequest
from engine.model.shipments import ShippedLog, ShipResult
from engine.sources import registry as sources
from engine.sources.logs import LiveLogSource, LogSource

LEAST_PACE_S: Final = 1.0
"""Between the beginnings of two looks at a log that comes by itself: a busy server closes several segments a second, and a look has its price."""


async def run(context: JobContext, request: ShipRequest) -> ShipResult:
    """Ships once, or for as long as was asked for. Raises where nothing at all could be shipped; what failed in part is told in the result."""
    began = context.clock.monotonic()
    work = [await _work(context, name) for name in dict.fromkeys(request.sources)]
    storages = await chosen_storages(context, request.storages)
    shipped = {each.source.name: ShippedLog(each.source.name, "completed") for each in work}
    polls = 0
    async with hosts.open_pool(resolve_secret=context.secrets) as pool, AsyncExitStack() as stack:
        for each in work:
            stack.push_async_callback(each.close)
        while True:
            polls += 1
            looked_at = context.clock.monotonic()
            for each in work:
                done = await _poll(context, request, each, storages, pool)
                shipped[each.source.name] = _together(
                    shipped[each.source.name], done.log, is_first=polls == 1
                )
                if done.error is not None and len(work) == 1 and not request.follow_s:
                    raise done.error
            left_s = request.follow_s - (context.clock.monotonic() - began)
            # Not a look that would end behind the next start of its schedule.
            if left_s <= request.poll_s:
                break
            least_s = LEAST_PACE_S - (context.clock.monotonic() - looked_at)
            await _pause(context, work, least_s, min(request.poll_s, left_s))
    results = list(shipped.values())
    if all(each.status == "failed" for each in results):
        raise HoldfastError(results[0].error)
    status = "completed" if all(each.status == "completed" for each in results) else "incomplete"
    return ShipResult(context.job_id, status, tuple(results), context.clock.monotonic() - began, polls)


@dataclass(slots=True)
class _Work:
    """One source, which stays open from one look to the next, until something goes wrong."""

    source: Source
    host: Host
    opened: LogSource | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(self, context: JobContext, host: OpenHost) -> LogSource:
        """Raises: UsageError where its log is not shipped; SourceError, ConfigurationError."""
        if self.opened is None:
            name = self.source.name
            secrets = await sources.secrets_of(self.source, context.secrets)
            opened = await self.stack.enter_async_context(sources.open_source(self.source, host, secrets))
            if not isinstance(opened, LogSource):
                raise sources.no_log(self.source)
            if not opened.is_logged:
                raise ConfigurationError(
                    f"source {name} does not say how its log comes",
                    hint=f"holdfast source edit {name} --log-slot NAME, or --log-spool FOLDER; of MariaDB --log-binlog, of MongoDB --log-oplog",
                )
            self.opened = opened
        return self.opened

    async def close(self) -> None:
        """Again is no harm."""
        self.opened = None
        await self.stack.aclose()


@dataclass(frozen=True, slots=True)
class _Done:
    log: ShippedLog
    error: HoldfastError | None = None


async def _work(context: JobContext, name: str) -> _Work:
    """Raises: UnknownNameError; UsageError where its kind has no log; RefusedError where its host is retired."""
    source = await context.catalog.sources.get(name)
    sources.require_log(source)
    host = (
        Host(LOCAL_HOST, "local")
        if source.host == LOCAL_HOST
        else await context.catalog.hosts.get(source.host)
    )
    if reason := retired_reason(host):
        raise RefusedError(
            f"the log of {name} is not shipped: host {host.name} is retired: {reason}",
            hint=f"holdfast host unretire {host.name}",
        )
    return _Work(source, host)


async def _poll(
    context: JobContext,
    request: ShipRequest,
    work: _Work,
    storages: Sequence[definitions.Storage],
    pool: HostPool,
) -> _Done:
    """One look at one source's log. What went wrong is in what it gives, and written down for status and alerts."""
    name = work.source.name
    context.emit(StepBegan(f"ship the log of {name}"))
    shipment = Shipment(context, request, work.source, storages)
    try:
        async with presence.noting_failure(context.catalog, context.clock, work.host, context.job_id):
            host = await pool.host(work.host)
        await presence.forget_host(context.catalog, host.name)
        await shipment.run(await work.open(context, host), host)
    except HoldfastError as error:
        await work.close()
        context.emit(Warned(f"the log of {name}: {error.message}"))
        await shipment.remember(error.message)
        return _Done(await shipment.result(error), error)
    await shipment.remember("")
    await log_tidying.tidy(context, storages, shipment.committed, request.limits)
    return _Done(await shipment.result(None))


async def _pause(context: JobContext, work: Sequence[_Work], least_s: float, span_s: float) -> None:
    """Waits so long, or until a log that comes by itself is worth a look. Raises: SourceError, HostError."""
    if 0 < least_s < span_s:
        await sleep_until_set(context.clock, least_s)
        span_s -= least_s
    live = [each.opened for each in work if isinstance(each.opened, LiveLogSource) and each.opened.is_live]
    async with asyncio.TaskGroup() as group:
        waits = [
            group.create_task(sleep_until_set(context.clock, span_s)),
            *(group.create_task(each.wait_segment()) for each in live),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()


def _together(before: ShippedLog, now: ShippedLog, *, is_first: bool) -> ShippedLog:
    """What several looks did, as one."""
    if is_first:
        return now
    return dataclasses.replace(
        now,
        segments=before.segments + now.segments,
        size_bytes=before.size_bytes + now.size_bytes,
        added_bytes=before.added_bytes + now.added_bytes,
        released=before.released + now.released,
        warnings=tuple(dict.fromkeys([*before.warnings, *now.warnings])),
    )
