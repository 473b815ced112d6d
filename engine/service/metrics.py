"""Figures for Prometheus, out of what the catalog knows: nothing is connected to, and no large table is read whole."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import engine
from engine.jobs import catalog_state
from engine.jobs.known import general_pause
from engine.model import status as judging
from engine.model.backup import Backup, BackupStatus
from engine.model.definitions import Source, Storage
from engine.model.log_watch import LogGlance
from engine.model.metrics import Family, Metrics, Sample
from engine.model.status import SourceFacts, Status
from engine.service import measured
from engine.service.measured import Measured
from engine.service.parts import Parts


async def collect(parts: Parts, status: Status, facts: Sequence[SourceFacts]) -> Metrics:
    """All figures at one instant, of storages those that were kept last."""
    now = parts.clock.now()
    storages = await parts.catalog.storages.all()
    sources = await parts.catalog.sources.all()
    families = [
        Family(
            "holdfast_build_info",
            "gauge",
            "Version of the holdfast that wrote these figures.",
            [Sample(1, (("version", engine.__version__),))],
        ),
        Family(
            "holdfast_collected_timestamp_seconds",
            "gauge",
            "When these figures were collected.",
            [Sample(now.timestamp())],
        ),
        *_sources(sources, facts, now),
        *_logs(status),
        *_risks(status),
        *await _storages(parts, storages),
        *await _jobs(parts),
        *await _schedules(parts, now),
        *_alerts(status),
        *await _catalog(parts, storages),
    ]
    return Metrics(now, families)


def _family(
    name: str, words: str, samples: Iterable[tuple[str, float | None]], label: str = "source"
) -> Family:
    """A gauge with one label; what is not known has no sample."""
    return Family(
        f"holdfast_{name}",
        "gauge",
        words,
        [Sample(value, ((label, key),)) for key, value in samples if value is not None],
    )


def _sources(
    sources: Sequence[Source], facts: Sequence[SourceFacts], now: datetime.datetime
) -> Iterator[Family]:
    newest = [(each.name, judging.newest(each.backups)) for each in facts]
    there = [(name, backup) for name, backup in newest if backup is not None]
    info = [Sample(1, (("source", each.name), ("host", each.host), ("kind", each.kind))) for each in sources]
    yield Family("holdfast_source_info", "gauge", "A source, its host and its kind.", info)
    for name, words, figure in _OF_BACKUPS:
        yield _family(f"backup_{name}", words, [(source, figure(backup)) for source, backup in there])
    age = [(source, (now - backup.created_at).total_seconds()) for source, backup in there]
    yield _family("backup_age_seconds", "Age of the newest backup that can be restored.", age)
    last = [
        Sample(float(each.backups[0].status is state), (("source", each.name), ("status", state.value)))
        for each in facts
        if each.backups
        for state in BackupStatus
    ]
    yield Family("holdfast_backup_last_status", "gauge", "How the last backup ended: 1 for that state.", last)
    yield _family(
        "source_health_score",
        "How well the source is looked after, from 0 to 100.",
        [(each.name, each.health.score) for each in facts],
    )
    for name, words, is_passed in (
        ("proven", "When a backup of the source was last proved so far.", True),
        ("proof_failed", "When an attempt to prove a backup so far last failed.", False),
    ):
        proved = [
            Sample(attempt.at.timestamp(), (("source", each.name), ("proof", attempt.proof.value)))
            for each in facts
            for attempt in each.attempts
            if attempt.is_passed is is_passed
        ]
        yield Family(f"holdfast_source_{name}_timestamp_seconds", "gauge", words, proved)


def _logs(status: Status) -> Iterator[Family]:
    """What would be lost of each source against what may be, and of those with a log how it comes."""
    lost = [(each.source, each.recovery_point_s) for each in status.sources]
    yield _family(
        "recovery_point_seconds", "What would be lost of the source now, in seconds of changes.", lost
    )
    goals = [(each.source, each.recovery_point_goal_s) for each in status.sources]
    yield _family(
        "recovery_point_goal_seconds", "What may be lost of the source, as its objective says.", goals
    )
    logged = [(each.source, each.log) for each in status.sources if each.log is not None]
    for name, words, figure in _OF_LOGS:
        yield _family(f"log_{name}", words, [(source, figure(log)) for source, log in logged])


_OF_LOGS: Final[Sequence[tuple[str, str, Callable[[LogGlance], float | None]]]] = (
    ("recoverable_from_timestamp_seconds", "The earliest instant that can be reached, by the host's clock.", lambda log: _stamp(log.recoverable_from)),
    ("recoverable_to_timestamp_seconds", "The latest instant that can be reached, by the host's clock.", lambda log: _stamp(log.recoverable_to)),
    ("lag_seconds", "How far what can be reached is behind now.", lambda log: log.lag_s),
    ("looked_timestamp_seconds", "When the log was last looked at.", lambda log: _stamp(log.looked_at)),
    ("failing", "Whether the last look, or what it was to ship, failed in any part.", lambda log: float(log.is_failing)),
    ("gaps", "Places in the log that cannot be reached.", lambda log: log.gaps),
    ("open_gaps", "Gaps behind the newest base: nothing after them can be reached.", lambda log: log.open_gaps),
    ("waiting_segments", "Segments on the host that are not yet in every storage.", lambda log: log.waiting_segments),
    ("waiting_bytes", "Their size.", lambda log: log.waiting_bytes),
    ("host_free_bytes", "Room on the host where segments wait.", lambda log: log.free_bytes),
    ("host_lasts_seconds", "How long that room lasts at the rate of the last look.", lambda log: log.lasts_s),
)  # fmt: skip


def _stamp(at: datetime.datetime | None) -> float | None:
    return at.timestamp() if at is not None else None


def _duration(backup: Backup) -> float | None:
    return (
        (backup.completed_at - backup.created_at).total_seconds() if backup.completed_at is not None else None
    )


_OF_BACKUPS: Final[Sequence[tuple[str, str, Callable[[Backup], float | None]]]] = (
    (
        "newest_timestamp_seconds",
        "The instant that the newest backup of all of the source brings back.",
        lambda each: each.created_at.timestamp(),
    ),
    (
        "size_bytes",
        "What the newest backup holds, before deduplication and compression.",
        lambda each: each.size_bytes,
    ),
    ("added_bytes", "What the newest backup added to each storage.", lambda each: each.added_bytes),
    ("duration_seconds", "How long the newest backup took.", _duration),
    (
        "copies",
        "Storages that hold the newest backup.",
        lambda each: sum(1 for copy in each.copies if copy.snapshot_id),
    ),
)


def _risks(status: Status) -> Iterator[Family]:
    risks: dict[str, int] = {each.source: 0 for each in status.sources}
    for each in status.own_concerns:
        noun, _, name = each.subject.partition(" ")
        if each.is_risk and noun == "source":
            risks[name] = risks.get(name, 0) + 1
    yield _family("source_risks", "Reasons why the source is at risk.", risks.items())
    total = sum(1 for each in status.own_concerns if each.is_risk)
    yield Family("holdfast_risks", "gauge", "Reasons why anything is at risk.", [Sample(total)])
    yield Family(
        "holdfast_uncovered",
        "gauge",
        "Databases and folders seen on hosts that no source takes.",
        [Sample(status.uncovered)],
    )


async def _storages(parts: Parts, storages: Sequence[Storage]) -> list[Family]:
    info = [Sample(1, (("storage", each.name), ("kind", each.kind))) for each in storages]
    known = [(each.name, await measured.measured(parts, each.name)) for each in storages]
    asked = [(name, each) for name, each in known if each is not None]
    missing = await parts.catalog.backups.count_missing_by_storage()

    def family(name: str, words: str, figure: Callable[[Measured], float | None]) -> Family:
        return _family(
            f"storage_{name}", words, [(storage, figure(each)) for storage, each in asked], "storage"
        )

    return [
        Family("holdfast_storage_info", "gauge", "A storage and its kind.", info),
        _family("storage_enabled", "Whether the storage is switched on.", [(each.name, float(each.is_enabled)) for each in storages], "storage"),
        family("reachable", "Whether the storage answered when it was last asked.", lambda each: float(each.is_reachable)),
        family("asked_timestamp_seconds", "When the storage was last asked.", lambda each: each.asked_at.timestamp()),
        family("measured_timestamp_seconds", "When the storage's figures were measured.", _measured_at),
        family("used_bytes", "What the storage held when it was measured.", lambda each: each.used_bytes),
        family("free_bytes", "What the storage had left when it was measured.", lambda each: each.free_bytes),
        family("full_in_days", "Days until the storage is full at its growth, when it was measured.", lambda each: each.days_until_full),
        _family("storage_missing_backups", "Backups that the storage was meant to take and lacks.", [(each.name, missing.get(each.name, 0)) for each in storages], "storage"),
    ]  # fmt: skip


def _measured_at(each: Measured) -> float | None:
    return each.measured_at.timestamp() if each.measured_at is not None else None


async def _jobs(parts: Parts) -> list[Family]:
    counts = await parts.catalog.history.counts()
    alive = await parts.catalog.workers.alive()
    now = parts.clock.now()
    waiting = [
        Sample(each.count, (("verb", each.verb), ("status", each.status.value)))
        for each in counts
        if not each.status.is_final
    ]
    over = [
        (each, (("verb", each.verb), ("status", each.status.value)))
        for each in counts
        if each.status.is_final
    ]
    ended = [Sample(each.last_at.timestamp(), labels) for each, labels in over if each.last_at is not None]
    lease = [(worker.owner.partition(":")[0], (worker.lease_until - now).total_seconds()) for worker in alive]
    newest: Mapping[str, float] = dict(sorted(lease, key=lambda pair: pair[1]))
    return [
        Family("holdfast_jobs", "gauge", "Jobs that wait or run.", waiting),
        Family(
            "holdfast_jobs_ended_total",
            "counter",
            "Jobs that are over, by how they ended.",
            [Sample(each.count, labels) for each, labels in over],
        ),
        Family(
            "holdfast_job_last_ended_timestamp_seconds",
            "gauge",
            "When the last job of that verb ended so.",
            ended,
        ),
        Family("holdfast_workers", "gauge", "Workers that are alive.", [Sample(len(alive))]),
        _family(
            "worker_lease_seconds",
            "How long the newest lease of a machine's workers still holds.",
            newest.items(),
            "machine",
        ),
    ]


async def _schedules(parts: Parts, now: datetime.datetime) -> list[Family]:
    """A start that passes by tells that neither a worker nor a timer looks: then nothing is queued, and nothing fails."""
    general = await general_pause(parts.catalog)
    starts = []
    paused = []
    for each in await parts.catalog.timetable.all():
        if each.schedule.is_template:
            continue
        name, pauses = each.schedule.name, (each.state.pause, general)
        is_paused = any(pause is not None and pause.covers(now) for pause in pauses)
        paused.append((name, float(is_paused)))
        if each.state.next_at is not None and not is_paused:
            starts.append((name, each.state.next_at.timestamp()))
    return [
        _family("schedule_next_start_timestamp_seconds", "When the schedule starts next, or should have.", starts, "schedule"),
        _family("schedule_paused", "Whether the schedule is paused, alone or with all others.", paused, "schedule"),
    ]  # fmt: skip


def _alerts(status: Status) -> list[Family]:
    counts = Counter((each.condition.value, "risk" if each.is_risk else "advice") for each in status.concerns)
    samples = [
        Sample(count, (("condition", condition), ("severity", severity)))
        for (condition, severity), count in sorted(counts.items())
    ]
    return [Family("holdfast_concerns", "gauge", "What is wrong or could be better, by what it is.", samples)]


async def _catalog(parts: Parts, storages: Sequence[Storage]) -> list[Family]:
    copies = [(each.name, await catalog_state.kept_at(parts.catalog, each.name)) for each in storages]
    size = parts.catalog.path.stat().st_size
    return [
        Family("holdfast_catalog_size_bytes", "gauge", "Size of the catalog's file.", [Sample(size)]),
        _family(
            "catalog_copy_timestamp_seconds",
            "When the storage got its last copy of the catalog.",
            [(name, at.timestamp() if at is not None else None) for name, at in copies],
            "storage",
        ),
    ]
