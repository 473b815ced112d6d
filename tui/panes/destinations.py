"""Where people are told, and what became of the last message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from textual.widget import Widget

from tui import keys
from tui.actions import Action
from tui.dialogs import wizards
from tui.dialogs.confirm import TypeName
from tui.panes.base import View
from tui.place import bindings
from tui.text import moment, printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable

_NONE: Final = "nobody is told of anything yet: {destination.new} defines where"


class DestinationsView(View):
    """One row each."""

    PLACE = "destinations"
    BINDINGS = bindings("destinations")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [
                Column("NAME", 10, is_flexible=True), Column("KIND", 7, rank=1), Column("ADDRESS", 14, is_flexible=True),
                Column("TOLD OF", 14, is_flexible=True, rank=2), Column("LAST MESSAGE", 16, is_flexible=True),
            ],
            empty=_NONE,
        )  # fmt: skip

    @property
    def crumb(self) -> str:
        """In the path."""
        return "who is told"

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """All of them."""
        now = self.console.now()
        rows = []
        for each in await self.console.engine.destinations():
            where = each.destination
            last = f"{each.state} {moment(each.at, now)}" if each.state else "none yet"
            told = ", ".join(where.occasions) or "as usual"
            tone = "risk" if each.state == "failed" else "" if where.is_enabled else "dim"
            cells = (
                where.name,
                where.kind,
                where.shown,
                told if where.is_enabled else "switched off",
                f"{last} {each.error}".rstrip(),
            )
            rows.append(Row(where.name, tuple(map(printable, cells)), tone))
        self.table.show_rows(rows)

    @property
    def chosen(self) -> str:
        """The name under the cursor; empty where there is none."""
        return self.table.current.key if self.table.current is not None else ""

    def why_off(self, action: Action) -> str:
        """Most need one."""
        if action.action_id in ("destination.new", "destination.flush"):
            return ""
        return "" if self.chosen else keys.said(_NONE)

    def copyables(self) -> list[tuple[str, str]]:
        """The name, and a test of it."""
        return (
            [("name", self.chosen), ("command", f"holdfast notify test {self.chosen}")] if self.chosen else []
        )

    async def do_destination_new(self) -> None:
        """The wizard."""
        await wizards.add_destination(self.console)
        self.reload()

    async def do_destination_edit(self) -> None:
        """The wizard, filled."""
        await wizards.edit_destination(self.console, self.chosen)
        self.reload()

    async def do_destination_test(self) -> None:
        """Sends a message, and says whether it was taken."""
        self.console.tell(f"sending to {self.chosen} …")
        await self.console.engine.test_destination(self.chosen)
        self.console.tell(f"{self.chosen} took the message", "good")
        self.reload()

    async def do_destination_flush(self) -> None:
        """Sends what waits."""
        done = await self.console.engine.flush_notices()
        self.console.tell("; ".join([f"{done.sent} sent, {done.waiting} waiting", *done.failed]))
        self.reload()

    async def do_destination_remove(self) -> None:
        """Its name is typed."""
        name = self.chosen
        lines = [
            "Nobody is told there any more, nor of what still waits.",
            f"Same as: holdfast notify remove {printable(name)}",
        ]
        if await self.console.ask(
            TypeName(f"TELL NOBODY AT {printable(name)}", lines, name)
        ) and await self.console.pass_guard("destination.remove"):
            await self.console.engine.remove_destination(name)
            self.console.tell(f"nobody is told at {name} any more")
            self.reload()
