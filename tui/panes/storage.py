"""Storage."""

from __future__ import annotations

from collections.abc import Iterator

from textual.widget import Widget

from tui.panes.base import Pane, View
from tui.place import bindings
from tui.text import printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable


class StorageView(View):
    """The list."""

    PLACE = "storage"
    BINDINGS = bindings("storage")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [Column("STORAGE", 14, is_flexible=True), Column("KIND", 10)],
            empty="there is none yet: n defines one",
        )

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """Reads it."""
        found = await self.console.engine.storages()
        self.table.show_rows([Row(each.name, (printable(each.name), each.kind)) for each in found])


class StoragePane(Pane):
    """A tab."""

    TITLE = "storage"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(StorageView(), id=id)
