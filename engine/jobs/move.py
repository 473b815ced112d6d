"""storage move: everything that a storage holds to another place, of whatever kind, and its definition with it. The old place is left as it is.

Most is copied while backups go on; what came meanwhile is copied, and the definition switched over, while nobody else may write there.
Interrupted, nothing is switched, and the next try goes on from what was copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from engine.catalog.proofs import Dropped
from engine.errors import DamagedError, RefusedError, StorageReadOnlyError, UsageError
from engine.events import StepBegan
from engine.jobs.context import JobContext
from engine.jobs.copy import IDENTITY
from engine.jobs.opening import Opened, open_or_create, open_repositories
from engine.model.definitions import Storage
from engine.model.requests import Limits, MoveRequest
from engine.model.results import MoveResult
from engine.repository import copy as copying
from engine.repository import lock
from engine.repository.copy import Copied, Rules
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.storages.base import Kind


async def run(context: JobContext, request: MoveRequest) -> MoveResult:
    """Moves the storage of that name to the new place; without a password of its own that gets the one of the old.

    Raises: UnknownNameError; UsageError where it lies there already; RefusedError where something else lies there; DamagedError, naming what
    cannot be copied; StorageError; RepositoryLockedError where a backup is being written to the old place at the end.
    """
    new, limits = request.place, request.limits
    old = await context.catalog.storages.get(new.name)
    began = context.clock.monotonic()
    new = dataclasses.replace(
        new, password=new.password or old.password, is_enabled=old.is_enabled, is_default=old.is_default
    )
    async with AsyncExitStack() as stack:
        first = await _open_old(context, old, limits, stack, is_exclusive=False)
        into = await _open_new(context, new, first.repository, limits, stack)
        context.emit(StepBegan(f"copy {old.name} to {into.location}"))
        await _refuse_strangers(first.repository, into)
        bulk, _ = await _copy(context, first.repository, into)
        old_location, location = first.repository.location, into.location
    async with AsyncExitStack() as stack:
        first = await _open_old(context, old, limits, stack, is_exclusive=True)
        into = await _open_new(context, new, first.repository, limits, stack)
        context.emit(StepBegan("copy what came meanwhile, and count"))
        rest, names = await _copy(context, first.repository, into)
        await _require_all(into, names, rest)
        moved = {each.source_id: each.target_id for each in rest.snapshots}
        kept = dataclasses.replace(new, repository_id=into.id)
        # Before the switch: who is interrupted here proves once more, and no proof speaks of bytes that nobody read.
        ids = (await context.catalog.backups.by_snapshots(old.name, list(moved))).values()
        why = Dropped(
            context.clock.now(),
            "storage move",
            context.job_id,
            f"it was read at {old_location}, and lies at {location} now",
        )
        await context.catalog.proofs.drop(old.name, ids, why)
        await context.catalog.storages.move(kept, moved)
    return MoveResult(
        job_id=context.job_id,
        status="completed",
        storage=new.name,
        kind=new.kind,
        location=location,
        old_location=old_location,
        snapshots=len(moved),
        copied_bytes=bulk.stored_bytes + rest.stored_bytes,
        duration_s=context.clock.monotonic() - began,
    )


async def _open_old(
    context: JobContext, old: Storage, limits: Limits, stack: AsyncExitStack, *, is_exclusive: bool
) -> Opened:
    """A place that is read-only is read: nobody else can write there either."""
    if is_exclusive:
        try:
            opening = open_repositories(context, [old], is_exclusive=True, limits=limits)
            return (await stack.enter_async_context(opening)).opened[0]
        except StorageReadOnlyError:
            pass
    opening = open_repositories(context, [old], is_exclusive=False, limits=limits, is_reading=True)
    return (await stack.enter_async_context(opening)).opened[0]


async def _open_new(
    context: JobContext, new: Storage, old: Repository, limits: Limits, stack: AsyncExitStack
) -> Repository:
    password = await context.secrets(new.password)

    async def polynomial() -> int:
        return old.config.chunker_polynomial

    found, _ = await open_or_create(context, new, password, limits, stack, polynomial)
    if found.id == old.id:
        raise UsageError(f"storage {new.name} lies at {found.location} already")
    for each in await context.catalog.storages.all():
        if each.repository_id == found.id and each.name != new.name:
            raise UsageError(f"storage {each.name} lies at {found.location}", hint="name an empty place")
    return found


async def _copy(context: JobContext, source: Repository, into: Repository) -> tuple[Copied, Sequence[str]]:
    """Copies all snapshots, those of other homes and of restic too; gives the ids of those that there are."""
    snapshots = [Named(*each) for each in await source.snapshots()]
    async with lock.hold(into, exclusive=False, clock=context.clock, emit=context.emit) as held:
        done = await copying.copy(source, (into, held), snapshots, rules=Rules(IDENTITY), emit=context.emit)
    return done, [each.id for each in snapshots]


async def _refuse_strangers(old: Repository, into: Repository) -> None:
    """Raises: RefusedError where the new place holds what did not come from the old one: two storages must not become one by a slip."""
    ours = {found.original or bytes.fromhex(name) for name, found in await old.snapshots()}
    there = await into.snapshots()
    strangers = sum(each.original not in ours for _, each in there)
    if strangers:
        raise RefusedError(
            f"{into.location} holds {strangers} snapshots that are not from {old.location}",
            hint="name an empty place",
        )


async def _require_all(into: Repository, names: Sequence[str], done: Copied) -> None:
    """Raises: DamagedError where the new place lacks a snapshot of the old, or the index there does not know its tree."""
    targets: Mapping[str, str] = {each.source_id: each.target_id for each in done.snapshots}
    there = set(await into.names(Kind.SNAPSHOT))
    await into.load_index()
    for name in names:
        target = targets.get(name, "")
        if target in there and into.index.has("tree", (await into.load_snapshot(target)).tree):
            continue
        raise DamagedError(
            f"{into.location} lacks the snapshot {name[:8]} after it was copied",
            hint="nothing was switched: try again",
        )
