"""What is wrong, from what is known. Of each subject one function; each finding with the command that mends it."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.alerting import log_conditions, sizes
from engine.model import status as judging
from engine.model.alerts import AlertSettings, Condition
from engine.model.amounts import size
from engine.model.backup import SAFETY_TAG, Backup, BackupStatus
from engine.model.spans import days, span
from engine.model.status import Concern, SourceFacts

_LEAST_OF_RATE: Final = 5
"""Of fewer backups a success rate says nothing."""
_RATE_WINDOW: Final = datetime.timedelta(days=30)
_TRIED_OFTEN: Final = 3


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """What the last look at a storage found."""

    name: str
    seen_at: datetime.datetime
    error: str = ""
    """Why it could not be opened; empty where it could."""
    free_bytes: int | None = None
    total_bytes: int | None = None
    days_until_full: float | None = None
    locks: Sequence[tuple[str, datetime.datetime]] = ()
    """Who holds it, and since when."""
    hint: str = ""
    """What to do about the error."""
    since: datetime.datetime | None = None
    """Since when it cannot be opened; None where it can."""
    job_id: str = ""
    """The job that found so first; empty where a look did."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host that could not be reached when it was last tried."""

    name: str
    since: datetime.datetime
    seen_at: datetime.datetime
    error: str
    hint: str = ""
    job_id: str = ""
    """The job that found so first; empty where a look did."""
    waiting: int = 0
    """Sources that lie on it."""


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """What is known of this home as a whole."""

    is_catalog_kept: bool = True
    """Whether a storage's copy of the catalog holds what is defined now; true also where none is wanted."""
    catalog_copied_at: datetime.datetime | None = None
    """When the newest of these copies was made."""
    first_backup_at: datetime.datetime | None = None
    """When a backup was first seen here; None where there was none."""
    kit_tried_at: datetime.datetime | None = None
    """When a drill last did with a recovery kit alone, and passed."""
    is_worker_wanted: bool = False
    """Whether anything is to run by itself."""
    is_worker_alive: bool = False
    worker_seen_at: datetime.datetime | None = None
    undelivered: Sequence[tuple[str, int, str]] = ()
    """Destination, attempts, why: of those whose newest message did not arrive."""
    pauses: Sequence[judging.Paused] = ()
    """Those that hold."""
    unwritable: str = ""
    """Why what jobs do cannot be written down, or soon cannot; empty where it can."""
    left: Sequence[LeftRestore] = ()
    """Restores of whole servers that ended half-way."""


@dataclass(frozen=True, slots=True)
class LeftRestore:
    """A restore that ended while data folders of a server were changing places."""

    source: str
    job_id: str
    sentence: str
    """What stands where."""
    remedy: str


def says_all(newest: Backup, now: datetime.datetime) -> bool:
    """Whether a source's newest backup, as large as those before it, says all that its backups say: it is whole, and not old."""
    is_old = (now - newest.created_at).total_seconds() > judging.PATIENCE_S
    return newest.status is BackupStatus.COMPLETED and SAFETY_TAG not in newest.tags and not is_old


def needs_history(facts: SourceFacts, now: datetime.datetime) -> bool:
    """Whether more than the few newest backups must be read before anything is said: where what they show might be out of the ordinary."""
    restorable = judging.newest(facts.backups)
    if restorable is None or facts.objectives.success_percent is not None:
        return True
    if (now - restorable.created_at).total_seconds() > judging.PATIENCE_S:
        return True
    newest, past = _sized(facts.backups, restorable)
    return sizes.might_be_odd(newest, past)


def of_source(facts: SourceFacts, now: datetime.datetime, settings: AlertSettings) -> list[Concern]:
    """All that there is to say of a source."""
    found = judging.concerns(facts, now, settings) + log_conditions.of_log(facts, now)
    restorable = judging.newest(facts.backups)
    if restorable is None:
        return found
    found += _size(facts, restorable)
    found += _drill(facts)
    found += _objectives(facts, restorable, now)
    return found


def _size(facts: SourceFacts, newest: Backup) -> list[Concern]:
    if newest.status is not BackupStatus.COMPLETED:
        return []  # that it is incomplete was said already
    odd = sizes.look(*_sized(facts.backups, newest))
    if odd is None:
        return []
    factor = odd.size_bytes / max(odd.usual_bytes, 1)
    changed = (
        f"{factor:.1f} times as much as"
        if odd.change > 0
        else f"{-odd.change:.0%} less than".replace("%", " %")
    )
    against = "on that day of the week" if odd.is_weekly else "of late"
    said = (
        f"the newest backup holds {size(odd.size_bytes)}, {changed} usual: {against} it held about {size(odd.usual_bytes)}, "
        f"and {size(odd.least_bytes)} to {size(odd.most_bytes)} would be nothing special"
    )
    return [
        Concern(
            f"source {facts.name}",
            True,
            said,
            f"holdfast diff {_before(facts, newest)} {newest.backup_id}",
            Condition.SIZE_ANOMALY,
            facts.host,
        )
    ]


def _sized(backups: Sequence[Backup], newest: Backup) -> tuple[sizes.Sized, list[sizes.Sized]]:
    past = [
        sizes.Sized(each.created_at, each.size_bytes)
        for each in reversed(backups)
        if each.status is BackupStatus.COMPLETED and each.created_at < newest.created_at
    ]
    return sizes.Sized(newest.created_at, newest.size_bytes), past


def _before(facts: SourceFacts, newest: Backup) -> str:
    older = (each for each in facts.backups if each.created_at < newest.created_at)
    return next(
        (each.backup_id for each in older if each.status is not BackupStatus.FAILED), newest.backup_id
    )


def _drill(facts: SourceFacts) -> list[Concern]:
    drill = facts.last_drill
    if drill is None or drill.budget_s is None or drill.rto_s <= drill.budget_s:
        return []
    said = f"the last drill took {span(drill.rto_s)}, over its budget of {span(drill.budget_s)}"
    return [
        Concern(
            f"source {facts.name}", True, said, f"holdfast evidence show {drill.job_id}", Condition.DRILL_OVER_BUDGET,
            facts.host, drill.job_id,
        )
    ]  # fmt: skip


def _objectives(facts: SourceFacts, newest: Backup, now: datetime.datetime) -> list[Concern]:
    wanted, missed = facts.objectives, []
    taken = [each for each in facts.backups if each.status is not BackupStatus.FAILED and each.completed_at]
    if wanted.duration_s is not None and taken:
        took_s = (taken[0].completed_at - taken[0].created_at).total_seconds()  # type: ignore[operator]
        if took_s > wanted.duration_s:
            missed.append(
                f"the newest backup took {span(took_s)}, where {span(wanted.duration_s)} is the objective"
            )
    recent = [each for each in facts.backups if now - each.created_at <= _RATE_WINDOW]
    if wanted.success_percent is not None and len(recent) >= _LEAST_OF_RATE:
        rate = 100 * statistics.fmean(each.status is BackupStatus.COMPLETED for each in recent)
        if rate < wanted.success_percent:
            missed.append(
                f"{rate:.0f} % of the last {len(recent)} backups succeeded, where {wanted.success_percent:g} % is the objective"
            )
    age_s = judging.lost_s(facts, newest, now)
    if wanted.recovery_point_s is not None and age_s > wanted.recovery_point_s:
        missed.append(
            f"{span(age_s)} of changes would be lost now, where {span(wanted.recovery_point_s)} is the objective"
        )
    drill = facts.last_drill
    if wanted.recovery_time_s is not None and drill is not None and drill.rto_s > wanted.recovery_time_s:
        missed.append(
            f"the last drill took {span(drill.rto_s)}, where {span(wanted.recovery_time_s)} is the objective"
        )
    if not missed:
        return []
    return [
        Concern(
            f"source {facts.name}",
            True,
            "; ".join(missed),
            f"holdfast source show {facts.name}",
            Condition.OBJECTIVE_MISSED,
            facts.host,
        )
    ]


def of_storage(facts: StorageFacts, now: datetime.datetime, settings: AlertSettings) -> list[Concern]:
    """What is wrong with a storage, as it was when it was looked at."""
    subject = f"storage {facts.name}"
    if facts.error:
        said = f"it could not be opened: {_advised(facts.error, facts.hint)}"
        remedy = f"holdfast storage test {facts.name}"
        return [Concern(subject, True, said, remedy, Condition.UNREACHABLE, job_id=facts.job_id)]
    found = []
    low = []
    if facts.free_bytes is not None and facts.total_bytes:
        share = 100 * facts.free_bytes / facts.total_bytes
        if share < settings.low_percent:
            low.append(f"only {share:.0f} % of it is free ({size(facts.free_bytes)})")
    if facts.days_until_full is not None and facts.days_until_full < settings.full_days:
        on = (facts.seen_at + datetime.timedelta(days=facts.days_until_full)).date().isoformat()
        low.append(f"it will be full on {on}, as it grows now")
    if low:
        remedy = f"holdfast prune {facts.name}"
        found.append(Concern(subject, True, " and ".join(low), remedy, Condition.STORAGE_LOW))
    old = [
        (who, now - since)
        for who, since in facts.locks
        if now - since > datetime.timedelta(hours=settings.lock_hours)
    ]
    if old:
        who, held = max(old, key=lambda each: each[1])
        said = f"it has been locked for {days(held.total_seconds())} by {who}"
        found.append(
            Concern(subject, True, said, f"holdfast storage unlock {facts.name}", Condition.LOCK_HELD)
        )
    return found


def of_host(facts: HostFacts) -> Concern:
    """That it cannot be reached: one concern, however many sources lie on it."""
    waiting = f", and {facts.waiting} of its sources wait" if facts.waiting > 1 else ""
    said = f"it cannot be reached since {facts.since:%Y-%m-%d %H:%M} UTC{waiting}: {_advised(facts.error, facts.hint)}"
    remedy = f"holdfast host test {facts.name}"
    return Concern(f"host {facts.name}", True, said, remedy, Condition.UNREACHABLE, facts.name, facts.job_id)


def _advised(error: str, hint: str) -> str:
    return f"{error}; {hint}" if hint else error


def of_home(facts: HomeFacts, now: datetime.datetime, settings: AlertSettings) -> list[Concern]:
    """What is wrong with this home as a whole."""
    found = []
    copied_at = facts.catalog_copied_at
    if facts.first_backup_at is not None and not facts.is_catalog_kept:
        is_old = copied_at is not None and now - copied_at > datetime.timedelta(days=settings.copy_days)
        age = f"; the newest copy is {days((now - copied_at).total_seconds())} old" if copied_at else ""
        said = f"what was defined last is in no storage's copy of it{age}"
        found.append(Concern("catalog", is_old, said, "holdfast catalog copy", Condition.CATALOG_COPY_OLD))
    found += _kit(facts, now, settings)
    if facts.is_worker_wanted and not facts.is_worker_alive:
        since = facts.worker_seen_at
        last = (
            f"it was last heard of {days((now - since).total_seconds())} ago"
            if since
            else "none was ever seen"
        )
        said = f"no worker is alive, and schedules wait for one: {last}"
        found.append(Concern("worker", True, said, "holdfast worker", Condition.WORKER_GONE))
    if facts.unwritable:
        said = f"what is done cannot be written down, so that nothing is done: {facts.unwritable}"
        found.append(Concern("catalog", True, said, "holdfast doctor", Condition.HOME_FULL))
    found += [
        Concern(
            f"source {each.source}",
            True,
            each.sentence,
            each.remedy,
            Condition.RESTORE_LEFT,
            job_id=each.job_id,
        )
        for each in facts.left
    ]
    for name, attempts, why in facts.undelivered:
        if attempts >= _TRIED_OFTEN:
            said = f"its last message was tried {attempts} times: {why}"
            remedy = f"holdfast notify test {name}"
            found.append(Concern(f"destination {name}", True, said, remedy, Condition.DELIVERY_FAILED))
    return found + [
        _pause(each, now)
        for each in facts.pauses
        if each.until is None and now - each.since > datetime.timedelta(days=settings.pause_days)
    ]


def _pause(pause: judging.Paused, now: datetime.datetime) -> Concern:
    what = "it has" if pause.schedule else "everything has"
    said = f"{what} been paused for {days((now - pause.since).total_seconds())}, and nothing ends that: {pause.reason}"
    subject = f"schedule {pause.schedule}" if pause.schedule else "schedules"
    remedy = f"holdfast schedule resume {pause.schedule}" if pause.schedule else "holdfast resume"
    return Concern(subject, False, said, remedy, Condition.PAUSED_LONG)


def _kit(facts: HomeFacts, now: datetime.datetime, settings: AlertSettings) -> list[Concern]:
    tried_at, first_at = facts.kit_tried_at, facts.first_backup_at
    if first_at is None or now - (tried_at or first_at) <= datetime.timedelta(
        days=settings.kit_days if tried_at else settings.unproven_days
    ):
        return []
    when = f"for {days((now - tried_at).total_seconds())}" if tried_at else "yet"
    said = f"no recovery kit was tried {when}: nobody knows whether it opens anything"
    remedy = "holdfast drill SOURCE --scenario kit-only"
    return [Concern("recovery kit", False, said, remedy, Condition.KIT_UNTESTED)]


def to_object(facts: StorageFacts) -> Mapping[str, Any]:
    """For the catalog's settings."""
    return {
        "at": facts.seen_at.isoformat(),
        "error": facts.error,
        "free_bytes": facts.free_bytes,
        "total_bytes": facts.total_bytes,
        "days_until_full": facts.days_until_full,
        "locks": [[who, since.isoformat()] for who, since in facts.locks],
        "hint": facts.hint,
        "since": facts.since.isoformat() if facts.since else None,
        "job_id": facts.job_id,
    }


def from_object(name: str, kept: Mapping[str, Any]) -> StorageFacts:
    """What `to_object` made."""
    return StorageFacts(
        name,
        datetime.datetime.fromisoformat(kept["at"]),
        kept["error"],
        kept["free_bytes"],
        kept["total_bytes"],
        kept["days_until_full"],
        tuple((who, datetime.datetime.fromisoformat(since)) for who, since in kept["locks"]),
        kept.get("hint", ""),
        datetime.datetime.fromisoformat(kept["since"]) if kept.get("since") else None,
        kept.get("job_id", ""),
    )


def host_to_object(facts: HostFacts) -> Mapping[str, Any]:
    """For the catalog's settings."""
    return {
        "since": facts.since.isoformat(),
        "at": facts.seen_at.isoformat(),
        "error": facts.error,
        "hint": facts.hint,
        "job_id": facts.job_id,
    }


def host_from_object(name: str, kept: Mapping[str, Any]) -> HostFacts:
    """What `host_to_object` made."""
    since, at = (datetime.datetime.fromisoformat(kept[each]) for each in ("since", "at"))
    return HostFacts(name, since, at, kept["error"], kept["hint"], kept["job_id"])
