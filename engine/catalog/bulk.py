"""A past written at once: jobs that are over, what they backed up and proved, their logs. Rows are made by the catalog's own code and queries, and
written without its transactions: ten thousand jobs take a second.

Only for a catalog that nobody else has open, and that is worth nothing where this ends half-way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from engine.catalog import backups as backup_rows
from engine.catalog import history as job_rows
from engine.catalog.database import to_microseconds, to_optional_microseconds
from engine.catalog.opening import load_queries
from engine.model.backup import Backup, ProofRecord
from engine.model.job import LOG_KEPT, Job, JobStatus
from engine.model.schedules import ScheduledRun

_COUNTS: Final = "INSERT OR REPLACE INTO job_counts SELECT verb, status, count(*), max(completed_at) FROM jobs GROUP BY verb, status"
_CHUNK: Final = 5_000


class Proved(NamedTuple):
    """One attempt to prove a backup."""

    source: str
    record: ProofRecord
    is_forgotten: bool = False
    """Whether the backup is gone since: only what stands of its source tells of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job that is over, and what came of it."""

    job: Job
    backups: Sequence[Backup] = ()
    """Those that are still there."""
    proofs: Sequence[Proved] = ()
    run: ScheduledRun | None = None
    """The instant of a schedule that it was for."""
    log: Sequence[tuple[str, str]] = ()
    """Level and line, told while it ran."""


Writer = TypeVar("Writer", bound="BulkWriter")


class BulkWriter:
    """Gathers rows by query and writes them many at once. Made by `writing`."""

    def __init__(self, connection: sqlite3.Connection, until: datetime.datetime) -> None:
        self.until = until
        """The present of what is written: older jobs lost their logs."""
        self._connection = connection
        self._rows: dict[str, list[Any]] = {}
        self._count = 0

    def take(self, done: Done) -> None:
        """Adds all rows that the job left."""
        for backup in done.backups:
            self._add_backup(backup)
        if done.run is not None:
            self.add("add_schedule_run", [run_row(done.run)])
        for source, record, is_forgotten in done.proofs:
            row = _proof_row(record)
            self.add("add_proof", [] if is_forgotten else [row])
            self.add("keep_proof_standing", [{**row, "source": source}])
        self._add_job(done)
        self._count += 1
        if self._count % _CHUNK == 0:
            self.flush()

    def _add_backup(self, backup: Backup) -> None:
        self.add("add_backup", [backup_rows._backup_row(backup)])
        self.add("add_copy", (backup_rows._copy_row(backup.backup_id, each) for each in backup.copies))
        at = to_microseconds(backup.created_at)
        self.add("add_tag", ({"tag": tag, "created_at": at, "backup_id": backup.backup_id} for tag in backup.tags))  # fmt: skip

    def _add_job(self, done: Done) -> None:
        job = done.job
        if self._is_forgotten(job):
            self.add("INSERT INTO jobs", [{**job_rows.row_of(job), "idempotency_key": ""}])
            return
        self.add("INSERT INTO jobs", [dict(job_rows.row_of(job))])
        ends = job.completed_at or job.created_at
        step = (ends - job.created_at) / max(len(done.log) - 1, 1)
        for number, (level, message) in enumerate(done.log):
            at = to_microseconds(job.created_at + number * step)
            self.add("add_log_line", [{"job_id": job.job_id, "at": at, "level": level, "message": message}])

    def _is_forgotten(self, job: Job) -> bool:
        return job.status is JobStatus.COMPLETED and self.until - job.created_at > LOG_KEPT

    def add(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows of a query of queries.sql, or of a table: `INSERT INTO jobs`."""
        self._rows.setdefault(query, []).extend(rows)

    def flush(self) -> None:
        """Writes what is there."""
        for query, rows in self._rows.items():
            if not rows:
                continue
            sql = load_queries().get(query) or _insert_of(query, tuple(rows[0]))
            # RETURNING makes a statement a query, which executemany refuses.
            self._connection.executemany(sql.partition("RETURNING")[0], rows)
            rows.clear()


@contextmanager
def writing(catalog: Path, until: datetime.datetime, kind: type[Writer]) -> Iterator[Writer]:
    """Opens a catalog that is there, for a past that ends at `until`; it is written when this is left without an error. Raises: sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000", "BEGIN"):  # fmt: skip
            connection.execute(statement)
        writer = kind(connection, until)
        yield writer
        writer.flush()
        connection.execute(_COUNTS)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


@functools.cache
def _insert_of(head: str, columns: tuple[str, ...]) -> str:
    return f"{head} ({', '.join(columns)}) VALUES ({', '.join(f':{each}' for each in columns)})"


def run_row(run: ScheduledRun) -> dict[str, Any]:
    """For `add_schedule_run`: of a run that was skipped, too."""
    return {
        "schedule": run.schedule,
        "planned_at": to_microseconds(run.planned_at),
        "part": run.part,
        "outcome": run.outcome.value,
        "reason": run.reason,
        "job_id": run.job_id,
        "decided_at": to_microseconds(run.decided_at or run.planned_at),
        "last_at": to_optional_microseconds(run.last_at),
    }


def _proof_row(record: ProofRecord) -> dict[str, Any]:
    return {
        **dataclasses.asdict(record),
        "proven_at": to_microseconds(record.proven_at),
        "proof": record.proof.value,
    }
