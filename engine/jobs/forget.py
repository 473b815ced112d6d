"""forget: backups go by a policy, each storage for itself, with the reason for each; then, if wanted, a prune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine import doubts
from engine.errors import HoldfastError, RefusedError, UnknownNameError, UsageError
from engine.events import StepBegan, Warned
from engine.format.snapshot import Snapshot
from engine.jobs import adopting, catalog_copies, fates, log_adopting, log_retention, prune
from engine.jobs.context import JobContext
from engine.jobs.log_retention import Kept
from engine.jobs.opening import Opened, open_repositories, require_deleting
from engine.model.definitions import Storage
from engine.model.names import nearest
from engine.model.requests import ForgetRequest, PruneRequest
from engine.model.results import Doubt, Fate, ForgetResult, PruneResult
from engine.repository import forget as forgetting

_HISTORY = "forgotten."
"""The setting that holds, by source, how many backups went from a storage in the last runs."""


async def run(context: JobContext, request: ForgetRequest) -> ForgetResult:
    """Decides, and unless it is a dry run removes. Snapshots that holdfast did not write are never touched.

    A storage that fails does not stop the others. Raises: UsageError for an empty policy; UnknownNameError; where all storages failed the
    first error: RefusedError where something is suspicious that the request does not name, StorageError, RepositoryError.
    """
    _require_sense(request)
    judged: list[Fate] = []
    kept: list[Kept] = []
    prunes: list[PruneResult] = []
    doubted: list[Doubt] = []
    errors: list[HoldfastError] = []
    storages = await _storages(context, request)
    before = await log_retention.known(context.catalog)
    known = [each.name for each in await context.catalog.sources.all()]
    for storage in storages:
        context.emit(StepBegan(f"forget in {storage.name}"))
        try:
            done = await _forget_in(context, request, storage)
            judged += done.fates
            doubted += done.doubts
            kept += done.logs
            if request.is_pruning:
                asked = PruneRequest(storage.name, request.is_dry_run, limits=request.limits)
                prunes.append(await prune.run(context, asked))
        except HoldfastError as error:
            errors.append(error)
            context.emit(Warned(f"storage {storage.name} is left as it is: {error.message}"))
    if errors and len(errors) == len(storages):
        raise errors[0]
    if request.source and not judged and not errors and request.source not in known:
        near = nearest(request.source, known)
        raise UnknownNameError(
            f"there is no source named {request.source}, and no backup of one",
            hint=f"did you mean {near}?" if near else "`holdfast source list` names them all",
        )
    status = "incomplete" if errors else "completed"
    return ForgetResult(
        context.job_id,
        status,
        tuple(judged),
        tuple(prunes),
        request.is_dry_run,
        tuple(doubted),
        logs=tuple(each.cut for each in kept if each.cut.segments or each.cut.snapshots or each.cut.why),
        lost=log_retention.lost(before, judged, kept),
    )


@dataclass(slots=True)
class _Done:
    """What became of one storage."""

    fates: list[Fate]
    doubts: list[Doubt]
    """What a dry run is in doubt about."""
    logs: list[Kept] = field(default_factory=list)


def _require_sense(request: ForgetRequest) -> None:
    """Raises: UsageError."""
    if request.policy.is_empty:
        raise UsageError("the policy keeps nothing", hint="give at least one --keep rule")
    for name in request.despite:
        if name not in doubts.NAMES:
            raise UsageError(f"there is no doubt {name}", hint=f"there are: {', '.join(doubts.NAMES)}")


async def _storages(context: JobContext, request: ForgetRequest) -> list[Storage]:
    """Those that were named, or all that are switched on. Raises: UnknownNameError."""
    if request.storages:
        return [await context.catalog.storages.get(name) for name in dict.fromkeys(request.storages)]
    return [each for each in await context.catalog.storages.all() if each.is_enabled]


async def _forget_in(context: JobContext, request: ForgetRequest, storage: Storage) -> _Done:
    """Raises: RefusedError where a run that is no dry one is in doubt."""
    is_exclusive = not request.is_dry_run
    async with open_repositories(
        context, [storage], is_exclusive=is_exclusive, limits=request.limits, is_reading=request.is_dry_run
    ) as opened:
        found = opened.opened[0]
        await adopting.adopt(context, found)
        snapshots = await found.repository.snapshots(is_memory_enough=True)
        ours = {each.name for each in await context.catalog.sources.all()}
        await log_adopting.take_up(context, storage.name, found.repository, snapshots, only=ours)
        done = _Done(*await decide(context, request, found, snapshots))
        if not request.is_dry_run:
            _require_no(done.doubts)
            await _carry_out(context, found, done.fates)
        if found.repository.storage.traits.append_only:
            return done
        gone = {each.snapshot_id for each in done.fates if not each.is_kept}
        left = [each for each in snapshots if each[0] not in gone]
        done.logs = await log_retention.cut(context, found, left, request)
        if not request.is_dry_run:
            copies = await catalog_copies.superseded(context, snapshots)
            await forgetting.forget(found.repository, copies, found.lock, emit=context.emit)
    return done


def _require_no(doubted: Sequence[Doubt]) -> None:
    """Raises: RefusedError with the first."""
    if doubted:
        names = " ".join(f"--despite {name}" for name in dict.fromkeys(each.name for each in doubted))
        raise RefusedError(
            doubted[0].message,
            hint=f"nothing was forgotten; if it is meant, say {names}; --dry-run shows all",
        )


async def _carry_out(context: JobContext, opened: Opened, judged: Sequence[Fate]) -> None:
    doomed = [fate for fate in judged if not fate.is_kept]
    if doomed:
        await remove(context, opened, doomed)
    name = _HISTORY + opened.definition.name
    earlier = await context.catalog.settings.get(name) or {}
    await context.catalog.settings.put(name, doubts.remembered(earlier, judged))


async def remove(context: JobContext, opened: Opened, doomed: Sequence[Fate]) -> None:
    """Removes snapshots, then what the catalog knew of them, in that order: a backup that is gone is known to be.

    Raises: RefusedError where the storage is append-only.
    """
    require_deleting(opened)
    gone = await forgetting.forget(
        opened.repository, [fate.snapshot_id for fate in doomed], opened.lock, emit=context.emit
    )
    known = [fate.backup_id for fate in doomed if fate.snapshot_id in set(gone) and fate.backup_id]
    await context.catalog.backups.remove_copies(opened.definition.name, known)


async def decide(
    context: JobContext, request: ForgetRequest, opened: Opened, snapshots: Sequence[tuple[str, Snapshot]]
) -> tuple[list[Fate], list[Doubt]]:
    """What becomes of each backup in one storage, newest first, and what makes one doubt it, without what the request names."""
    now = context.clock.now()
    storage = opened.definition.name
    everything = fates.of_snapshots(snapshots)
    held = [each for each in everything if request.source in ("", each.source)]
    known = await context.catalog.backups.get_many([each.backup_id for each in held])
    judged = fates.judge(storage, held, request.policy, {each.backup_id: each for each in known}, now)
    earlier = await context.catalog.settings.get(_HISTORY + storage) or {}
    newest = max((each.time for each in everything), default=now)
    found = doubts.doubts(storage, judged, now, newest, earlier)
    return judged, [each for each in found if each.name not in request.despite]
