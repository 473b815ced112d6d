"""The evidence of a drill on one page, for people who sign such things. All of it, and more, is in the JSON, whose digest the page bears."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.export.fonts import Search, on_this_machine
from engine.export.page import BOLD, FIXED, GREY, MARGIN, PALE, WIDTH, Page, Style
from engine.model.backup import Backup
from engine.model.manifest import CheckResult
from engine.model.results import DrillResult, DrillStep
from engine.model.spans import span

Row = TypeVar("Row")

INNER: Final = WIDTH - 2 * MARGIN
ROW: Final = 13.0
"""Height of a line of a table."""
_FOOT: Final = 742.0
"""Where the foot begins."""
_COLOURS: Final = {"passed": "#1b7f4b", "failed": "#b42318", "inconclusive": "#a15c07", "ok": "#1b7f4b", "skipped": "#a15c07"}  # fmt: skip
_BODY, _LABEL, _SMALL = Style(8), Style(8, colour=GREY), Style(7, colour=GREY)
_LEAD, _HEADING = Style(9), Style(6.5, BOLD, GREY)
_INTO: Final = {
    "server": "restored into a throwaway server",
    "database": "restored into scratch databases",
    "files": "restored in part, at random, into a scratch folder",
    "parse": "read to its end by the database's own parser",
    "bytes": "read, every byte of it",
}
_SCENARIOS: Final = {
    "main-storage-gone": "It was supposed that the main storage is gone.",
    "catalog-gone": "It was supposed that the catalog is gone.",
    "kit-only": "It was supposed that nothing is left but the recovery kit.",
    "blind": "The backup was chosen at random.",
}


@dataclass(frozen=True, slots=True)
class DrillPage:
    """What the page says."""

    result: DrillResult
    backup: Backup
    written_at: datetime.datetime
    machine: str
    version: str
    """Of holdfast."""
    json_name: str
    json_sha256: str
    signed_by: str
    by: Sequence[str] = ()
    note: str = ""


def render(content: DrillPage, search: Search = on_this_machine) -> bytes:
    """The page as a PDF file: one page, whatever the names and however many the steps. Takes some 50 ms, and up to 200 ms more where letters
    are on it that need a font of this machine."""
    result = content.result
    page = Page(f"Restore drill of {result.source}, {result.status}", search)
    _head(page, content)
    _figures(page, result)
    y = _facts(page, content)
    steps, checks = shares(int((_FOOT - 14 - y - 2 * 34) // ROW), len(result.steps), len(result.checks))
    y = _steps(page, result, steps, y + 22)
    _checks(page, result.checks, checks, y + 22)
    _foot(page, content)
    return page.finish()


def shares(rows: int, steps: int, checks: int) -> tuple[int, int]:
    """How many lines the tables of steps and of checks get, of so many: all that they need where it is there, else the steps at most half."""
    if steps + checks <= rows:
        return steps, checks
    most = max(rows // 2, rows - checks)
    return min(steps, most), min(checks, rows - min(steps, most))


def _head(page: Page, content: DrillPage) -> None:
    result = content.result
    page.text(MARGIN, 58, "RESTORE DRILL", Style(8, BOLD, GREY))
    page.text(MARGIN, 82, result.source, Style(20, BOLD), INNER - 140)
    verdict, white = result.status.upper(), Style(11, BOLD, "#ffffff")
    width = page.width_of(verdict, white) + 24
    page.box(WIDTH - MARGIN - width, 62, width, 25, _COLOURS[result.status])
    page.text_to(WIDTH - MARGIN - 12, 78.5, verdict, white)
    for number, line in enumerate(page.wrapped(sentence(content), _LEAD, width=INNER, most=2)):
        page.text(MARGIN, 105 + 13 * number, line, _LEAD, INNER)


def sentence(content: DrillPage) -> str:
    """What happened, for somebody who reads nothing else."""
    result = content.result
    right = sum(1 for each in result.checks if each.passed)
    into = _INTO.get(result.level, "not reached")
    supposed = f"{_SCENARIOS[result.scenario]} " if result.scenario in _SCENARIOS else ""
    taken = f"{supposed}The backup of {_instant(content.backup.created_at)} was {into}: "
    said = f"{right} of {len(result.checks)} checks passed"
    stopped = next((each for each in result.steps if each.status == "failed"), None)
    if stopped is not None:
        said += f"; the step “{stopped.step}” failed"
    return taken + said + "."


def _figures(page: Page, result: DrillResult) -> None:
    last = result.previous
    right = sum(1 for each in result.checks if each.passed)
    budget = f"budget {span(result.budget_s)}" if result.budget_s is not None else "no budget was set"
    boxes = [
        ("RECOVERY TIME", span(result.rto_s), budget, f"last time {span(last.rto_s)}" if last else ""),
        ("RECOVERY POINT", span(result.rpo_s), "age of what was restored", f"last time {span(last.rpo_s)}" if last else ""),
        ("CHECKS PASSED", f"{right} of {len(result.checks)}", "listed below", ""),
        ("LEVEL", result.level or "none", "how far it went", f"last time {last.level or 'none'}, {last.status}" if last else ""),
    ]  # fmt: skip
    gap, height = 10.0, 66.0
    width = (INNER - 3 * gap) / 4
    for number, (title, figure, under, before) in enumerate(boxes):
        x = MARGIN + number * (width + gap)
        page.box(x, 132, width, height, PALE)
        page.text(x + 9, 147, title, _HEADING, width - 18)
        page.text(x + 9, 165, figure, Style(13, BOLD), width - 18)
        page.text(x + 9, 178, under, Style(6.5, colour=GREY), width - 18)
        page.text(x + 9, 189, before, Style(6.5, colour=GREY), width - 18)


def _facts(page: Page, content: DrillPage) -> float:
    """The small print, in two columns, and the note below; gives where it ends."""
    result, backup = content.result, content.backup
    storages = ", ".join(each.storage for each in backup.copies if each.snapshot_id)
    facts = [
        ("Drill", result.job_id),
        ("Drilled", f"{_instant(content.written_at)} on {content.machine}"),
        ("Backup", f"{backup.backup_id} ({backup.kind})"),
        ("Taken", f"{_instant(backup.created_at)} of host {backup.host}"),
        ("Size", f"{backup.size_bytes:,} bytes".replace(",", " ")),
        ("Kept on", storages or "no storage"),
    ]
    half, y = INNER / 2, 220.0
    for number, (title, said) in enumerate(facts):
        x = MARGIN + (number % 2) * half
        page.text(x, y, title, _LABEL)
        page.text(x + 54, y, said, _BODY, half - 64)
        y += ROW if number % 2 else 0
    longer = [
        ("Scenario", result.scenario, 1),
        ("Took part", ", ".join(content.by) or "nobody was named", 2),
        ("Note", content.note, 3),
    ]
    for title, said, most in longer:
        for number, line in enumerate(page.wrapped(said, _BODY, width=INNER - 54, most=most) if said else ()):
            page.text(MARGIN, y, "" if number else title, _LABEL)
            page.text(MARGIN + 54, y, line, _BODY, INNER - 54)
            y += ROW
    return y - 4


def _steps(page: Page, result: DrillResult, rows: int, y: float) -> float:
    """The steps with their times, those that did not end well first where not all have room; gives where they end."""
    heading = [(MARGIN, "STEP", False), (MARGIN + 238, "TIME", True), (MARGIN + 296, "LAST TIME", True)]
    y = _heading(page, y, [*heading, (MARGIN + 310, "DETAIL", False)])
    before = result.previous.before(result.steps) if result.previous else [None] * len(result.steps)
    pairs = list(zip(result.steps, before, strict=True))
    shown, left = _cut(pairs, rows, lambda pair: pair[0].status == "ok")
    for step, earlier in shown:
        y += ROW
        _step(page, step, earlier, y)
    return _more(page, left, "step", y)


def _step(page: Page, step: DrillStep, earlier: DrillStep | None, y: float) -> None:
    page.text(MARGIN, y, step.status, Style(7, BOLD, _COLOURS[step.status]))
    page.text(MARGIN + 42, y, step.step, _BODY, 150)
    page.text_to(MARGIN + 238, y, span(step.duration_s), _BODY)
    page.text_to(MARGIN + 296, y, span(earlier.duration_s) if earlier else "", _LABEL)
    page.text(MARGIN + 310, y, step.detail, _SMALL, INNER - 310)


def _checks(page: Page, checks: Sequence[CheckResult], rows: int, y: float) -> None:
    """What was looked at; what was found wrong always comes first."""
    y = _heading(page, y, [(MARGIN, "CHECK", False), (MARGIN + 310, "EXPECTED", False), (MARGIN + 408, "FOUND", False)])  # fmt: skip
    ordered = sorted(checks, key=lambda each: each.passed)
    shown, left = _cut(ordered, rows, lambda check: check.passed)
    for each in shown:
        y += ROW
        word = "passed" if each.passed else "failed"
        page.text(MARGIN, y, word, Style(7, BOLD, _COLOURS[word]))
        page.text(MARGIN + 42, y, each.check, _BODY, 260)
        page.text(MARGIN + 310, y, each.expected, _SMALL, 92)
        found = _SMALL if each.passed else Style(7, BOLD, _COLOURS[word])
        page.text(MARGIN + 408, y, each.actual, found, INNER - 408)
    _more(page, left, "check", y)


def _cut(rows: Sequence[Row], most: int, is_well: Callable[[Row], bool]) -> tuple[list[Row], int]:
    """The rows that are shown, in their order, and how many are not: where not all have room, those that are not well go first."""
    if len(rows) <= most:
        return list(rows), 0
    kept = max(most - 1, 0)  # one line says how many are left out
    chosen = sorted(range(len(rows)), key=lambda at: (is_well(rows[at]), at))[:kept]
    return [rows[at] for at in sorted(chosen)], len(rows) - kept


def _heading(page: Page, y: float, columns: Sequence[tuple[float, str, bool]]) -> float:
    for x, title, is_right in columns:
        (page.text_to if is_right else page.text)(x, y, title, _HEADING)
    page.rule(y + 4)
    return y + 4


def _more(page: Page, left: int, noun: str, y: float) -> float:
    if left:
        y += ROW
        page.text(MARGIN + 42, y, f"and {left} more {noun if left == 1 else noun + 's'}, in the JSON", _LABEL)
    return y


def _foot(page: Page, content: DrillPage) -> None:
    page.text(MARGIN, _FOOT, "Signed off by", _LABEL)
    page.rule(_FOOT + 2, x=MARGIN + 64, width=206)
    page.text(MARGIN + 290, _FOOT, "Date", _LABEL)
    page.rule(_FOOT + 2, x=MARGIN + 316, width=INNER - 316)
    page.rule(_FOOT + 18)
    lines = [
        ("Evidence", content.json_name),
        ("SHA-256", content.json_sha256),
        ("Signed by", content.signed_by),
        ("Check with", f"holdfast evidence verify {content.json_name} --public-key KEY"),
    ]
    for number, (title, said) in enumerate(lines):
        y = _FOOT + 31 + 10.5 * number
        page.text(MARGIN, y, title, _SMALL)
        page.text(MARGIN + 54, y, said, Style(7.5, FIXED), INNER - 54)
    page.text_to(WIDTH - MARGIN, _FOOT + 31, f"holdfast {content.version}", _SMALL)


def _instant(when: datetime.datetime) -> str:
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
