"""Which backups the rules of a schedule, or of a person, will let go, by the catalog alone: nothing is opened, no storage is asked."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine import retention
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.errors import UsageError
from engine.jobs import fates, scheduled
from engine.jobs.fates import Held
from engine.jobs.known import Known, chosen, known_of
from engine.model.backup import BackupFilter, Scope
from engine.model.definitions import OptionValue
from engine.model.requests import ForgetRequest, KeepPolicy
from engine.model.results import Fate
from engine.model.schedules import Action, Schedule, ScheduleStatus
from engine.model.timetables import KeepAhead

_COMING = "coming"
"""In place of the snapshot of a backup that is not taken yet."""


async def look_ahead(
    catalog: Catalog, clock: Clock, status: ScheduleStatus, *, is_after_next: bool = True
) -> KeepAhead:
    """Of a schedule that forgets, or whose backups are followed by it. `is_after_next` counts the backups of its next run in.

    Raises: UsageError for rules that cannot be understood.
    """
    schedule = status.schedule
    known = await known_of(catalog)
    requests = _requests(schedule, known)
    now = clock.now()
    is_counting = is_after_next and schedule.action is Action.BACKUP
    at = max(now, status.state.next_at or now) if is_after_next else now
    found = _Found()
    for request in requests:
        coming = (
            [_coming(schedule, request.source, at.astimezone(clock.local_offset(at)))] if is_counting else []
        )
        await _judge(catalog, clock, request, at, found, coming)
    words = retention.in_words(requests[0].policy) if requests else ""
    counted = len(requests) if is_counting else 0
    return KeepAhead(
        schedule.name, words, tuple(requests), at, counted, tuple(found.fates), found.going_bytes
    )


async def by_rules(
    catalog: Catalog, clock: Clock, options: Mapping[str, OptionValue], *, source: str = "", storage: str = ""
) -> KeepAhead:
    """Of rules that no schedule has, as `forget` takes them, for a source in all its storages, or for all sources in a storage.

    Raises: UsageError for rules that cannot be understood, and for none.
    """
    policy = scheduled.policy_of(options)
    if policy.is_empty:
        raise UsageError(
            "these rules say nothing of what is kept",
            hint="7d 4w 12m: of so many days, weeks, months the newest",
        )
    storages = (storage,) if storage else ()
    names = [source] if source else await _sources_in(catalog, storage)
    found, at = _Found(), clock.now()
    for name in names:
        await _judge(catalog, clock, ForgetRequest(policy, name, storages), at, found)
    request = ForgetRequest(policy, source, storages)
    return KeepAhead("", retention.in_words(policy), (request,), at, 0, tuple(found.fates), found.going_bytes)


async def policies(catalog: Catalog, source: str, storage: str) -> list[KeepPolicy]:
    """By which schedules forget backups of that source in that storage. Raises: UsageError for rules that cannot be understood."""
    known = await known_of(catalog)
    requests = [
        each
        for schedule in await catalog.schedules.all()
        if not schedule.is_template and schedule.action in (Action.FORGET, Action.BACKUP)
        for each in _requests(schedule, known)
    ]
    found = [
        each.policy
        for each in requests
        if each.source in ("", source) and storage in (each.storages or (storage,))
    ]
    return list(dict.fromkeys(found))


@dataclass(slots=True)
class _Found:
    fates: list[Fate] = field(default_factory=list)
    going_bytes: int = 0


async def _judge(
    catalog: Catalog,
    clock: Clock,
    request: ForgetRequest,
    at: datetime.datetime,
    found: _Found,
    coming: Sequence[Held] = (),
) -> None:
    """What becomes of the backups of one source, each storage by itself; those that come count, and are not told of."""
    backups = await catalog.backups.page(BackupFilter(source=request.source), limit=-1)
    said = {each.backup_id: each for each in backups}
    for storage in await _storages(catalog, request):
        held = [*fates.of_backups(backups, storage, clock.local_offset), *coming]
        judged = [
            each
            for each in fates.judge(storage, held, request.policy, said, at)
            if each.snapshot_id != _COMING
        ]
        found.fates += judged
        found.going_bytes += sum(said[each.backup_id].added_bytes for each in judged if not each.is_kept)


async def _sources_in(catalog: Catalog, storage: str) -> Sequence[str]:
    """Those that it has something of, defined or not. Raises: UnknownNameError."""
    await catalog.storages.get(storage)
    newest = await catalog.backups.newest_in_storages()
    names = {each.name for each in await catalog.sources.all()}
    return sorted(names | {name for name, places in newest.items() if storage in places})


def _requests(schedule: Schedule, known: Known) -> list[ForgetRequest]:
    if schedule.action is Action.FORGET:
        parts = scheduled.parts_of(schedule, known)
    else:
        names = [each.name for each in chosen(schedule.sources, known) if not each.retired]
        parts = scheduled.follow_ups(schedule, names, known)
    return [each.request for each in parts]


async def _storages(catalog: Catalog, request: ForgetRequest) -> Sequence[str]:
    if request.storages:
        return tuple(dict.fromkeys(request.storages))
    return [each.name for each in await catalog.storages.all() if each.is_enabled]


def _coming(schedule: Schedule, source: str, at: datetime.datetime) -> Held:
    scope = Scope(str(schedule.options.get("only") or Scope.ALL.value))
    tags = schedule.options.get("tag")
    return Held(_COMING, "", source, scope, at, tuple(tags) if isinstance(tags, tuple | list) else ())
