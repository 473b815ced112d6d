"""forget: backups go by a policy, each storage for itself, with the reason for each; then, if wanted, a prune."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine import retention
from engine.errors import HoldfastError, RefusedError, UsageError
from engine.events import StepBegan, Warned
from engine.format.snapshot import Snapshot
from engine.jobs import adopting, catalog_copies, prune
from engine.jobs.context import JobContext
from engine.jobs.opening import Opened, open_repositories, require_deleting
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, scope_of, tag_value
from engine.model.backup import SAFETY_TAG, Scope
from engine.model.definitions import Storage
from engine.model.requests import ForgetRequest, KeepPolicy, PruneRequest
from engine.model.results import Fate, ForgetResult, PruneResult
from engine.repository import forget as forgetting
from engine.retention import Candidate

_FUTURE = datetime.timedelta(hours=24)
"""A snapshot from further ahead than this means that some clock is wrong, and by-age decisions with it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One snapshot that holdfast wrote."""

    snapshot_id: str
    snapshot: Snapshot
    source: str
    backup_id: str

    @property
    def group(self) -> tuple[str, Scope]:
        """Those that a policy chooses from: a backup of the schema alone takes no place from one of all."""
        return self.source, scope_of(self.snapshot)


@dataclass(slots=True)
class _Wishes:
    """What people said of one backup."""

    keep: list[str] = field(default_factory=list)
    """Why it is kept, whatever the rules say."""
    expired: str = ""
    """Since when it may go; empty where it may not, or nobody said."""


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
        await adopting.adopt(context, found)
        fates = await decide(context, request, found)
        doomed = [fate for fate in fates if not fate.is_kept]
        if doomed and not request.is_dry_run:
            await remove(context, found, doomed)
        if not request.is_dry_run and not found.repository.storage.traits.append_only:
            copies = await catalog_copies.superseded(context, found.repository)
            await forgetting.forget(found.repository, copies, found.lock, emit=context.emit)
    return fates


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


async def decide(context: JobContext, request: ForgetRequest, opened: Opened) -> list[Fate]:
    """What becomes of each backup in one storage, newest first.

    A protected, held or not yet expired one is kept whatever the rules say, and one that expired goes.
    """
    now = context.clock.now()
    held = [each for each in await _held(opened) if request.source in ("", each.source)]
    ahead = [each for each in held if each.snapshot.time > now + _FUTURE]
    if ahead:
        raise RefusedError(
            f"{len(ahead)} backups in {opened.definition.name} are from the future, the first of {ahead[0].snapshot.time:%Y-%m-%d %H:%M}",
            hint="a clock is wrong, here or where they were taken: nothing was forgotten",
        )
    wishes = await _wishes(context, held, now)
    fates: list[Fate] = []
    for name in sorted({each.group for each in held}):
        group = [each for each in held if each.group == name]
        reasons = _reasons(group, request.policy, wishes, now)
        fates += [
            Fate(
                backup_id=each.backup_id,
                snapshot_id=each.snapshot_id,
                source=each.source,
                storage=opened.definition.name,
                created_at=each.snapshot.time,
                is_kept=is_kept,
                reasons=tuple(why),
            )
            for each, (is_kept, why) in zip(group, reasons, strict=True)
        ]
    return fates


def _reasons(
    group: Sequence[_Held], policy: KeepPolicy, wishes: Mapping[str, _Wishes], now: datetime.datetime
) -> list[tuple[bool, Sequence[str]]]:
    """Whether each of one source's backups is kept, and why. One that expired takes no place of a rule, and goes; never the last one.

    A safety backup takes no place of a rule either, else it would drive out a good one: it stays until it expires.
    """
    none = _Wishes()
    gone = {
        each.snapshot_id: wish.expired
        for each in group
        if (wish := wishes.get(each.backup_id, none)).expired and not wish.keep
    }
    safety = {each.snapshot_id for each in group if SAFETY_TAG in each.snapshot.tags}
    left = [each for each in group if each.snapshot_id not in gone and each.snapshot_id not in safety]
    candidates = [Candidate(each.snapshot_id, each.snapshot.time, each.snapshot.tags) for each in left]
    decided = {each.id: each for each in retention.decide(candidates, policy, now)}
    reasons: list[tuple[bool, Sequence[str]]] = []
    for each in group:
        if each.snapshot_id in gone:
            reasons.append((False, [gone[each.snapshot_id]]))
            continue
        if each.snapshot_id in safety:
            reasons.append((True, wishes.get(each.backup_id, none).keep or ["a safety backup"]))
            continue
        decision = decided[each.snapshot_id]
        why = [*wishes.get(each.backup_id, none).keep, *(decision.reasons if decision.is_kept else ())]
        reasons.append((bool(why), why or decision.reasons))
    if not any(is_kept for is_kept, _ in reasons):
        reasons[0] = (True, ["the last backup of its source", *reasons[0][1]])
    return reasons


async def _held(opened: Opened) -> list[_Held]:
    found = []
    for snapshot_id, snapshot in await opened.repository.snapshots():
        source = tag_value(snapshot, SOURCE_TAG)
        if source:
            found.append(_Held(snapshot_id, snapshot, source, tag_value(snapshot, BACKUP_TAG)))
    return sorted(found, key=lambda each: (each.snapshot.time, each.snapshot_id), reverse=True)


async def _wishes(
    context: JobContext, held: Sequence[_Held], now: datetime.datetime
) -> Mapping[str, _Wishes]:
    found = {}
    for backup in await context.catalog.backups.get_many([each.backup_id for each in held]):
        wishes = _Wishes()
        if backup.is_protected:
            wishes.keep.append("protected")
        if backup.hold_reason:
            wishes.keep.append(f"held: {backup.hold_reason}")
        if backup.expires_at is not None and backup.expires_at > now:
            wishes.keep.append(f"expires {backup.expires_at:%Y-%m-%d %H:%M}")
        elif backup.expires_at is not None:
            wishes.expired = f"expired {backup.expires_at:%Y-%m-%d %H:%M}"
        found[backup.backup_id] = wishes
    return found
