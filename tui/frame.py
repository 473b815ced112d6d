"""The frame round what a pane shows: the lines of title, tabs, jobs and hints, and which parts a terminal has room for. Pure: the screen shows
it, and the first picture does before there is a screen.

A line is its parts with their tones, and what stands on the right.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.job import Job
from engine.model.text import printable
from tui import keys
from tui.job_words import job_line

LineParts = tuple[list[tuple[str, str]], str]

TABS: Final = ("backups", "schedules", "restore", "storage")
LOW_BELOW: Final = 12
"""Rows; a terminal of fewer has room for the list alone."""
WIDE_FROM: Final = 120
"""Columns with room for what is known of the row under the cursor, beside the list."""
_DETAIL_PERCENT: Final = 45
"""Of the columns, for that; this and what follows as the style sheet of the screen says."""
LOG_ROWS: Final = 11
_LOG_PERCENT: Final = 30
"""Of the columns, where the log is beside the rest."""
_LOG_BELOW_FROM: Final = (160, 40)
"""Columns and rows of a terminal with room for the log of what runs below the rest."""
_LOG_BESIDE_FROM: Final = 200
"""Columns with room for it beside the rest."""
_NARROW: Final = 40
"""Columns."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a terminal of that size has room for."""

    columns: int
    rows: int

    @property
    def is_low(self) -> bool:
        """Whether there is neither the row of tabs nor the heads of columns."""
        return self.rows < LOW_BELOW

    @property
    def has_detail(self) -> bool:
        """What is known of the current row, beside the list."""
        return self.columns >= WIDE_FROM

    @property
    def has_log_beside(self) -> bool:
        """The log of what runs, beside all."""
        return self.columns >= _LOG_BESIDE_FROM

    @property
    def has_log_below(self) -> bool:
        """The log of what runs, below all."""
        return (
            not self.has_log_beside and self.columns >= _LOG_BELOW_FROM[0] and self.rows >= _LOG_BELOW_FROM[1]
        )

    @property
    def pane_columns(self) -> int:
        """Columns of the pane."""
        return self.columns - (self.columns * _LOG_PERCENT // 100 if self.has_log_beside else 0)

    @property
    def pane_rows(self) -> int:
        """Rows of the pane: all but title, tabs, message, hints and the log."""
        return max(0, self.rows - (3 if self.is_low else 4) - (LOG_ROWS if self.has_log_below else 0))

    @property
    def list_columns(self) -> int:
        """Columns of a list that has a detail beside it."""
        return self.pane_columns - (self.pane_columns * _DETAIL_PERCENT // 100 if self.has_detail else 0)


def tab_line(tab: str) -> LineParts:
    """Row 2."""
    parts = []
    for each in TABS:
        label = f"{keys.of(f'tab.{each}')} {each.capitalize()}"
        parts.append((f"[{label}]" if each == tab else f" {label} ", "strong" if each == tab else ""))
    return parts, f"{keys.of('help.open')} help"


def title_line(home: str, path: str, right: str, width: int, note: str = "") -> LineParts:
    """Row 1. On a narrow terminal the home's name gives way, and the note."""
    whole = [(f"{printable(home)} > ", ""), (printable(path), "strong")]
    if width < _NARROW:
        return whole[1:], right
    return whole, f"{note}  {right}" if note else right


def title_right(now: datetime.datetime, running: int, *, is_read_only: bool, is_frozen: bool = False) -> str:
    """Who works; what time it is."""
    mode = "RO" if is_read_only else "RW"
    return f"{'frozen  ' if is_frozen else ''}{f'{running} run  ' if running else ''}{mode} {now.astimezone():%H:%M}"


def job_message(jobs: Sequence[Job], now: datetime.datetime) -> LineParts:
    """Row 23 as long as no message stands there: the newest running job."""
    return [(job_line(jobs[0], now) if jobs else "", "")], jobs_key()


def jobs_key() -> str:
    """On the right of row 23."""
    return f"{keys.of('drawer.jobs')} jobs"


def hint_line(own: Sequence[str], general: Sequence[str], width: int) -> LineParts:
    """Row 24: as many of a place's own hints as there is room for, and all of the general ones."""
    right = "  ".join(general)
    room = width - len(right) - 2
    shown = ""
    for hint in own:
        if len(shown) + len(hint) + 2 > room:
            break
        shown += f"{hint}  "
    return [(f" {shown}".rstrip(), "dim")], right
