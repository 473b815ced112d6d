"""How durations, throughput, sizes and recovery times of sources develop, by day or week, and what that amounts to in words."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from engine.catalog.history import EndedJob
from engine.jobs.compliance import Period, drilled_by, taken_by
from engine.jobs.context import JobContext
from engine.model.job import JobStatus
from engine.model.reports import Bucket, SourceTrend, Trend, TrendReport
from engine.model.spans import span

By = Literal["day", "week"]

FIGURES: Final = ("duration_s", "throughput_bytes_s", "size_bytes", "recovery_s")
LEAST_BUCKETS: Final = 3
"""From so many on there is a slope."""
STEADY: Final = 0.02
"""A change a week that is smaller is none."""
_LEAST_S: Final = 0.001


@dataclass(slots=True)
class _Sums:
    """One source's figures of one bucket, as they come."""

    backups: int = 0
    duration_s: float = 0.0
    throughput_bytes_s: float = 0.0
    size_bytes: int = 0
    added_bytes: int = 0
    recoveries: int = 0
    recovery_s: float = 0.0

    def bucket(self, begins: datetime.date) -> Bucket:
        """The means."""
        count = self.backups

        def mean(total: float) -> float | None:
            return total / count if count else None

        recovery_s = self.recovery_s / self.recoveries if self.recoveries else None
        means = (
            mean(self.duration_s),
            mean(self.throughput_bytes_s),
            mean(self.size_bytes),
            mean(self.added_bytes),
        )
        return Bucket(begins, count, *means, recovery_s)


@dataclass(slots=True)
class _Table:
    by: By
    sources: dict[str, dict[datetime.date, _Sums]] = field(default_factory=dict)

    def at(self, source: str, when: datetime.datetime) -> _Sums:
        """Where what happened then is added."""
        day = when.date()
        if self.by == "week":
            day -= datetime.timedelta(days=day.weekday())
        return self.sources.setdefault(source, {}).setdefault(day, _Sums())


class _Restored(msgspec.Struct):
    duration_s: float = 0.0
    backup_id: str = ""
    is_dry_run: bool = False


_RESTORED: Final = msgspec.json.Decoder(_Restored)


def usual_by(period: Period) -> By:
    """Days for a month, weeks for more."""
    return "day" if period.until - period.since <= datetime.timedelta(days=45) else "week"


async def compile_report(context: JobContext, period: Period, *, by: By, source: str = "") -> TrendReport:
    """The figures of all sources, or of one; days and weeks are those of UTC. Raises: CatalogError."""
    table = _Table(by)
    async for job in context.catalog.history.ended(
        period.since, period.until, ("backup", "drill", "restore")
    ):
        if job.verb == "backup":
            _add_backups(table, job)
        elif job.status is JobStatus.COMPLETED:
            await _add_recovery(context, table, job)
    names = sorted(name for name in table.sources if source in ("", name))
    found = [_source(name, table.sources[name]) for name in names]
    return TrendReport(period.since, period.until, context.clock.now(), by, tuple(found))


def _add_backups(table: _Table, job: EndedJob) -> None:
    is_whole, found = taken_by(job)
    for each in found:
        if not is_whole or each.status == "failed":
            continue
        sums = table.at(each.source, each.started_at)
        sums.backups += 1
        sums.duration_s += each.duration_s
        sums.throughput_bytes_s += each.size_bytes / max(each.duration_s, _LEAST_S)
        sums.size_bytes += each.size_bytes
        sums.added_bytes += each.added_bytes


async def _add_recovery(context: JobContext, table: _Table, job: EndedJob) -> None:
    if job.verb == "drill":
        drill = drilled_by(job)
        name, seconds = (drill.source if drill.status == "passed" else ""), drill.rto_s
    else:
        restored = _RESTORED.decode(job.result)
        backups = await context.catalog.backups.get_many([restored.backup_id]) if restored.backup_id else []
        name, seconds = (
            (backups[0].source if backups and not restored.is_dry_run else ""),
            restored.duration_s,
        )
    if name:
        sums = table.at(name, job.ended_at)
        sums.recoveries += 1
        sums.recovery_s += seconds


def _source(name: str, sums: dict[datetime.date, _Sums]) -> SourceTrend:
    buckets = tuple(sums[day].bucket(day) for day in sorted(sums))
    return SourceTrend(name, tuple(trend(figure, buckets) for figure in FIGURES), buckets)


def trend(figure: str, buckets: Sequence[Bucket]) -> Trend:
    """How one figure develops over the buckets that have it."""
    points = [(each.begins, value) for each in buckets if (value := getattr(each, figure)) is not None]
    values = [value for _, value in points]
    if not values:
        return Trend(figure, None, None, None, "nothing was measured")
    change = weekly_change(points)
    return Trend(figure, values[0], values[-1], change, words(figure, values[0], values[-1], change))


def weekly_change(points: Sequence[tuple[datetime.date, float]]) -> float | None:
    """The median of the slopes, a week, as a share of the median value: one odd day turns nothing (Theil's incomplete method, which takes
    each point with the one half the way further on)."""
    middle = statistics.median(value for _, value in points) if points else 0.0
    if len(points) < LEAST_BUCKETS or middle <= 0:
        return None
    return statistics.median(_slopes(points)) * 7 / middle


def _slopes(points: Sequence[tuple[datetime.date, float]]) -> Iterator[float]:
    half = len(points) // 2
    for (earlier, low), (later, high) in zip(points[:half], points[len(points) - half :], strict=True):
        yield (high - low) / (later - earlier).days


def words(figure: str, first: float, last: float, change: float | None) -> str:
    """A sentence: `rises by 12 % a week, from 30 s to 41 s`."""
    if change is None:
        return f"{_said(figure, last)}, too few to tell"
    if abs(change) < STEADY:
        return f"steady, about {_said(figure, last)}"
    return f"{'rises' if change > 0 else 'falls'} by {abs(change):.0%} a week, from {_said(figure, first)} to {_said(figure, last)}".replace(
        "%", " %"
    )


def _said(figure: str, value: float) -> str:
    return (
        span(value)
        if figure in ("duration_s", "recovery_s")
        else size(value) + ("/s" if figure.endswith("_s") else "")
    )


def size(count: float) -> str:
    """Bytes: `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"
