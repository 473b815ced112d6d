"""What is known of everything, out of the catalog alone, and all that is wrong by it: for `status`, and for alerts. Connects to nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from engine.alerting import conditions, sizes
from engine.errors import VaultError
from engine.jobs import left_restores, presence
from engine.jobs.known import general_pause
from engine.model import log_watch
from engine.model import status as judging
from engine.model.alerts import Alert, Silence
from engine.model.amounts import size
from engine.model.backup import SAFETY_TAG, Backup, BackupFilter, BackupStatus, Scope
from engine.model.definitions import LOCAL_HOST, Source, retired_reason
from engine.model.health import HealthFacts, ProofAttempt, health
from engine.model.log_watch import LogFacts, WatchedLog
from engine.model.objectives import objectives_of
from engine.service.parts import Parts

_LOOKED_AT: Final = 100
"""Backups of a source among which the newest one that did not fail is looked for, and whose sizes and times tell what is usual."""
_NEWEST: Final = 16
"""Backups of each source whose sizes are always looked at: of one that is taken twice a day, those of the week before too. Where they are
alike, the newest one mostly says all that there is to say; else so many are read."""
_AT_ONCE: Final = 250
"""Sources that are looked at before others of the loop have their turn: a console of thousands takes keys meanwhile."""
_FAILED_JOBS: Final = 500
UNCOVERED: Final = "uncovered"
"""The setting that holds, by host, what its last test found: a count may be a month old, but a status must not connect anywhere."""
_STORAGE_WHY: Final = frozenset(
    {"StorageError", "StorageUnreachableError", "StorageDeniedError", "NoRepositoryError"}
)
"""Errors of jobs that could not open a storage."""
_LEAST_ROOM_BYTES: Final = 16 << 20
"""Left on the home's disk: so much a night of a large fleet writes into the catalog and its log."""
_KNOWN: Final = "known-since"
"""The setting that holds, by source, when a backup of it was first seen."""

Expectations = Mapping[str, judging.Expectation]
"""By source; what is not in it is expected by no schedule."""


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is known."""

    sources: Sequence[tuple[Source, judging.SourceFacts]]
    storages: Sequence[conditions.StorageFacts]
    home: conditions.HomeFacts
    uncovered: Sequence[judging.Uncovered]
    hosts: Sequence[conditions.HostFacts] = ()
    """Those that cannot be reached."""

    def concerns(self, parts: Parts) -> list[judging.Concern]:
        """All that is wrong or could be better, risks first."""
        now, settings = parts.clock.now(), parts.settings.alerts
        found = [each for _, facts in self.sources for each in conditions.of_source(facts, now, settings)]
        found += [each for facts in self.storages for each in conditions.of_storage(facts, now, settings)]
        found += [conditions.of_host(each) for each in self.hosts]
        found += conditions.of_home(self.home, now, settings)
        found += [concern for each in self.uncovered for concern in judging.of_host(each)]
        return sorted(found, key=lambda concern: not concern.is_risk)


async def gather(
    parts: Parts, expectations: Expectations | None = None, *, is_worker_wanted: bool = False
) -> Everything:
    """Reads it. Raises: CatalogError."""
    drills = await parts.catalog.jobs.drills()
    failed = await _failed_jobs(parts)
    known = await _known_since(parts)
    retired = {host.name: retired_reason(host) for host in await parts.catalog.hosts.all()}
    retried = await parts.catalog.jobs.retried()
    newest, first = await _newest(parts, known)
    known |= first
    proofs = await parts.catalog.standing.source_proofs()
    now = parts.clock.now()
    storages = [each for each in await _storages(parts) if not each.job_id or each.job_id not in retried]
    silent_storages = {each.name: each.since for each in storages if each.error and each.since}
    defined = await parts.catalog.sources.all()
    hosts = {
        name: each
        for name, each in (await _silent_hosts(parts, defined)).items()
        if each.waiting
        and not retired.get(name, "unknown")
        and (not each.job_id or each.job_id not in retried)
    }
    watched = {each.source: each for each in await parts.catalog.logs.watched()}
    unnamed = judging.UNASKED if expectations is None else judging.NOTHING_EXPECTED
    returned = await presence.returned(parts.catalog)
    hosts_back = presence.named(returned, presence.HOST_BACK)
    storages_were = {
        name: each.span for name, each in presence.named(returned, presence.STORAGE_BACK).items()
    }
    sources = []
    for source in defined:
        attempts = proofs.get(source.name, ())
        facts = dataclasses.replace(
            _of_source(source, _settled(newest.get(source.name, ()), retried), attempts, now),
            failed_job=failed.get(source.name),
            last_drill=drills.get(source.name),
            expectation=(expectations or {}).get(source.name, unnamed),
            known_since=known.get(source.name),
            silent=judging.Silent(
                hosts[source.host].since if source.host in hosts else None,
                silent_storages,
                hosts_back[source.host].span if source.host in hosts_back else None,
                storages_were,
            ),
            log=_log_of(source, watched.get(source.name)),
        )
        if reason := retired.get(source.host):
            nothing = dataclasses.replace(facts.expectation, is_retired=True)
            facts = dataclasses.replace(facts, expectation=nothing, retired=reason)
        if source.name in newest and conditions.needs_history(facts, now):
            history = _settled(await _history(parts, source), retried)
            more = _of_source(source, history, attempts, now)
            facts = dataclasses.replace(facts, backups=more.backups, health=more.health)
        sources.append((source, facts))
        if not len(sources) % _AT_ONCE:
            await asyncio.sleep(0)
    known = await _remember_known(parts, known, sources, is_new=bool(first))
    first_at = min(known.values(), default=None)
    home = await _home(parts, first_at, is_worker_wanted=is_worker_wanted)
    return Everything(sources, storages, home, await _uncovered(parts), list(hosts.values()))


def _log_of(source: Source, watched: WatchedLog | None) -> LogFacts | None:
    """What is shipped no more is kept, and reaches what it reached: it is no log that anything is expected of."""
    if not log_watch.is_logged(source):
        return None
    return log_watch.facts_of(watched) if watched is not None else LogFacts()


async def _storages(parts: Parts) -> list[conditions.StorageFacts]:
    seen = await parts.catalog.settings.beginning(presence.STORAGE_SEEN)
    return [
        conditions.from_object(each.name, seen[each.name])
        for each in await parts.catalog.storages.all()
        if each.is_enabled and each.name in seen
    ]


async def _silent_hosts(parts: Parts, sources: Sequence[Source]) -> dict[str, conditions.HostFacts]:
    found = await presence.silent_hosts(parts.catalog)
    counts = Counter(each.host for each in sources) if found else Counter[str]()
    return {name: dataclasses.replace(each, waiting=counts[name]) for name, each in found.items()}


async def _newest(
    parts: Parts, known: Mapping[str, datetime.datetime]
) -> tuple[dict[str, Sequence[Backup]], dict[str, datetime.datetime]]:
    """By source: its newest backup, where that says all; else its newest few. And of those that say all of sources not yet known: when the first
    one was begun."""
    now, backups = parts.clock.now(), parts.catalog.backups
    found: dict[str, Sequence[Backup]] = {}
    more: list[str] = []
    for source, last in (await backups.newest_of_sources(_NEWEST, sizes.LEAST_FACTOR)).items():
        if last.is_steady and conditions.says_all(last.backup, now):
            found[source] = [last.backup]
        else:
            more.append(source)
    new = found.keys() - known.keys()
    first = await backups.first_of_sources(new) if new else {}
    return {**found, **(await backups.last_of_sources(more, _NEWEST) if more else {})}, first


async def standing_alerts(parts: Parts, now: datetime.datetime) -> list[Alert]:
    """Those that stand, with the silence that holds for each."""
    found = await parts.catalog.alerts.standing()
    if not found:
        return []
    from engine.alerting import standing  # with all that is told of alerts

    silences = await silences_at(parts, now)
    return [standing.silenced(each, standing.silence_of(each, silences, now)) for each in found]


async def silences_at(parts: Parts, now: datetime.datetime) -> list[Silence]:
    """All silences, announced ones too, with those that maintenance windows make now."""
    silences, windows = await parts.catalog.silences.all(), await parts.catalog.windows.all()
    if not windows:
        return silences
    from engine.schedule import maintenance  # time zones, lines of cron

    return maintenance.holding(silences, windows, now)


async def of_source(parts: Parts, source: Source) -> judging.SourceFacts:
    """What its backups and proofs tell of one source."""
    proofs = await parts.catalog.standing.source_proofs(source.name)
    history = await _history(parts, source)
    return _of_source(source, history, proofs.get(source.name, ()), parts.clock.now())


async def _history(parts: Parts, source: Source) -> list[Backup]:
    # A backup of the schema alone keeps nobody's data, however new and well proved it is.
    return _kept(
        await parts.catalog.backups.page(BackupFilter(source=source.name, scope=Scope.ALL), limit=_LOOKED_AT)
    )


def _kept(backups: Sequence[Backup]) -> list[Backup]:
    """Without safety backups: those keep what a restore replaced."""
    return [each for each in backups if SAFETY_TAG not in each.tags]


def _settled(backups: Sequence[Backup], retried: Set[str]) -> list[Backup]:
    """Without the failed attempts of jobs that are tried again: where the last one fails too, it is told then."""
    return [each for each in backups if each.status is not BackupStatus.FAILED or each.job_id not in retried]


def _of_source(
    source: Source, newest: Sequence[Backup], attempts: Sequence[ProofAttempt], now: datetime.datetime
) -> judging.SourceFacts:
    backups = _kept(newest)
    restorable = judging.newest(backups)
    facts = HealthFacts(
        newest_at=restorable.created_at if restorable is not None else None,
        last_status=backups[0].status if backups else None,
        copies=sum(1 for copy in restorable.copies if copy.snapshot_id) if restorable is not None else 0,
        attempts=attempts,
    )
    return judging.SourceFacts(
        source.name, backups, attempts, health(facts, now), source.host, objectives_of(source)
    )


async def _failed_jobs(parts: Parts) -> dict[str, judging.FailedJob]:
    found: dict[str, judging.FailedJob] = {}
    defaults = tuple(each.name for each in await parts.catalog.storages.all() if each.is_default)
    for job in await parts.catalog.standing.failed_backups(_FAILED_JOBS):
        storages = tuple(job.request.get("storages") or defaults) if job.error_class in _STORAGE_WHY else ()
        for source in job.request.get("sources", ()):
            if source not in found or found[source].at < job.at:
                found[source] = judging.FailedJob(job.job_id, job.at, job.error, storages)
    return found


async def _known_since(parts: Parts) -> dict[str, datetime.datetime]:
    kept = await parts.catalog.settings.get(_KNOWN) or {}
    return {name: datetime.datetime.fromisoformat(at) for name, at in kept.items()}


async def _remember_known(
    parts: Parts,
    known: Mapping[str, datetime.datetime],
    sources: Sequence[tuple[Source, judging.SourceFacts]],
    *,
    is_new: bool,
) -> dict[str, datetime.datetime]:
    """Writes only where there is a source that had no backup before; `is_new` says that one is among those known."""
    new = {
        source.name: facts.backups[-1].created_at
        for source, facts in sources
        if facts.backups and source.name not in known
    }
    everything = {**known, **new}
    if (new or is_new) and not parts.catalog.is_copy:
        with parts.noting("when a backup of each source was first seen is not noted"):
            noted = {name: at.isoformat() for name, at in everything.items()}
            await parts.catalog.settings.put(_KNOWN, noted)
    return everything


async def _home(
    parts: Parts, first_backup_at: datetime.datetime | None, *, is_worker_wanted: bool
) -> conditions.HomeFacts:
    is_kept, copied_at = await _catalog_copies(parts, has_backups=first_backup_at is not None)
    workers = await parts.catalog.workers.all()
    last = await parts.catalog.notices.last()
    return conditions.HomeFacts(
        is_catalog_kept=is_kept,
        catalog_copied_at=copied_at,
        first_backup_at=first_backup_at,
        kit_tried_at=await parts.catalog.jobs.kit_tried_at(),
        is_worker_wanted=is_worker_wanted,
        is_worker_alive=bool(await parts.catalog.workers.alive()),
        worker_seen_at=max((each.lease_until for each in workers), default=None),
        undelivered=[
            (name, attempts, error)
            for name, (state, attempts, error, _) in sorted(last.items())
            if state != "sent"
        ],
        pauses=await _pauses(parts, parts.clock.now()),
        unwritable=_unwritable(parts),
        left=[
            conditions.LeftRestore(each.source, each.job_id, each.sentence, each.remedy)
            for each in await left_restores.left(parts.catalog)
        ],
    )


def _unwritable(parts: Parts) -> str:
    """A copy for readers says nothing of the home's own disk."""
    if parts.catalog.is_copy or parts.catalog.unwritable:
        return parts.catalog.unwritable
    directory = parts.home.directory
    free = shutil.disk_usage(directory).free
    return f"the disk of {directory} has {size(free)} left" if free < _LEAST_ROOM_BYTES else ""


async def _pauses(parts: Parts, now: datetime.datetime) -> list[judging.Paused]:
    """Those that hold: a pause that everybody forgot is why nothing happens, and nothing else tells it."""
    general = await general_pause(parts.catalog)
    found = [("", general, ())] + [
        (each.schedule.name, each.state.pause, tuple(each.schedule.sources))
        for each in await parts.catalog.timetable.all()
        if not each.schedule.is_template
    ]
    return [
        judging.Paused(name, pause.since, pause.until, pause.reason, sources)
        for name, pause, sources in found
        if pause is not None and pause.covers(now)
    ]


async def _catalog_copies(parts: Parts, *, has_backups: bool) -> tuple[bool, datetime.datetime | None]:
    """Whether what is defined would outlive this machine, and when it was last copied."""
    if not parts.settings.catalog.copies or not has_backups:
        return True, None
    from engine.jobs import catalog_state

    try:
        found = await catalog_state.fingerprint(parts.catalog, parts.vault, parts.home)
    except VaultError:
        return True, None  # whoever asks for a status may have no key
    is_kept = await catalog_state.is_kept(parts.catalog, found)
    return is_kept, await catalog_state.copied_at(parts.catalog)


async def _uncovered(parts: Parts) -> list[judging.Uncovered]:
    """Of those hosts that are still defined."""
    kept = await parts.catalog.settings.get(UNCOVERED) or {}
    hosts = await parts.catalog.hosts.all()
    names = {host.name for host in hosts if not retired_reason(host)} | {LOCAL_HOST}
    return [
        judging.Uncovered(name, datetime.datetime.fromisoformat(each["at"]), each["what"])
        for name, each in sorted(kept.items())
        if name in names
    ]
