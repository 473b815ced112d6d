"""Schedule."""

from __future__ import annotations

from collections.abc import Iterator

from textual.widget import Widget

from tui.actions import Action
from tui.panes.base import Pane
from tui.panes.defining import DefinesSchedules
from tui.place import bindings
from tui.text import moment, printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable


class ScheduleView(DefinesSchedules):
    """The list."""

    PLACE = "schedules"
    BINDINGS = bindings("schedules")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [Column("SCHEDULE", 14, is_flexible=True), Column("WHEN", 16), Column("NEXT", 16)],
            empty="there is none yet: n defines one",
        )

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """Reads it."""
        found = await self.console.engine.schedules()
        self.table.show_rows(
            [
                Row(
                    each.schedule.name,
                    (
                        printable(each.schedule.name),
                        printable(each.schedule.rhythm),
                        moment(each.state.next_at, self.console.now()),
                    ),
                )
                for each in found
            ]
        )

    def why_off(self, action: Action) -> str:
        """Most need a schedule."""
        is_off = self.table.current is None and action.action_id != "schedule.new"
        return "there is no schedule yet: n defines one" if is_off else ""


class SchedulesPane(Pane):
    """A tab."""

    TITLE = "schedules"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(ScheduleView(), id=id)
