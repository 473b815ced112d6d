"""Reports of many pages: no row is cut or lost, and what is on paper is what is in the JSON."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from engine.export import reports
from engine.export.document import paginate
from engine.model.reports import (
    Bucket,
    ComplianceReport,
    DrillLine,
    FailureLine,
    PointLine,
    ProtectedSource,
    SourceTrend,
    ToldLine,
    TrendReport,
    UncoveredLine,
)
from tests.fakes.clock import START

DAY = datetime.timedelta(days=1)
HEIGHTS = st.lists(st.lists(st.floats(1, 900), max_size=40), max_size=6)


@given(HEIGHTS, st.floats(0, 500))
def test_each_row_stands_on_one_page_in_its_order(heights: list[list[float]], first: float) -> None:
    """And no page holds more than it has room for, but for a row that is higher than any page."""
    pages = paginate(heights, first=first, room=500.0, head=34.0)
    assert [(table, row) for page in pages for table, at, end in page for row in range(at, end)] == [
        (table, row) for table, rows in enumerate(heights) for row in range(len(rows))
    ]
    assert {table for page in pages for table, _, _ in page} == set(range(len(heights)))
    for number, page in enumerate(pages):
        used = sum(34.0 + sum(heights[table][at:end]) for table, at, end in page)
        is_alone = len(page) == 1 and page[0][2] - page[0][1] <= 1
        assert used <= (500.0 if number else first) + 1e-6 or is_alone


def test_a_table_does_not_begin_at_the_foot_of_a_page() -> None:
    """A name with its head and no row below it is a riddle."""
    pages = paginate([[10.0] * 9, [10.0] * 5], first=160.0, room=160.0, head=34.0)
    assert pages == [[(0, 0, 9)], [(1, 0, 5)]]


def _source(number: int) -> ProtectedSource:
    name = "a" * 64 if number == 3 else f"host-{number:04d}-files"
    is_proved = number % 3 == 0
    return ProtectedSource(
        name, "web1", "postgres", number % 7 != 0, "daily at 02:00" if number % 2 else "", number, number % 5, number % 4,
        START - number * DAY if number else None, number << 30, ("near", "far")[: number % 3], 86400.0 if number % 2 else None, 90_000.0 + number,
        "drilled" if is_proved else "", START if is_proved else None, f"drill 7j{number} by ops" if is_proved else "", number % 2,
    )  # fmt: skip


def _report(sources: int) -> ComplianceReport:
    drills = [DrillLine(START, "db", f"7{n}", "passed", "server", 4.2, 300.0 if n % 2 else None, 7200.0, "ops", ("Ada", "Zoë Łukasz"), ("Max",) * (n % 2)) for n in range(5)]  # fmt: skip
    failures = [
        FailureLine(
            "backup",
            "db",
            "host db1 says: 中文 \u202e =cmd() " + "no space left on device " * 9,
            12,
            START,
            START + DAY,
            "7z",
        )
    ]
    return ComplianceReport(
        START - 90 * DAY, START, START, "root", "vault1", "0.1.0", tuple(map(_source, range(sources))), tuple(drills), tuple(failures),
        (UncoveredLine("web1", "/srv/forgotten", START),), (ToldLine(START, "ops@example.org", "source db", "it was never backed up", is_delivered=False),),
        (PointLine("shop", START - DAY, START, 12.0, 300.0, 1, 4, 3, 42.0, 90_000.0), PointLine("wiki", None, None, None, None, 0, 0, 0, None, None)),
    )  # fmt: skip


def _squeezed(words: str) -> str:
    return re.sub(r"\s+", "", words)


@pytest.mark.slow
def test_the_pdf_says_row_by_row_what_the_json_says() -> None:
    """Hundreds of sources: an auditor reads the one, a script the other, and they must not differ."""
    report = _report(400)
    document: dict[str, Any] = json.loads(reports.render(report, "json"))
    reader = PdfReader(io.BytesIO(reports.render(report, "pdf")))
    text = ""
    for number, page in enumerate(reader.pages):
        said = page.extract_text()
        assert f"page {number + 1} of {len(reader.pages)}" in said
        text += _squeezed(said)
    place = 0
    for row in document["sources"]:
        expected = _expected(row)
        found = text.find(expected, place)
        assert found >= 0, expected
        place = found + len(expected)
    assert len(document["sources"]) == 400
    for name in ("drills", "failures", "uncovered", "told", "points"):
        for row, value in zip(document[name], getattr(report, name), strict=True):
            cells = "".join(reports.cells_of(name, value)).replace("\u202e", "\\u202e")
            place = text.find(_squeezed(cells), place)
            assert place >= 0, cells
            assert all(
                str(row[field]) in cells for field in ("source", "verb", "host", "who") if field in row
            )


def _expected(row: dict[str, Any]) -> str:
    """A row of the JSON as paper shows it, without blanks: written down here once more, from nothing but the JSON."""

    def at(text: str | None) -> str:
        return "-" if text is None else datetime.datetime.fromisoformat(text).strftime("%Y-%m-%d%H:%M")

    def gap(seconds: float | None) -> str:
        if seconds is None:
            return "-"
        whole = round(seconds)
        return f"{whole // 86400}d{whole % 86400 // 3600}h"

    size = row["size_bytes"] >> 30
    shown = f"{size}.0GiB" if 0 < size < 1024 else f"{row['size_bytes'] / (1 << 40):.1f}TiB" if size else "0B"
    name = row["source"] if row["defined"] else row["source"] + "(removed)"
    counts = f"{row['completed']}{row['incomplete']}{row['failed']}"
    return _squeezed(
        f"{name}{row['kind']} on {row['host']}{row['rhythm'] or '-'}{counts}{at(row['newest_at'])}{gap(row['usual_gap_s'])}"
        f"{gap(row['longest_gap_s'])}{shown}{', '.join(row['storages']) or '-'}{row['proof'] or 'never'}{at(row['proven_at'])}"
        f"{row['proven_by'] or '-'}{row['failed_proofs']}"
    )


def test_the_csv_says_row_by_row_what_the_json_says() -> None:
    """And a spreadsheet runs nothing that a host said."""
    report = _report(30)
    document: dict[str, Any] = json.loads(reports.render(report, "json"))
    tables: dict[str, list[dict[str, str]]] = {}
    fields: list[str] = []
    for line in csv.reader(io.StringIO(reports.render(report, "csv").decode())):
        if line[0] == "table":
            fields = line[1:]
        else:
            tables.setdefault(line[0], []).append(dict(zip(fields, line[1:], strict=True)))
    for name in ("sources", "drills", "failures", "uncovered", "told", "points"):
        assert len(tables[name]) == len(document[name]) > 0
        for said, row in zip(tables[name], document[name], strict=True):
            assert list(said) == list(row)
            for field, value in row.items():
                assert said[field] == ("" if value is None else "; ".join(value) if isinstance(value, list) else json.dumps(value).strip('"') if isinstance(value, bool | float | int) else value)  # fmt: skip
    formula = FailureLine("backup", "=1+1", "@x", 1, START, START, "7z")
    assert b"'=1+1,'@x" in reports.to_csv(
        ComplianceReport(START, START, START, "", "", "", (), (), (formula,), (), ())
    )


def test_trends_are_written_in_all_forms() -> None:
    """The figures and what they amount to."""
    from engine.jobs.trends import FIGURES, trend

    buckets = [
        Bucket(
            datetime.date(2026, 9, 7) + number * 7 * datetime.timedelta(days=1),
            7,
            30.0 + 3 * number,
            1e6,
            2.0**30,
            1.0,
            None,
        )
        for number in range(9)
    ]
    source = SourceTrend("db", tuple(trend(figure, buckets) for figure in FIGURES), tuple(buckets))
    report = TrendReport(START - 90 * DAY, START, START, "week", (source,))
    text = " ".join(
        page.extract_text() for page in PdfReader(io.BytesIO(reports.render(report, "pdf"))).pages
    )
    assert "rises by 7 % a week, from 30 s to 54 s" in " ".join(text.split())
    assert b"trends,db,duration_s,30.0,54.0," in reports.render(report, "csv")
    assert json.loads(reports.render(report, "json"))["sources"][0]["buckets"][8]["duration_s"] == 54.0
