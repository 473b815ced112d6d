"""restore, of files to where they came from: their own paths on their own host.

Nothing of a file tree can be swapped as a whole, so a safety backup is taken first. A restore that fails, is cancelled, or brings back less than
all of it is undone from that at once; `rollback` does it later, `discard` lets the safety backup go.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.errors import HoldfastError, RefusedError, RestoreError, UsageError
from engine.events import StepBegan, Warned
from engine.format.snapshot import Snapshot
from engine.hosts.base import Command, OpenHost, require_success
from engine.jobs import hooks, host_load, room, safety
from engine.jobs.context import JobContext
from engine.jobs.database_backup import OpenCopy, open_copy
from engine.jobs.host_tree import HostTree
from engine.jobs.local_tree import LocalTree
from engine.jobs.restore_tally import Done, overwrite, preview, result
from engine.jobs.safety import Tree
from engine.model.backup import Backup
from engine.model.definitions import Source
from engine.model.job import Job, JobStatus
from engine.model.requests import RestoreRequest, RollbackRequest
from engine.model.results import RestoreResult, RollbackResult
from engine.repository.added import added
from engine.repository.patterns import Pattern, Selection, escape, split
from engine.repository.restore_values import RestoreOptions, Tally

# For each path a line: l where it is a link, e where something else is there, - where nothing is.
_LOOK = 'for p; do if [ -L "$p" ]; then echo l; elif [ -e "$p" ]; then echo e; else echo -; fi; done'


@dataclass(frozen=True, slots=True)
class _Place:
    """The tree of the host, and which of the snapshot's paths are there."""

    tree: Tree
    roots: tuple[str, ...]
    is_here: bool


async def run(context: JobContext, request: RestoreRequest, backup: Backup, source: Source) -> RestoreResult:
    """Restores, or says what it would do. Raises: RefusedError, UsageError, RestoreError, HostError, StorageError, RepositoryError."""
    if request.databases or request.tables or request.masks or request.target_source:
        raise UsageError(
            "--database, --table, --mask and --on are for databases",
            hint="choose files by --include and --exclude",
        )
    if request.is_deleting:
        raise UsageError(
            "--delete does not go with --in-place: what came since would be lost", hint="--to DIR --delete"
        )
    began = context.clock.monotonic()
    async with AsyncExitStack() as stack:
        opened = await open_copy(context, backup, request.storage, request.limits, stack)
        options = _options(request, opened.snapshot)
        place = await stack.enter_async_context(_opened(context, source, opened.snapshot))
        if place.is_here:
            free = await place.tree.free_bytes()
            await room.require(opened.repository, opened.snapshot, options.selection, free, "/")
        log = hooks.HookLog()
        kept = ""
        if request.is_dry_run:
            there = place.tree if isinstance(place.tree, HostTree) else None
            tally = await preview(context, opened, options, there)
        else:
            async with hooks.around(context, request, source.host) as log:
                if not request.is_safety_left_out:
                    kept = await safety.take(
                        context, source, opened.snapshot, place.roots, (backup.backup_id, request.limits)
                    )
                context.emit(StepBegan(f"restore {backup.source} in place"))
                undo = None if request.is_safety_left_out else kept
                tally = await _restored(context, source, opened, place.tree, options, undo)
                log.outcome = "completed" if tally.is_complete else "incomplete"
    target = f"{source.host}: {', '.join(opened.snapshot.paths)}"
    return result(context, request, Done(backup.backup_id, target, tally, began, log, kept))


async def _restored(
    context: JobContext,
    source: Source,
    opened: OpenCopy,
    tree: Tree,
    options: RestoreOptions,
    safety_id: str | None,
) -> Tally:
    """Restores; undoes it where it failed. Without a safety backup (None) what came is left, and what did not is named."""
    try:
        async with AsyncExitStack() as stack:
            kept = await context.catalog.backups.get(safety_id) if safety_id else None
            present = await safety.opened(context, kept, stack)
            tally = await tree.restore(safety.held(opened), options, context.emit, present)
        if not tally.is_complete and safety_id is not None:
            first = tally.failures[0]
            raise RestoreError(
                f"{tally.failure_count} files could not be restored, the first /{first.path.decode(errors='backslashreplace')}: {first.message}",
                hint="what is whole can be brought elsewhere with --to DIR, or here with --no-safety-backup",
            )
    except BaseException:
        if safety_id is not None:
            await asyncio.shield(_undone(context, source, opened, options, safety_id))
        raise
    return tally


async def _undone(
    context: JobContext, source: Source, opened: OpenCopy, options: RestoreOptions, safety_id: str
) -> None:
    """Brings back what was there, over a connection of its own. Never raises a HoldfastError: the restore's own is the one that matters."""
    context.emit(StepBegan(f"roll {source.name} back"))
    try:
        kept = await context.catalog.backups.get(safety_id) if safety_id else None
        async with _opened(context, source, opened.snapshot) as place:
            tally = await safety.undo(context, place.tree, safety.held(opened), kept, options)
    except HoldfastError as error:
        context.emit(
            Warned(
                f"{source.name} could not be rolled back: {error.message}; `holdfast rollback {context.job_id}` does it once that is mended"
            )
        )
        return
    if not tally.is_complete:
        context.emit(Warned(f"{tally.failure_count} files of {source.name} could not be rolled back"))
    else:
        context.emit(Warned(f"{source.name} is again what it was before the restore"))


async def roll_back(
    context: JobContext, request: RollbackRequest, job: Job, asked: RestoreRequest, source: Source
) -> RollbackResult:
    """Brings back what the restore replaced, or removes its safety backup. What is there now is backed up first.

    Raises: UsageError where there is nothing to bring back; as `run`.
    """
    kept = await safety.find(context, job.job_id, source.name)
    if kept is None and (job.status is not JobStatus.COMPLETED or asked.is_safety_left_out or request.is_discarding):  # fmt: skip
        safety.require(kept, job)
    if request.is_discarding:
        return await safety.discard(context, safety.require(kept, job), job)
    restored = await context.catalog.backups.find(safety.restored_id(kept, job))
    async with AsyncExitStack() as stack:
        opened = await open_copy(context, restored, "", request.limits, stack)
        options = dataclasses.replace(_options(asked, opened.snapshot), overwrite="always")
        place = await stack.enter_async_context(_opened(context, source, opened.snapshot))
        now = await safety.take(
            context, source, opened.snapshot, place.roots, (restored.backup_id, request.limits)
        )
        context.emit(StepBegan(f"bring back {source.name}"))
        before = await safety.opened(context, kept, stack)
        await place.tree.remove(added(safety.held(opened), before, options.selection))
        tally = Tally()
        if before is not None:
            present = await context.catalog.backups.get(now) if now else None
            tally = await place.tree.restore(
                before, options, context.emit, await safety.opened(context, present, stack)
            )
    return RollbackResult(
        context.job_id,
        "completed" if tally.is_complete else "incomplete",
        job.job_id,
        (),
        tuple(each.message for each in tally.failures[:100]),
        restored_files=tally.restored_files,
        safety_backup_id=now,
    )


def _options(request: RestoreRequest, snapshot: Snapshot) -> RestoreOptions:
    """What is restored: never a directory that only leads to the backup's paths."""
    selection = Selection.parse(request.include, request.exclude)
    if not request.include and all(split(_raw(path)) for path in snapshot.paths):
        roots = tuple(Pattern.parse(escape(_raw(path))) for path in snapshot.paths)
        selection = Selection(roots, selection.excludes)
    return RestoreOptions(
        target="/",
        selection=selection,
        overwrite=overwrite(request.overwrite),
        is_verifying=request.is_verified,
    )


@asynccontextmanager
async def _opened(context: JobContext, source: Source, snapshot: Snapshot) -> AsyncIterator[_Place]:
    """The host that the source lies on. Raises: RefusedError where it is another machine, or its paths lead elsewhere now; HostError."""
    definition = await context.catalog.hosts.get(source.host)
    async with host_load.open_host(context, definition) as host:
        found = (await host.facts()).hostname
        if found != snapshot.hostname:
            raise RefusedError(
                f"{source.host} is not the machine that the backup was taken of: it is {found}, and was {snapshot.hostname}",
                hint=f"restore beside with --to DIR --host {source.host}",
            )
        above = sorted({lead for path in snapshot.paths for lead in _leads(_raw(path))})
        kinds = await _look(host, [*(b"/" + each for each in above), *map(_raw, snapshot.paths)])
        for path, kind in zip(above, kinds, strict=False):
            if kind == "l":
                raise RefusedError(
                    f"/{path.decode(errors='backslashreplace')} on {source.host} is a link now, and was a directory",
                    hint="restore beside it with --to DIR",
                )
        roots = tuple(
            path for path, kind in zip(snapshot.paths, kinds[len(above) :], strict=True) if kind != "-"
        )
        is_as_another = bool(definition.options.get("as_user"))
        there = HostTree(host, "/", frozenset(above), is_as_another=is_as_another)
        tree: Tree = LocalTree("/") if host.is_here else there
        yield _Place(tree, roots, host.is_here)


async def _look(host: OpenHost, paths: Sequence[bytes]) -> list[str]:
    command = Command(("sh", "-c", _LOOK, "sh", *paths))
    done = await host.run(command)
    require_success(host.name, command, done.exit)
    return done.stdout.decode().split()


def _leads(path: bytes) -> list[bytes]:
    parts = split(path)
    return [b"/".join(parts[:length]) for length in range(1, len(parts))]


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
