"""What can be done in a page of text: a log, a plan, a kit, a diff."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

TEXTS: Final = (
    Action("text.up", "text", ("up", "k"), "one line up"),
    Action("text.down", "text", ("down", "j"), "one line down"),
    Action("text.first", "text", ("g", "home"), "the first line"),
    Action("text.last", "text", ("G", "end"), "the last line"),
    Action("text.page_up", "text", ("pageup", "ctrl+b", "ctrl+u"), "a page up"),
    Action("text.page_down", "text", ("pagedown", "ctrl+f", "ctrl+d"), "a page down"),
    Action("text.search", "text", ("slash",), "search for a text", hint="search"),
    Action("text.next", "text", ("n",), "the next place that holds it"),
    Action("text.previous", "text", ("N",), "the place before"),
    Action("text.wrap", "text", ("w",), "wrap long lines, or cut them"),
    Action("text.save", "text", ("o",), "write it to a file of this machine"),
)
