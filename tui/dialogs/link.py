"""A link, shown once: whoever has it reads what it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.binding import Binding
from textual.widget import Widget

from tui.dialogs.base import Dialog
from tui.widgets.page import Page

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class LinkDialog(Dialog[bool]):
    """`y` copies it."""

    BINDINGS = [Binding("y", "copy", show=False), Binding("q", "leave", show=False)]  # noqa: RUF012

    def __init__(self, name: str, link: str) -> None:
        super().__init__(f"Link to {name}", hint="y copy    esc back; it is shown nowhere else")
        self._link = link

    def body(self) -> list[Widget]:
        """The link."""
        return [Page([self._link, "", "Whoever has it reads it, as long as it holds."], is_growing=True)]

    def action_copy(self) -> None:
        """Into the clipboard of the terminal; it is not shown in the row of messages."""
        cast("ConsoleApp", self.app).copy(self._link, is_secret=True)
        self.say("copied    esc back; it is shown nowhere else")
