"""Repair: what a verification found damaged in a storage is made anew, out of the other storages that hold the same blobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from engine.errors import HoldfastError, UsageError
from engine.events import Noted, StepBegan, Warned
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened, open_repositories
from engine.model.definitions import Storage
from engine.model.requests import VerifyRequest
from engine.model.results import Damage
from engine.repository import check as checking
from engine.repository import repair as index_repair
from engine.repository import repair_packs
from engine.repository.check import CheckOptions, CheckResult
from engine.repository.repository import Repository

_ROUNDS = 20
"""Trees that come back may show that more is missing below them. A round that brings nothing is the last."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did."""

    after: CheckResult
    """What is damaged still; what was read and proved, before and after."""
    repaired: Sequence[Damage]
    """By the ids of snapshots."""
    fetched_blobs: int


async def repair(
    context: JobContext,
    request: VerifyRequest,
    storages: tuple[Storage, Sequence[Storage]],
    found: CheckResult,
    options: CheckOptions,
) -> Repaired:
    """Repairs what `found` names, under an exclusive lock, and looks again at all that it touched. `storages`: the damaged one, its helpers.

    Raises: RepositoryLockedError, LockLostError, StorageError: what was done until then does no harm.
    """
    storage, helpers = storages
    context.emit(StepBegan(f"repair {storage.name}"))
    fetched_blobs, after = 0, found
    async with AsyncExitStack() as stack:
        opening = open_repositories(
            context, [storage], is_exclusive=True, limits=request.limits, is_loading_index=False
        )
        damaged = (await stack.enter_async_context(opening)).opened[0]
        others = await _open_helpers(context, request, helpers, stack)
        for _ in range(_ROUNDS):
            turn = await _repair_once(context, damaged, after, others)
            fetched_blobs += turn.fetched_blobs
            after = await _look_again(context, damaged.repository, options, after, turn)
            if not after.damaged or not turn.is_any_change:
                break
    still = {blob for each in after.damaged for blob in each.blobs}
    named = {(each.pack, each.message) for each in after.damaged}
    repaired = [
        each
        for each in found.damaged
        if (each.pack, each.message) not in named and still.isdisjoint(each.blobs)
    ]
    return Repaired(after, repaired, fetched_blobs)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one round did."""

    written_packs: frozenset[bytes]
    fetched_blobs: int
    is_any_change: bool


async def _repair_once(
    context: JobContext, damaged: Opened, found: CheckResult, others: Sequence[Repository]
) -> _Turn:
    """Packs first, by what the index still knows of them; then the index, where it is wrong itself."""
    done = await repair_packs.repair_packs(
        damaged.repository,
        damaged.lock,
        others,
        suspects=found.damaged_packs,
        # What a wrong index does not know may be found by its repair, nearer than in another storage.
        missing=() if found.is_index_wrong else found.missing_blobs,
        emit=context.emit,
    )
    for other, count in zip(others, done.fetched, strict=True):
        if count:
            context.emit(Noted(f"{count} blobs came from {other.location}"))
    is_index_changed = False
    if found.is_index_wrong:
        index = await index_repair.repair_index(
            damaged.repository,
            damaged.lock,
            doubted=found.damaged_index_files,
            left_out=done.kept_packs,
            emit=context.emit,
        )
        is_index_changed = index.is_changed
    fetched_blobs = sum(done.fetched)
    is_any_change = bool(done.replaced_packs or fetched_blobs or is_index_changed)
    return _Turn(done.written_packs, fetched_blobs, is_any_change)


async def _look_again(
    context: JobContext, repository: Repository, options: CheckOptions, before: CheckResult, turn: _Turn
) -> CheckResult:
    """Checks what there is now, and reads the packs that were written and those that were damaged; what was read before is added."""
    packs = turn.written_packs | before.damaged_packs
    again = dataclasses.replace(options, is_reading_data=True, subset=None, slice_=None, packs=packs)
    after = await checking.check(repository, again, emit=context.emit)
    return dataclasses.replace(
        after,
        packs_read=before.packs_read + after.packs_read,
        bytes_read=before.bytes_read + after.bytes_read,
        proved_packs=before.proved_packs | after.proved_packs,
        unproved_packs=before.unproved_packs,
    )


async def helpers(context: JobContext, request: VerifyRequest, storage: Storage) -> list[Storage]:
    """The storages that are asked for lost blobs. Raises: UsageError where one is the damaged one, UnknownNameError."""
    if storage.name in request.repair_from:
        raise UsageError(
            f"{storage.name} cannot be repaired from itself", hint="name another storage with --from"
        )
    if request.repair_from:
        names = dict.fromkeys(request.repair_from)
        return [await context.catalog.storages.get(name) for name in names]
    everything = await context.catalog.storages.all()
    return [each for each in everything if each.is_enabled and each.name != storage.name]


async def _open_helpers(
    context: JobContext, request: VerifyRequest, helpers: Sequence[Storage], stack: AsyncExitStack
) -> list[Repository]:
    """Those that can be opened; why the others cannot is told."""
    found = []
    for helper in helpers:
        opening = open_repositories(
            context, [helper], is_exclusive=False, limits=request.limits, is_reading=True
        )
        try:
            found.append((await stack.enter_async_context(opening)).opened[0].repository)
        except HoldfastError as error:
            context.emit(Warned(f"{helper.name} cannot be asked for what is lost: {error}"))
    if not found:
        context.emit(Warned("there is no other storage to take lost blobs from: only what is sound is saved"))
    return found
