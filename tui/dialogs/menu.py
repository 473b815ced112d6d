"""A list to choose one thing from."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.widget import Widget

from tui import keys
from tui.dialogs.base import Dialog
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable


class Menu(Dialog[str]):
    """Keys and what is shown for each; the answer is a key."""

    DEFAULT_CSS = """
    Menu RowTable { height: auto; max-height: 18; }
    Menu RowList { height: auto; max-height: 17; }
    """

    def __init__(self, title: str, entries: Sequence[tuple[str, str]], *, tones: Sequence[str] = ()) -> None:
        super().__init__(title, hint=keys.said("enter choose    {list.filter} filter    esc back"))
        self._entries = entries
        self._tones = tones or [""] * len(entries)
        self.table = RowTable([Column("", 20, is_flexible=True)], empty="there is nothing to choose from")

    def body(self) -> list[Widget]:
        """The list."""
        return [self.table]

    def on_mount(self) -> None:
        """Shows it."""
        self.table.list.styles.height = max(1, min(17, len(self._entries)))
        self.table.show_rows(
            [Row(key, (text,), tone) for (key, text), tone in zip(self._entries, self._tones, strict=True)]
        )
        self.table.focus()

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.dismiss(event.row.key)
