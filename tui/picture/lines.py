"""The first screen as lines, each of texts with their tones. Pure; the widgets draw by the same functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.status import Concern
from tui import frame
from tui.actions import Action, of_place
from tui.panes import remedies, source_rows
from tui.panes.source_look import FirstLook
from tui.preferences import Preferences
from tui.text import parts_in
from tui.widgets import row_layout
from tui.widgets.row_source import Row

Text = tuple[str, str]
"""A text and its tone; two of them with a blank between."""
_CURSOR: Final = " cursor"
"""Behind the tone of the cursor's row."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the picture depends on besides what was read."""

    parts: frame.Parts
    preferences: Preferences
    now: datetime.datetime
    is_read_only: bool


def picture_lines(look: FirstLook, setting: Setting) -> list[Sequence[Text]]:
    """All lines of the screen, each of them as wide as it is."""
    parts, width = setting.parts, setting.parts.columns
    concerns = source_rows.sorted_concerns(look.sources.status)
    right = frame.title_right(setting.now, len(look.jobs), is_read_only=setting.is_read_only)
    note = source_rows.note_of(look.sources.status)
    title = parts_in(*frame.title_line(setting.preferences.name, "backups", right, width, note), width)
    message = frame.job_message(look.jobs, setting.now) if look.jobs else ([("", "")], "")
    return [
        [(text, "title") for text, _ in title],
        *([] if parts.is_low else [parts_in(*frame.tab_line(frame.TABS[0]), width)]),
        *_pane(look, concerns, parts),
        *_log_below(parts),
        parts_in(*message, width),
        parts_in(*_hints(look, concerns, setting), width),
    ]


def _pane(look: FirstLook, concerns: Sequence[Concern], parts: frame.Parts) -> Iterator[Sequence[Text]]:
    """What is at risk, and the list below it."""
    beside: Sequence[Text] = [_edge(parts.columns - parts.pane_columns)] if parts.has_log_beside else []
    width = parts.pane_columns
    count = source_rows.attention_height(len(concerns), parts.pane_rows, len(look.sources.status.sources))
    laid_out = row_layout.lay_out(source_rows.ATTENTION_COLUMNS, width)
    for row in source_rows.attention_rows(look.sources.status, concerns)[:count]:
        yield [(laid_out.row(row.cells, width), row.tone), *beside]
    detail = [_edge(width - parts.list_columns)] if parts.has_detail else []
    for line in _list(look, parts, parts.pane_rows - count):
        yield [*line, *detail, *beside]


def _list(look: FirstLook, parts: frame.Parts, height: int) -> Iterator[Sequence[Text]]:
    """The heads of columns, and the rows round the cursor."""
    status, width = look.sources.status, parts.list_columns
    laid_out = row_layout.lay_out(source_rows.COLUMNS, width)
    rows_seen = height - (0 if parts.is_low else 1)
    wanted = source_rows.least_proved(status.sources)
    cursor = next((place for place, each in enumerate(status.sources) if each.source == wanted), 0)
    top = row_layout.top_for(cursor, 0, rows_seen)
    if not parts.is_low:
        place = row_layout.place_of(cursor, len(status.sources), rows_seen)
        yield [(text, "strong") for text, _ in parts_in(*_head(laid_out, width, place), width)]
    seen = status.sources[top : top + rows_seen]
    for number, row in enumerate(source_rows.rows_of(look.sources, _running(look), seen), top):
        yield [_row(laid_out, row, width, has_cursor=number == cursor)]
    for _ in range(rows_seen - len(seen)):
        yield [(" " * width, "")]


def _head(laid_out: row_layout.RowLayout, width: int, place: str) -> frame.LineParts:
    line, right = laid_out.head(width, place)
    return [(line, "")], right


def _row(laid_out: row_layout.RowLayout, row: Row, width: int, *, has_cursor: bool) -> Text:
    return laid_out.row(row.cells, width, has_cursor=has_cursor), row.tone + (_CURSOR if has_cursor else "")


def _running(look: FirstLook) -> set[str]:
    return source_rows.running_of(look.jobs)


def _edge(width: int) -> Text:
    """Of what stands beside, and is read later."""
    return "|" + " " * (width - 1), ""


def _log_below(parts: frame.Parts) -> Iterator[Sequence[Text]]:
    if parts.has_log_below:
        yield [("-" * parts.columns, "")]
        for _ in range(frame.LOG_ROWS - 1):
            yield [(" " * parts.columns, "")]


def _hints(look: FirstLook, concerns: Sequence[Concern], setting: Setting) -> frame.LineParts:
    """What can be done with the source under the cursor, and everywhere."""
    sources = look.sources.status.sources
    name = source_rows.least_proved(sources)
    has_concern = any(remedies.source_of(each) == name for each in concerns)
    under = source_rows.Under(name, sources, has_concern=has_concern, is_chosen=True)
    own = [
        each
        for each in (*of_place("list"), *of_place("sources"))
        if each.place == "list" or not source_rows.why_off(each.action_id, under)
    ]
    return frame.hint_line(_said(own, setting), _said(of_place("everywhere"), setting), setting.parts.columns)


def _said(actions: Sequence[Action], setting: Setting) -> Sequence[str]:
    return [
        f"{setting.preferences.key_of(each)} {each.hint}"
        for each in actions
        if each.hint and not (setting.is_read_only and each.is_changing)
    ]
