"""How well restores of a source are rehearsed, what the next one will take by that, and what restores left that can be undone."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.job import Job
from engine.model.results import RestoreResult

_LIKE: Final = 4.0
"""A backup that is so many times larger or smaller tells nothing of another one."""


@dataclass(frozen=True, slots=True)
class PastDrill:
    """A drill that came to an end."""

    job_id: str
    source: str
    at: datetime.datetime
    """When it was asked for."""
    status: str
    """passed, failed, inconclusive."""
    level: str
    backup_id: str
    rto_s: float
    budget_s: float | None
    checks: int = 0
    failed_checks: int = 0
    size_bytes: int | None = None
    """Of the backup; None where that is gone."""

    @property
    def is_in_time(self) -> bool:
        """Whether it kept to its budget, where it had one."""
        return self.budget_s is None or self.rto_s <= self.budget_s


@dataclass(frozen=True, slots=True)
class DrillStanding:
    """A source as who restores sees it."""

    source: str
    kind: str
    host: str
    newest_at: datetime.datetime | None
    """Of its newest backup that can be restored; None where there is none."""
    last: PastDrill | None
    objective_s: float | None = None
    """How long a restore may take, where that was said."""

    @property
    def budget_s(self) -> float | None:
        """What the next drill is held against: the objective, or else what the last one was held against."""
        return self.objective_s if self.objective_s is not None or self.last is None else self.last.budget_s


@dataclass(frozen=True, slots=True)
class Ways:
    """What can be done with backups of a source."""

    is_database: bool
    """Whether it is a server of databases, which can be chosen one by one."""
    is_loading: bool
    """Whether a backup can be loaded beside what is live."""
    is_refilled: bool
    """Whether in place the server is emptied and filled again."""
    is_files: bool
    is_by_table: bool = False
    """Whether single tables can be brought back."""
    has_tablespaces: bool = False
    """Whether a backup may hold a server's own files, of which some lie beside its data folder."""
    load_hint: str = ""
    """Where nothing can be loaded into its server: what a person does in place of it."""

    @property
    def is_in_place(self) -> bool:
        """Whether a backup can go back to where it came from."""
        return self.is_loading or self.is_refilled or self.is_files


@dataclass(frozen=True, slots=True)
class Undoable:
    """A restore in place that can still be rolled back or discarded, as far as the catalog knows."""

    job_id: str
    source: str
    at: datetime.datetime
    result: RestoreResult


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A job that waits or runs, and the sources that it brings something back of."""

    job: Job
    sources: Sequence[str]


def can_be_undone(result: RestoreResult) -> bool:
    """Whether it put something aside, or took a safety backup first."""
    return not result.is_dry_run and (
        bool(result.safety_backup_id) or any(each.aside for each in result.databases)
    )


def estimate(
    past: Sequence[PastDrill], size_bytes: int, levels: Sequence[str] = ()
) -> tuple[float | None, int]:
    """Seconds that bringing back a backup of that size, or a base and the log behind it, will take, and how many drills say so: the median of those that
    passed at the first of these levels that any tells of, scaled by size. A backup that is gone counts as if it had been of that size.

    `past` is newest first; without levels those of the newest one's level count.
    """
    passed = [each for each in past if each.status == "passed"]
    for level in levels or [each.level for each in passed[:1]]:
        told = []
        for each in passed:
            ratio = size_bytes / each.size_bytes if each.size_bytes and size_bytes else 1.0
            if each.level == level and 1 / _LIKE <= ratio <= _LIKE:
                told.append(each.rto_s * ratio)
        if told:
            return statistics.median(told), len(told)
    return None, 0
