"""restore: a backup's files into a directory, from the first of its storages that has them whole; its other ways lead on from here."""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.errors import RefusedError, UsageError
from engine.events import StepBegan
from engine.hosts import registry as hosts
from engine.hosts.base import OpenHost
from engine.jobs import (
    hooks,
    host_load,
    replayed_backup,
    replayed_files,
    restore_database,
    restore_in_place,
    restore_refill,
    restore_server,
    room,
    safety,
    server_files,
)
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_copy
from engine.jobs.host_tree import HostTree
from engine.jobs.local_tree import LocalTree
from engine.jobs.restore_tally import Done, overwrite, preview, result
from engine.jobs.server_files import MakeReady
from engine.model import masking
from engine.model.backup import Backup
from engine.model.definitions import LOCAL_HOST, Host
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult
from engine.repository import restore_pool
from engine.repository.patterns import Selection
from engine.repository.restore import RestoreOptions
from engine.sources import registry as sources


async def run(context: JobContext, request: RestoreRequest) -> RestoreResult:
    """Restores, or says what it would do. Raises: UnknownNameError, PathMissingError, RestoreError, StorageError, RepositoryError."""
    if replayed_backup.is_to_instant(request) or request.is_whole_server:
        return await _to_instant(context, request)
    if request.is_in_place or request.into:
        backup = await context.catalog.backups.find(request.backup)
        source = await context.catalog.sources.get(backup.source)
        if source.kind == "files" and request.is_in_place:
            return await restore_in_place.run(context, request, backup, source)
        if not sources.is_database(source.kind):
            raise UsageError(
                f"{source.name} is of kind {source.kind}, which is no database server",
                hint="restore it into a directory with --to",
            )
        if request.is_in_place and sources.is_refillable(source.kind):
            return await restore_refill.run(context, request, backup)
        return await restore_database.run(context, request)
    if not request.to:
        raise UsageError("nothing says where to restore to", hint="--to DIR, --into NAME or --in-place")
    backup = await context.catalog.backups.find(request.backup)
    if request.host not in ("", LOCAL_HOST):
        return await _to_host(context, request, backup)
    return await _to_here(context, request, backup)


async def _to_instant(context: JobContext, request: RestoreRequest) -> RestoreResult:
    source = await context.catalog.sources.get(request.source)
    if request.to and sources.is_layable(source.kind):
        sources.require_log(source)
    else:
        sources.require_replayable(source)
    if request.is_whole_server:
        return await restore_server.run(context, request)
    if request.into or request.is_in_place:
        return await restore_database.run(context, request)
    if not request.to:
        raise UsageError("nothing says where to restore to", hint="--to DIR, --into NAME, or --in-place")
    is_here = request.host in ("", LOCAL_HOST)
    laid = await replayed_files.prepare(context, request)
    way = _to_here if is_here else _to_host
    return await way(context, laid.request, laid.backup, laid.make_ready)


async def _to_here(
    context: JobContext, request: RestoreRequest, backup: Backup, ready: MakeReady = server_files.make_ready
) -> RestoreResult:
    began = context.clock.monotonic()
    options = _options(request)
    context.emit(StepBegan(f"restore {backup.source}"))
    log, note = hooks.HookLog(), ""
    async with AsyncExitStack() as stack:
        if request.is_dry_run:
            opened = await open_copy(context, backup, request.storage, request.limits, stack)
            note = await server_files.look(context, request, backup, opened, await _this_host(context, stack))
            free = await LocalTree(request.to).free_bytes()
            await room.require(opened.repository, opened.snapshot, options.selection, free, request.to)
            tally = await preview(context, opened, options)
        else:
            # Early: they load while keys are derived.
            channels = await stack.enter_async_context(restore_pool.start_processes())
            opened = await open_copy(context, backup, request.storage, request.limits, stack)
            here = await _this_host(context, stack)
            note = await server_files.look(context, request, backup, opened, here)
            tree = LocalTree(request.to, channels)
            free = await tree.free_bytes()
            await room.require(opened.repository, opened.snapshot, options.selection, free, request.to)
            async with hooks.around(context, request, LOCAL_HOST) as log:
                tally = await tree.restore(safety.held(opened), options, context.emit)
                log.outcome = "completed" if tally.is_complete else "incomplete"
                if tally.is_complete:
                    note = _joined(await ready(context, request, backup, opened, here), note)
    return result(context, request, Done(backup.backup_id, request.to, tally, began, log, note=note))


def _joined(*notes: str) -> str:
    return "; ".join(each for each in notes if each)


async def _this_host(context: JobContext, stack: AsyncExitStack) -> OpenHost:
    opening = hosts.open_host(Host(LOCAL_HOST, "local"), resolve_secret=context.secrets)
    return await stack.enter_async_context(opening)


async def _to_host(
    context: JobContext, request: RestoreRequest, backup: Backup, ready: MakeReady = server_files.make_ready
) -> RestoreResult:
    """Below a directory of a host, by a stream: nothing lands on this machine's disk."""
    began = context.clock.monotonic()
    options = _options(request)
    definition = await context.catalog.hosts.get(request.host)
    await _refuse_unmasked(context, backup, definition)
    context.emit(StepBegan(f"restore {backup.source} to {request.host}"))
    log, note = hooks.HookLog(), ""
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(host_load.open_host(context, definition))
        tree = HostTree(host, request.to, is_as_another=bool(definition.options.get("as_user")))
        await tree.require_possible(options)
        opened = await open_copy(context, backup, request.storage, request.limits, stack)
        note = await server_files.look(context, request, backup, opened, host)
        if await tree.is_fresh():
            free = await tree.free_bytes()
            await room.require(opened.repository, opened.snapshot, options.selection, free, "")
        if request.is_dry_run:
            tally = await preview(context, opened, options, tree)
        else:
            async with hooks.around(context, request, request.host) as log:
                tally = await tree.restore(safety.held(opened), options, context.emit)
                log.outcome = "completed" if tally.is_complete else "incomplete"
                if tally.is_complete:
                    note = _joined(await ready(context, request, backup, opened, host), note)
    target = f"{request.host}:{request.to}"
    return result(context, request, Done(backup.backup_id, target, tally, began, log, note=note))


def _options(request: RestoreRequest) -> RestoreOptions:
    return RestoreOptions(
        target=request.to,
        selection=Selection.parse(request.include, request.exclude),
        overwrite=overwrite(request.overwrite),
        is_deleting=request.is_deleting,
        is_verifying=request.is_verified,
    )


async def _refuse_unmasked(context: JobContext, backup: Backup, host: Host) -> None:
    """A dump as a file holds everything, and nothing in it can be masked. A source that is no longer known has no rules."""
    if not masking.is_staging(host):
        return
    known = {each.name: each for each in await context.catalog.sources.all()}
    source = known.get(backup.source)
    if source is not None and masking.stored(source):
        raise RefusedError(
            f"{host.name} is for staging, {source.name} has columns to be masked, and a file of its dump cannot be",
            hint=f"restore it into a database of a source on {host.name}: --into NAME --on SOURCE",
        )
