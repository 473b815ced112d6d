"""A list to choose one or several things from."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.widget import Widget

from engine.model.text import printable
from tui import keys
from tui.dialogs.base import Dialog
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable


class Several(Dialog[Sequence[str]]):
    """Values and what is shown for each; enter takes those that are marked, or else the one under the cursor."""

    DEFAULT_CSS = """
    Several RowTable { height: auto; max-height: 18; }
    Several RowList { height: auto; max-height: 17; }
    """

    def __init__(
        self, title: str, entries: Sequence[tuple[str, str]], *, is_one: bool = False, hint: str = ""
    ) -> None:
        way = "enter take this" if is_one else "{mark.row} mark    {mark.all} all    enter take"
        super().__init__(title, hint=hint or keys.said(f"{way}    {{list.filter}} filter    esc back"))
        self._entries = entries
        self.table = RowTable([Column("", 20, is_flexible=True)], empty="there is nothing to choose from")

    def body(self) -> list[Widget]:
        """The list."""
        return [self.table]

    def on_mount(self) -> None:
        """Shows it."""
        self.table.list.styles.height = max(1, min(17, len(self._entries)))
        self.table.show_rows([Row(key, (printable(text),)) for key, text in self._entries])
        self.table.focus()

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.dismiss(list(self.table.chosen()))
