"""A report of many pages: tables whose rows stay whole, whose heads come again on each page, and whose cells say all that they hold.

What stands on which page is decided before anything is drawn, by `paginate`, which is pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.export.fonts import Search, on_this_machine
from engine.export.page import BOLD, GREY, HEIGHT, MARGIN, WIDTH, Page, Style

PAPER: Final = (HEIGHT, WIDTH)
"""A4, lying."""
INNER: Final = PAPER[0] - 2 * MARGIN
_TOP, _BOTTOM = 60.0, 40.0
_ROOM: Final = PAPER[1] - _TOP - _BOTTOM
_BODY, _HEAD, _LABEL, _FOOT = Style(7), Style(6.5, BOLD, GREY), Style(8, colour=GREY), Style(6.5, colour=GREY)
_TITLE, _NAME = Style(18, BOLD), Style(11, BOLD)
_LINE, _GAP, _PADDING = 8.6, 5.0, 3.4
_LEAST_ROWS: Final = 3
"""That stand below a table's name at the foot of a page, if it has so many."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    share: float
    """Of the width, against the other columns' shares."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its name, and what is said where it has no row."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Document:
    """All that a report says."""

    title: str
    facts: Sequence[tuple[str, str]]
    """Label and text, one a line, at the head of the first page."""
    tables: Sequence[Table]
    foot: str
    """On each page."""


Piece = tuple[int, int, int]
"""Rows of a table on a page: the table's number, the first row, the one behind the last."""


def paginate(
    heights: Sequence[Sequence[float]], *, first: float, room: float, head: float
) -> list[list[Piece]]:
    """Which rows stand on which page: each once, in order, none cut. `heights` is each table's rows', `first` the room on the first page,
    `head` what a table's name and head take. A table begins where a few of its rows have room too."""
    pages: list[list[Piece]] = [[]]
    left = first
    for number, rows in enumerate(heights):
        at = 0
        while True:
            least = sum(rows[at : at + _LEAST_ROWS])
            if head + least > left and left < room:
                pages.append([])
                left = room
            end, used = at, head
            while end < len(rows) and (used + rows[end] <= left or (end == at and left >= room)):
                used += rows[end]
                end += 1
            pages[-1].append((number, at, end))
            left -= used
            at = end
            if at >= len(rows):
                break
            left = min(left, 0.0)
    return pages


def render(document: Document, search: Search = on_this_machine) -> bytes:
    """The document as a PDF file. Takes 2 ms for each row of ten cells."""
    page = Page(document.title, search, PAPER)
    widths = [_widths(table) for table in document.tables]
    cells = [
        [_cells(page, row, each) for row in table.rows]
        for table, each in zip(document.tables, widths, strict=True)
    ]
    heights = [[_height(row) for row in table] for table in cells]
    head = 34.0
    facts = [(label, page.wrapped(text, _BODY, width=INNER - 110, most=4)) for label, text in document.facts]
    first = _ROOM - 40 - sum(12.0 * len(lines) for _, lines in facts)
    pages = paginate(heights, first=first, room=_ROOM, head=head)
    for number, pieces in enumerate(pages):
        y = _TOP
        if number:
            page.next_page()
        else:
            y = _facts(page, document.title, facts)
        for table, at, end in pieces:
            y = _table(
                page, document.tables[table], widths[table], cells[table][at:end], y, is_continued=at > 0
            )
        page.text(MARGIN, PAPER[1] - 22, document.foot, _FOOT, INNER - 80)
        page.text_to(PAPER[0] - MARGIN, PAPER[1] - 22, f"page {number + 1} of {len(pages)}", _FOOT)
    return page.finish()


def _widths(table: Table) -> list[float]:
    shares = sum(each.share for each in table.columns)
    room = INNER - _GAP * (len(table.columns) - 1)
    return [room * each.share / shares for each in table.columns]


def _cells(page: Page, row: Sequence[str], widths: Sequence[float]) -> list[list[str]]:
    return [page.broken(cell, _BODY, width) for cell, width in zip(row, widths, strict=True)]


def _height(row: Sequence[Sequence[str]]) -> float:
    return _LINE * max(len(lines) for lines in row) + _PADDING


def _facts(page: Page, title: str, facts: Sequence[tuple[str, Sequence[str]]]) -> float:
    page.text(MARGIN, _TOP, title, _TITLE, INNER)
    y = _TOP + 22
    for label, lines in facts:
        page.text(MARGIN, y, label, _LABEL)
        for line in lines:
            page.text(MARGIN + 110, y, line, _BODY, INNER - 110)
            y += 12
    return y + 10


def _table(
    page: Page,
    table: Table,
    widths: Sequence[float],
    rows: Sequence[Sequence[Sequence[str]]],
    y: float,
    *,
    is_continued: bool,
) -> float:
    y += 14
    page.text(MARGIN, y, table.title + (" (continued)" if is_continued else ""), _NAME)
    if not table.rows:
        page.text(MARGIN + 150, y, table.note, _LABEL)
        return y + 12
    y += 13
    for x, column in zip(_lefts(widths), table.columns, strict=True):
        page.text(x, y, column.title, _HEAD)
    page.rule(y + 3, width=INNER)
    y += 5
    for row in rows:
        for x, lines in zip(_lefts(widths), row, strict=True):
            for number, line in enumerate(lines):
                page.text(x, y + _LINE * (number + 1) - 1, line, _BODY)
        y += _height(row)
    return y + 2


def _lefts(widths: Sequence[float]) -> Iterator[float]:
    x = MARGIN
    for width in widths:
        yield x
        x += width + _GAP
