"""forget: backups go by a policy, each storage for itself, with the reason for each; then, if wanted, a prune."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine import retention
from engine.errors import HoldfastError, RefusedError, UsageError
from engine.events import StepBegan, Warned
from engine.format.snapshot import Snapshot
from engine.jobs import prune
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened, open_repositories
from engine.model.definitions import Storage
from engine.model.requests import ForgetRequest, PruneRequest
from engine.model.results import Fate, ForgetResult, PruneResult
from engine.repository import forget as forgetting
from engine.retention import Candidate

SOURCE_TAG = "holdfast:source="
BACKUP_TAG = "holdfast:backup="
_FUTURE = datetime.timedelta(hours=24)
"""A snapshot from further ahead than this means that some clock is wrong, and by-age decisions with it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One snapshot that holdfast wrote."""

    snapshot_id: str
    snapshot: Snapshot
    source: str
    backup_id: str


async def run(context: JobContext, request: ForgetRequest) -> ForgetResult:
    """Decides, and unless it is a dry run removes. Snapshots that holdfast did not write are never touched.

    A storage that fails does not stop the others. Raises: UsageError for an empty policy; UnknownNameError; where all storages failed the
    first error: RefusedError where snapshots come from the future, StorageError, RepositoryError.
    """
    if request.policy.is_empty:
        raise UsageError("the policy keeps nothing", hint="give at least one --keep rule")
    fates: list[Fate] = []
    prunes: list[PruneResult] = []
    errors: list[HoldfastError] = []
    storages = await _storages(context, request)
    for storage in storages:
        context.emit(StepBegan(f"forget in {storage.name}"))
        try:
            fates += await _forget_in(context, request, storage)
            if request.is_pruning:
                asked = PruneRequest(storage.name, request.is_dry_run, limits=request.limits)
                prunes.append(await prune.run(context, asked))
        except HoldfastError as error:
            errors.append(error)
            context.emit(Warned(f"storage {storage.name} is left as it is: {error.message}"))
    if errors and len(errors) == len(storages):
        raise errors[0]
    status = "incomplete" if errors else "completed"
    return ForgetResult(context.job_id, status, tuple(fates), tuple(prunes), request.is_dry_run)


async def _storages(context: JobContext, request: ForgetRequest) -> list[Storage]:
    """Those that were named, or all that are switched on. Raises: UnknownNameError."""
    if request.storages:
        return [await context.catalog.storages.get(name) for name in dict.fromkeys(request.storages)]
    return [each for each in await context.catalog.storages.all() if each.is_enabled]


async def _forget_in(context: JobContext, request: ForgetRequest, storage: Storage) -> list[Fate]:
    is_exclusive = not request.is_dry_run
    async with open_repositories(
        context, [storage], is_exclusive=is_exclusive, limits=request.limits, is_reading=request.is_dry_run
    ) as opened:
        found = opened.opened[0]
        fates = await decide(context, request, found)
        doomed = [fate for fate in fates if not fate.is_kept]
        if doomed and not request.is_dry_run:
            await remove(context, found, doomed)
    return fates


async def remove(context: JobContext, opened: Opened, doomed: Sequence[Fate]) -> None:
    """Removes snapshots, then what the catalog knew of them, in that order: a backup that is gone is known to be."""
    gone = await forgetting.forget(
        opened.repository, [fate.snapshot_id for fate in doomed], opened.lock, emit=context.emit
    )
    known = [fate.backup_id for fate in doomed if fate.snapshot_id in set(gone) and fate.backup_id]
    await context.catalog.backups.remove_copies(opened.definition.name, known)


async def decide(context: JobContext, request: ForgetRequest, opened: Opened) -> list[Fate]:
    """What becomes of each backup in one storage. A protected, held or not yet expired one is kept, whatever the rules say."""
    now = context.clock.now()
    held = [each for each in await _held(opened) if request.source in ("", each.source)]
    ahead = [each for each in held if each.snapshot.time > now + _FUTURE]
    if ahead:
        raise RefusedError(
            f"{len(ahead)} backups in {opened.definition.name} are from the future, the first of {ahead[0].snapshot.time:%Y-%m-%d %H:%M}",
            hint="a clock is wrong, here or where they were taken: nothing was forgotten",
        )
    kept = await _kept_by_hand(context, held, now)
    fates: list[Fate] = []
    for source in sorted({each.source for each in held}):
        group = {each.snapshot_id: each for each in held if each.source == source}
        candidates = [Candidate(key, each.snapshot.time, each.snapshot.tags) for key, each in group.items()]
        for decision in retention.decide(candidates, request.policy, now):
            each = group[decision.id]
            reasons = [*kept.get(each.backup_id, ()), *(decision.reasons if decision.is_kept else ())]
            fates.append(
                Fate(
                    backup_id=each.backup_id,
                    snapshot_id=each.snapshot_id,
                    source=source,
                    storage=opened.definition.name,
                    created_at=each.snapshot.time,
                    is_kept=bool(reasons),
                    reasons=tuple(reasons or decision.reasons),
                )
            )
    return fates


async def _held(opened: Opened) -> list[_Held]:
    found = []
    for snapshot_id, snapshot in await opened.repository.snapshots():
        source = tag_value(snapshot, SOURCE_TAG)
        if source:
            found.append(_Held(snapshot_id, snapshot, source, tag_value(snapshot, BACKUP_TAG)))
    return found


async def _kept_by_hand(
    context: JobContext, held: Sequence[_Held], now: datetime.datetime
) -> Mapping[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    known = await context.catalog.backups.get_many([each.backup_id for each in held])
    for backup in known:
        said = []
        if backup.is_protected:
            said.append("protected")
        if backup.hold_reason:
            said.append(f"held: {backup.hold_reason}")
        if backup.expires_at is not None and backup.expires_at > now:
            said.append(f"expires {backup.expires_at:%Y-%m-%d %H:%M}")
        if said:
            reasons[backup.backup_id] = said
    return reasons


def tag_value(snapshot: Snapshot, prefix: str) -> str:
    """What follows `prefix` in the first tag that begins so; empty where there is none."""
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), "")
