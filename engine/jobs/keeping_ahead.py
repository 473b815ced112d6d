"""Which backups the rules of a schedule will let go, by the catalog alone: nothing is opened, no storage is asked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from engine import retention
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.jobs import fates, scheduled
from engine.jobs.fates import Held
from engine.jobs.known import Known, chosen, known_of
from engine.model.backup import BackupFilter, Scope
from engine.model.requests import ForgetRequest
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
    judged: list[Fate] = []
    going_bytes = coming = 0
    for request in requests:
        backups = await catalog.backups.page(BackupFilter(source=request.source), limit=-1)
        said = {each.backup_id: each for each in backups}
        for storage in await _storages(catalog, request):
            held = fates.of_backups(backups, storage, clock.local_offset)
            if is_counting:
                held.append(_coming(schedule, request.source, at.astimezone(clock.local_offset(at))))
            found = fates.judge(storage, held, request.policy, said, at)
            judged += [each for each in found if each.snapshot_id != _COMING]
            going_bytes += sum(
                said[each.backup_id].added_bytes
                for each in found
                if not each.is_kept and each.snapshot_id != _COMING
            )
        coming += is_counting
    words = retention.in_words(requests[0].policy) if requests else ""
    return KeepAhead(schedule.name, words, tuple(requests), at, coming, tuple(judged), going_bytes)


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
