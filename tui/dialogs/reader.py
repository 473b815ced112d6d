"""A page of text over the whole screen: a plan, a kit, a report, what a command said."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.widget import Widget

from tui import keys
from tui.dialogs.base import Dialog
from tui.widgets.page import Page


class Reader(Dialog[bool]):
    """Read, searched, saved, and closed again."""

    BINDINGS = [Binding("q", "leave", show=False)]  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = "Reader > Vertical { width: 100%; height: 100%; }"

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__(
            title,
            hint=keys.said(
                "{text.search} search   {text.next} {text.previous} next, before   {text.wrap} wrap   {text.save} write to a file   esc back"
            ),
        )
        self.page = Page(lines)

    def body(self) -> list[Widget]:
        """The page."""
        return [self.page]

    def on_mount(self) -> None:
        """It has the keys."""
        self.page.focus()
