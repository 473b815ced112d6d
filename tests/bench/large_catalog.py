"""The catalog of a large fleet after a year: sources, their schedules and what became of these, backups in two storages, the jobs that took and
proved them, their logs and audit lines.

Rows are made by the catalog's own code and queries, and written without its transactions: a million of them take a minute or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import random
import sqlite3
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.audit import Actor, Entry, encode_entry
from engine.catalog import bulk, shortening
from engine.catalog.audit_rows import BLOCK_ROWS, ChainRow, pack
from engine.catalog.bulk import BulkWriter, Done, Proved
from engine.catalog.catalog import Catalog
from engine.catalog.schedules import LEAST_RUNS, RECENT, Judged
from engine.clock import SystemClock
from engine.jobs import ticking, values
from engine.model import names
from engine.model.backup import Backup, BackupStatus, Copy, Proof, ProofRecord
from engine.model.definitions import Host, Source, Storage
from engine.model.job import Job, JobStatus
from engine.model.requests import BackupRequest, DrillRequest
from engine.model.results import BackupResult, DrillResult, DrillStep, SourceResult
from engine.model.schedules import RunOutcome, Schedule, ScheduledRun
from engine.process import ProcessIdentity
from tests.bench.measure import Run, measure, run_quietly
from tests.bench.programs import HOLDFAST
from tests.bench.report import Figure

GAP: Final = datetime.timedelta(hours=12)
STORAGES: Final = ("near", "far")
STATUS_LIMIT_S, PAGE_LIMIT_MS, SIZE_LIMIT_GB, REPORT_LIMIT_MIB = 1.0, 100.0, 1.0, 200.0
_ROUNDS: Final = 5
_HOSTS: Final = 200
_FAILED_EACH, _INCOMPLETE_EACH, _VERIFIED_EACH, _DRILLED_EACH = 101, 103, 14, 60
_ACTOR: Final = Actor("holdfast", 990)


@dataclass(frozen=True, slots=True)
class Fleet:
    """How much of it."""

    sources: int = 2_000
    backups: int = 1_000_000
    """In all, shared out among the sources."""
    until: datetime.datetime | None = None
    """When the newest backup was taken; None for just now."""

    @property
    def each(self) -> int:
        """Backups of a source."""
        return self.backups // self.sources


def fill(catalog: Path, fleet: Fleet) -> None:
    """Makes a catalog at that path, or adds to the one that is there."""
    asyncio.run(_define(catalog, fleet))
    until = fleet.until or datetime.datetime.now(datetime.UTC)  # noqa: TID251 -- a bench is about now
    with bulk.writing(catalog, until, _Writer) as writer:
        for done in _history(fleet, until):
            writer.take(done)
        writer.end()


async def _define(path: Path, fleet: Fleet) -> None:
    async with Catalog.open(path, SystemClock()) as catalog:
        for number in range(_HOSTS):
            await catalog.hosts.add(Host(f"host-{number:03d}", "ssh", f"backup@10.0.0.{number}"))
        for name in STORAGES:
            await catalog.storages.add(
                Storage(name, "local", {"path": f"/srv/{name}"}, f"vault:{name}", "ab" * 32)
            )
        for number in range(fleet.sources):
            await catalog.sources.add(
                Source(_source(number), "files", _host(number), {"path": ("/srv", "/etc")})
            )
        names = map(_source, range(fleet.sources))
        schedules = [Schedule(name, rhythm="0 */12 * * *", sources=(name,)) for name in names]
        await catalog.apply([("schedules", Judged(each)) for each in schedules])


def _source(number: int) -> str:
    return f"host-{number % _HOSTS:03d}-files-{number // _HOSTS}"


def _host(number: int) -> str:
    return f"host-{number % _HOSTS:03d}"


def _history(fleet: Fleet, until: datetime.datetime) -> Iterator[Done]:
    """All that happened, oldest first."""
    draw = random.Random(0)
    for turn in range(fleet.each):
        for number in range(fleet.sources):
            at = until - (fleet.each - 1 - turn) * GAP - (fleet.sources - number) * GAP / (2 * fleet.sources)
            backup = _backup(draw, turn * fleet.sources + number, number, at)
            recent = max(RECENT, LEAST_RUNS * GAP)
            yield Done(
                _backup_job(draw, backup),
                (backup,),
                run=_scheduled(backup) if until - backup.created_at < recent else None,
                log=(("person", "backup"),),
            )
            yield from _proof(draw, backup, turn, number)


def _backup(draw: random.Random, place: int, number: int, at: datetime.datetime) -> Backup:
    size = (1 << 30) + number * (1 << 20) + draw.randrange(1 << 26)
    status = BackupStatus.FAILED if place % _FAILED_EACH == 1 else BackupStatus.COMPLETED
    copies = [Copy(name, draw.randbytes(32).hex()) for name in STORAGES]
    warnings: tuple[str, ...] = ()
    if status is BackupStatus.FAILED:
        copies, warnings, size = [], ("host refused the connection",), 0
    elif place % _INCOMPLETE_EACH == 1:
        status = BackupStatus.INCOMPLETE
        copies[1] = Copy(STORAGES[1], "", BackupStatus.FAILED, "storage far did not answer")
    return Backup(
        names.new_id(draw.randbytes), _source(number), _host(number), "incremental", status, at,
        at + datetime.timedelta(seconds=30 + draw.random() * 60), size, size >> 6, draw.randrange(100), draw.randrange(10), 10_000,
        tuple(copies), warnings, ("nightly",) if place % 10 == 0 else (), job_id=names.new_id(draw.randbytes),
    )  # fmt: skip


def _backup_job(draw: random.Random, backup: Backup) -> Job:
    assert backup.completed_at is not None
    duration_s = (backup.completed_at - backup.created_at).total_seconds()
    is_failed = backup.status is BackupStatus.FAILED
    result = SourceResult(
        backup.backup_id, backup.source, backup.status.value, backup.created_at, backup.completed_at, duration_s, backup.size_bytes,
        backup.added_bytes, backup.files_new, backup.files_changed, backup.files_unmodified, backup.copies, backup.warnings,
    )  # fmt: skip
    request = BackupRequest((backup.source,), STORAGES)
    job = _job(draw, "backup", request, backup.created_at, backup.completed_at)
    known = {(backup.backup_id, each.storage): each.snapshot_id for each in backup.copies}
    told = values.to_object(BackupResult(backup.job_id, backup.status.value, (result,)))
    error = backup.warnings[0] if is_failed else ""
    return dataclasses.replace(
        job,
        job_id=backup.job_id,
        status=JobStatus(backup.status.value),
        request={**job.request, "schedule": backup.source},
        result={} if is_failed else shortening.shorten(backup.job_id, told, known),
        idempotency_key=ticking.key_of(backup.source, _planned(backup), backup.host),
        error=error,
        error_class="HostError" if is_failed else "",
    )


def _planned(backup: Backup) -> datetime.datetime:
    return backup.created_at.replace(second=0, microsecond=0)


def _scheduled(backup: Backup) -> ScheduledRun:
    outcome = RunOutcome(backup.status.value)
    return ScheduledRun(
        backup.source, _planned(backup), backup.host, outcome, "", backup.job_id, backup.created_at
    )


def _proof(draw: random.Random, backup: Backup, turn: int, number: int) -> Iterator[Done]:
    """Verifications and drills come round for each source, not all on one day."""
    if backup.status is BackupStatus.FAILED:
        return
    is_drill = (turn + number) % _DRILLED_EACH == 0
    if not is_drill and (turn + number) % _VERIFIED_EACH:
        return
    at = backup.created_at + datetime.timedelta(minutes=20)
    rto_s = 5 + draw.random() * 20
    job = _job(
        draw,
        "drill" if is_drill else "verify",
        DrillRequest(backup.source),
        at,
        at + datetime.timedelta(seconds=rto_s),
    )
    if is_drill:
        steps = tuple(DrillStep(name, "ok", rto_s / 3) for name in ("open the backup", "restore", "compare"))
        drill = DrillResult(
            job.job_id, "passed", backup.source, backup.backup_id, "files", steps, (), rto_s, 1200.0, 60.0,
            f"/var/lib/holdfast/evidence/drill-{job.job_id}.json", draw.randbytes(32).hex(),
        )  # fmt: skip
        job = dataclasses.replace(job, result=values.to_object(drill))
    rung = Proof.DRILLED if is_drill else Proof.VERIFIED
    record = ProofRecord(backup.backup_id, "near", rung, at, True, job.job_id, "level files", job.verb)
    yield Done(job, (), (Proved(backup.source, record),), log=(("person", job.verb),))


def _job(
    draw: random.Random, verb: str, request: object, began: datetime.datetime, ended: datetime.datetime
) -> Job:
    owner = str(ProcessIdentity("backup", "5d2d2f0c-6f3c-4f6c-9d6c-0b8f4e7b9a11+4026531836", draw.randrange(1 << 22), draw.randrange(1 << 30)))  # fmt: skip
    progress = {"step": "back up", "done_bytes": draw.randrange(1 << 32), "total_bytes": 1 << 32, "done_files": 10_000, "total_files": 10_000, "added_bytes": draw.randrange(1 << 24), "current": ""}  # fmt: skip
    return Job(
        names.new_id(draw.randbytes),
        verb,
        values.to_object(request),
        JobStatus.COMPLETED,
        began,
        began,
        ended,
        owner,
        progress=progress,
    )


class _Writer(BulkWriter):
    """Writes audit lines too, as many as there are jobs; their chain is made of dice."""

    def __init__(self, connection: sqlite3.Connection, until: datetime.datetime) -> None:
        super().__init__(connection, until)
        self._draw = random.Random(1)
        self._sequence = 0
        self._audit: list[ChainRow] = []

    def take(self, done: Done) -> None:
        """Adds all rows that the job left."""
        super().take(done)
        job = done.job
        self._sequence += 1
        entry = Entry(job.created_at, _ACTOR, job.verb, str(job.request.get("source", "host")), "done")
        previous = self._audit[-1].hash if self._audit else self._draw.randbytes(32)
        self._audit.append(ChainRow(self._sequence, encode_entry(entry), previous, self._draw.randbytes(32)))
        if len(self._audit) == 2 * BLOCK_ROWS:
            older, self._audit = self._audit[:BLOCK_ROWS], self._audit[BLOCK_ROWS:]
            packed = pack(older)
            assert packed is not None
            block = {"first": older[0].sequence, "last": older[-1].sequence, "packed": packed}
            self.add("add_audit_block", [block])

    def end(self) -> None:
        """The newest lines are in no block."""
        self.add("add_audit_record", (row._asdict() for row in self._audit))


def figures(place: Path) -> Iterator[Figure]:
    """What the verbs that people and monitors call often cost on it, and how large it is."""
    home, fleet = place / "home", Fleet()
    run_quietly(HOLDFAST, "--home", home, "jobs")
    fill(home / "catalog.db", fleet)
    what = f"{fleet.sources} sources, {fleet.backups} backups"
    start_s = _median(home, "vault", "list")
    yield Figure(
        f"backups, first page after start-up, {what}",
        (_median(home, "backups") - start_s) * 1000,
        "ms",
        PAGE_LIMIT_MS,
    )
    # Some sources of the fleet failed last: the program ends with 4.
    yield Figure(f"status, {what}", _median(home, "status", ends_with=4), "s", STATUS_LIMIT_S)
    yield Figure(f"metrics, {what}", _median(home, "metrics"), "s", STATUS_LIMIT_S)
    yield Figure(
        f"jobs --verb drill --status failed, {what}",
        _median(home, "jobs", "--verb", "drill", "--status", "failed"),
        "s",
    )
    report = (
        "report",
        "compliance",
        "--from",
        "90d ago",
        "--to",
        "now",
        "--output",
        str(place / "report.pdf"),
    )
    measured = measure(_run(home, *report))
    yield Figure("report compliance of 90 days as PDF", measured.wall_s, "s")
    yield Figure(
        "report compliance of 90 days as PDF: peak memory",
        measured.peak_bytes / (1 << 20),
        "MiB",
        REPORT_LIMIT_MIB,
    )
    log, rest = _sizes(home / "catalog.db")
    yield Figure(f"catalog, {what}", (log + rest) / 1e9, "GB", SIZE_LIMIT_GB)
    yield Figure("catalog: of that the log lines and the audit log", log / 1e9, "GB")


def _run(home: Path, *words: str, ends_with: int = 0) -> Run:
    return Run(((str(HOLDFAST), "--home", str(home), *words),), ends_with=ends_with)


def _median(home: Path, *words: str, ends_with: int = 0) -> float:
    return statistics.median(
        measure(_run(home, *words, ends_with=ends_with)).wall_s for _round in range(_ROUNDS)
    )


def _sizes(catalog: Path) -> tuple[int, int]:
    """Bytes of log lines and the audit log, and of all else."""
    with contextlib.closing(sqlite3.connect(catalog)) as connection:
        sizes = dict(
            connection.execute(
                "SELECT name IN ('audit', 'audit_blocks', 'job_log'), sum(pgsize) FROM dbstat GROUP BY 1"
            )
        )
    return sizes[1], sizes[0]
