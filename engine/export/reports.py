"""Compliance and trends as files: JSON, CSV and PDF out of the same rows.

CSV has several tables in one file: the first cell of each line names its table, and a table begins with a line of its fields' names. A cell
that a spreadsheet would take for a formula has an apostrophe before it: names and errors come from other machines.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from engine.export import document
from engine.export.document import Column, Document, Table
from engine.export.fonts import Search, on_this_machine
from engine.model.reports import (
    ComplianceReport,
    DrillLine,
    FailureLine,
    PointLine,
    ProtectedSource,
    ToldLine,
    TrendReport,
    UncoveredLine,
)
from engine.model.spans import span

COMPLIANCE: Final = "holdfast-compliance-report"
TRENDS: Final = "holdfast-trend-report"
SCHEMA_VERSION: Final = 1
FORMATS: Final = ("pdf", "csv", "json")
_TABLES: Final = ("sources", "drills", "failures", "uncovered", "told", "points")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_BOUND: Final = 40
"""Sources whose figures of each day or week a PDF shows, too."""

Report = ComplianceReport | TrendReport


def render(report: Report, form: str, search: Search = on_this_machine) -> bytes:
    """The report in one of FORMATS."""
    if form == "json":
        return to_json(report)
    if form == "csv":
        return to_csv(report)
    made = _compliance(report) if isinstance(report, ComplianceReport) else _trends(report)
    return document.render(made, search)


def to_object(report: Report) -> dict[str, Any]:
    """The JSON document, as values."""
    kind = COMPLIANCE if isinstance(report, ComplianceReport) else TRENDS
    found: dict[str, Any] = _plain({"kind": kind, "schema_version": SCHEMA_VERSION, **_fields(report)})
    return found


def to_json(report: Report) -> bytes:
    """The JSON document."""
    return orjson.dumps(to_object(report), option=orjson.OPT_INDENT_2) + b"\n"


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(_fields(value))
    if isinstance(value, Mapping):
        return {name.removeprefix("is_"): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


def to_csv(report: Report) -> bytes:
    """The tables, one after the other."""
    found = to_object(report)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if isinstance(report, ComplianceReport):
        for name, kind in zip(
            _TABLES,
            (ProtectedSource, DrillLine, FailureLine, UncoveredLine, ToldLine, PointLine),
            strict=True,
        ):
            fields = [each.name.removeprefix("is_") for each in dataclasses.fields(kind)]
            writer.writerow(["table", *fields])
            writer.writerows([name, *(_cell(row[field]) for field in fields)] for row in found[name])
        return out.getvalue().encode()
    writer.writerow(["table", "source", "figure", "first", "last", "change_a_week", "words"])
    for each in found["sources"]:
        writer.writerows(["trends", each["source"], *map(_cell, row.values())] for row in each["trends"])
    writer.writerow(["table", "source", "begins", "backups", "duration_s", "throughput_bytes_s", "size_bytes", "added_bytes", "recovery_s"])  # fmt: skip
    for each in found["sources"]:
        writer.writerows(["figures", each["source"], *map(_cell, row.values())] for row in each["buckets"])
    return out.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, list):
        return _cell("; ".join(value))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value)


def _compliance(report: ComplianceReport) -> Document:
    digest = hashlib.sha256(to_json(report)).hexdigest()
    protected = [each for each in report.sources if each.newest_at is not None]
    proved = sum(1 for each in report.sources if each.proof)
    drilled = sum(1 for each in report.sources if each.proof == "drilled")
    passed = sum(1 for each in report.drills if each.status == "passed")
    facts = [
        ("Period", f"from {instant(report.since)} up to {instant(report.until)}"),
        (
            "Written",
            f"{instant(report.written_at)} by {report.written_by} on {report.machine}, holdfast {report.version}",
        ),
        (
            "Protected",
            f"{len(protected)} of {len(report.sources)} sources have a backup of the period that can be restored",
        ),
        (
            "Proved",
            f"{proved} sources, {drilled} of them by a restore that was rehearsed; {passed} of {len(report.drills)} drills passed",
        ),
        (
            "Failures",
            f"{sum(each.count for each in report.failures)}; {len(report.uncovered)} things on hosts that no source covers",
        ),
        ("Same as JSON", f"SHA-256 {digest}"),
    ]
    tables = [_table(name, getattr(report, name)) for name in _TABLES]
    return Document(
        "Compliance report: backups", facts, tables, f"holdfast {report.version}, JSON SHA-256 {digest}"
    )


Show = Callable[[Any], str]
_Columns = Sequence[tuple[str, float, Show]]


def _table(name: str, rows: Sequence[Any]) -> Table:
    title, note, columns = _SHOWN[name]
    cells = [cells_of(name, row) for row in rows]
    return Table(title, note, [Column(head, share) for head, share, _ in columns], cells)


def cells_of(name: str, row: Any) -> list[str]:
    """What a PDF says of a row of that table, cell by cell."""
    return [show(row) for _, _, show in _SHOWN[name][2]]


def instant(when: datetime.datetime | None) -> str:
    """An instant on paper: in UTC, to the minute."""
    return "-" if when is None else when.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _short(when: datetime.datetime | None) -> str:
    return instant(when).removesuffix(" UTC")


def _spanned(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words) or "-"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"


_SHOWN: Final[Mapping[str, tuple[str, str, _Columns]]] = {
    "sources": ("What is protected", "No source is defined.", (
        ("SOURCE", 13, lambda row: row.source if row.is_defined else f"{row.source} (removed)"),
        ("KIND, HOST", 11, lambda row: f"{row.kind} on {row.host}" if row.kind else "-"),
        ("TO BE TAKEN", 8, lambda row: row.rhythm or "-"),
        ("WHOLE", 5, lambda row: str(row.completed)),
        ("INCOMPL.", 5, lambda row: str(row.incomplete)),
        ("FAILED", 5, lambda row: str(row.failed)),
        ("NEWEST (UTC)", 11, lambda row: _short(row.newest_at)),
        ("USUAL GAP", 8, lambda row: _spanned(row.usual_gap_s)),
        ("LONGEST", 8, lambda row: _spanned(row.longest_gap_s)),
        ("SIZE", 7, lambda row: _size(row.size_bytes)),
        ("KEPT ON", 10, lambda row: _joined(row.storages)),
        ("PROVED", 7, lambda row: row.proof or "never"),
        ("WHEN (UTC)", 11, lambda row: _short(row.proven_at)),
        ("BY", 15, lambda row: row.proven_by or "-"),
        ("FAILED PROOFS", 7, lambda row: str(row.failed_proofs)),
    )),
    "drills": ("Restores that were rehearsed", "None in this period.", (
        ("AT (UTC)", 11, lambda row: _short(row.at)),
        ("SOURCE", 14, lambda row: row.source),
        ("DRILL", 13, lambda row: row.job_id),
        ("VERDICT", 9, lambda row: row.status),
        ("LEVEL", 7, lambda row: row.level or "-"),
        ("TOOK", 8, lambda row: _spanned(row.rto_s)),
        ("BUDGET", 8, lambda row: _spanned(row.budget_s)),
        ("RESTORED TO", 8, lambda row: f"{span(row.rpo_s)} before"),
        ("STARTED BY", 9, lambda row: row.by or "-"),
        ("TOOK PART", 12, lambda row: _joined(row.took_part)),
        ("SIGNED OFF BY", 12, lambda row: _joined(row.signed_off_by)),
    )),
    "failures": ("What failed", "Nothing in this period.", (
        ("VERB", 7, lambda row: row.verb),
        ("OF", 14, lambda row: row.subject or "-"),
        ("WHY", 40, lambda row: row.error or "-"),
        ("TIMES", 5, lambda row: str(row.count)),
        ("FIRST (UTC)", 11, lambda row: _short(row.first_at)),
        ("LAST (UTC)", 11, lambda row: _short(row.last_at)),
        ("LAST JOB", 12, lambda row: row.job_id),
    )),
    "uncovered": ("What no source covers", "Nothing that a test of a host has seen.", (
        ("HOST", 15, lambda row: row.host),
        ("WHAT", 60, lambda row: row.what),
        ("SEEN (UTC)", 12, lambda row: _short(row.seen_at)),
    )),
    "told": ("Who was told", "Nobody, as far as is known here.", (
        ("AT (UTC)", 12, lambda row: _short(row.at)),
        ("WHO", 16, lambda row: row.who),
        ("OF", 16, lambda row: row.subject),
        ("WHAT", 45, lambda row: row.what),
        ("ARRIVED", 8, lambda row: "yes" if row.is_delivered else "no"),
    )),
    "points": ("Restores to any instant", "No log of a database is shipped.", (
        ("SOURCE", 14, lambda row: row.source),
        ("FROM (UTC)", 11, lambda row: _short(row.recoverable_from)),
        ("TO (UTC)", 11, lambda row: _short(row.recoverable_to)),
        ("WOULD BE LOST", 9, lambda row: _spanned(row.lost_s)),
        ("MAY BE LOST", 9, lambda row: _spanned(row.goal_s)),
        ("GAPS", 5, lambda row: str(row.gaps)),
        ("DRILLS", 6, lambda row: f"{row.passed} of {row.drills} passed"),
        ("LONGEST TOOK", 8, lambda row: _spanned(row.longest_rto_s)),
        ("MOST BEFORE", 8, lambda row: _spanned(row.longest_rpo_s)),
    )),
}  # fmt: skip


def _trends(report: TrendReport) -> Document:
    digest = hashlib.sha256(to_json(report)).hexdigest()
    facts = [
        ("Period", f"from {instant(report.since)} up to {instant(report.until)}, by {report.by}"),
        ("Written", instant(report.written_at)),
        ("Same as JSON", f"SHA-256 {digest}"),
    ]
    columns = [
        Column("SOURCE", 14),
        *(Column(title, 21) for title in ("DURATION", "THROUGHPUT", "SIZE", "RECOVERY TIME")),
    ]
    rows = [[each.source, *(trend.words for trend in each.trends)] for each in report.sources]
    tables = [Table("How it develops", "Nothing was backed up in this period.", columns, rows)]
    heads = ("BEGINS", "BACKUPS", "DURATION", "THROUGHPUT", "SIZE", "ADDED", "RECOVERY TIME")
    for each in report.sources if len(report.sources) <= _BOUND else ():
        figures = [
            [
                bucket.begins.isoformat(),
                str(bucket.backups),
                _spanned(bucket.duration_s),
                *(
                    "-" if value is None else _size(value) + ending
                    for value, ending in (
                        (bucket.throughput_bytes_s, "/s"),
                        (bucket.size_bytes, ""),
                        (bucket.added_bytes, ""),
                    )
                ),
                _spanned(bucket.recovery_s),
            ]
            for bucket in each.buckets
        ]
        tables.append(Table(each.source, "", [Column(head, 1) for head in heads], figures))
    return Document("Trends: backups and restores", facts, tables, f"JSON SHA-256 {digest}")
