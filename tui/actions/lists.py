"""What can be done in every list."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

LISTS: Final = (
    Action("list.up", "list", ("up", "k"), "one row up"),
    Action("list.down", "list", ("down", "j"), "one row down"),
    Action("list.first", "list", ("g", "home"), "the first row"),
    Action("list.last", "list", ("G", "end"), "the last row"),
    Action("list.half_up", "list", ("ctrl+u",), "half a page up"),
    Action("list.half_down", "list", ("ctrl+d",), "half a page down"),
    Action("list.page_up", "list", ("pageup", "ctrl+b"), "a page up"),
    Action("list.page_down", "list", ("pagedown", "ctrl+f"), "a page down"),
    Action("list.open", "list", ("enter", "l", "right"), "open this row", hint="open"),
    Action("list.filter", "list", ("slash",), "show only rows that hold a text", hint="filter"),
    Action("list.sort", "list", ("S",), "sort by a column"),
    Action("list.wide", "list", ("w",), "show all columns, or those that fit"),
    Action("mark.row", "list", ("space",), "mark this row"),
    Action("mark.range", "list", ("v",), "mark from the last mark to here"),
    Action("mark.all", "list", ("ctrl+a",), "mark all rows"),
    Action("mark.none", "list", ("ctrl+backslash",), "take all marks away"),
)
