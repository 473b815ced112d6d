"""Schedules, defined, changed and removed in whatever view lists them."""

from __future__ import annotations

from engine.model.text import printable
from tui.dialogs import wizards
from tui.dialogs.confirm import TypeName
from tui.panes.base import View
from tui.widgets.rows import RowTable


class DefinesSchedules(View):
    """A view with a table whose rows are schedules, by name."""

    table: RowTable

    async def do_schedule_new(self) -> None:
        """The wizard."""
        await wizards.add_schedule(self.console)
        self.reload()

    async def do_schedule_edit(self) -> None:
        """The wizard, filled."""
        if self.table.current is not None:
            await wizards.edit_schedule(self.console, self.table.current.key)
            self.reload()

    async def do_schedule_remove(self) -> None:
        """Its name is typed."""
        if self.table.current is None:
            return
        name = self.table.current.key
        schedule = (await self.console.engine.show_schedule(name)).schedule
        lines = [
            f"Nothing of it starts any more: {printable(schedule.rhythm or f'after {schedule.after}')}.",
            "Its jobs and backups stay; what it kept is not pruned by it any more.",
            f"Same as: holdfast schedule remove {printable(name)}",
        ]
        asked = TypeName(f"FORGET SCHEDULE {printable(name)}", lines, name)
        if await self.console.ask(asked) and await self.console.pass_guard("schedule.remove"):
            await self.console.engine.remove_schedule(name)
            self.console.tell(f"schedule {name} is forgotten")
            self.reload()
