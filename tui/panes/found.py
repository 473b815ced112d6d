"""Files of a name, found in all backups."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on

from engine.model.results import FoundItem
from engine.model.text import instant
from tui.actions import Action
from tui.panes.contents import ContentsView, path_of
from tui.panes.stream import StreamView
from tui.place import bindings
from tui.text import printable, short_size
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp


async def find(console: ConsoleApp, source: str = "") -> None:
    """Asks for a name or pattern, and looks for it in the backups of that source, or in all."""
    where = printable(source) or "all sources"
    pattern = await console.ask_line(f"find in all backups of {where} (nginx.conf, /etc/**/*.key): ")
    if pattern:
        await console.main.pane.push(FoundView(pattern, source))


class FoundView(StreamView):
    """Enter leads to the folder that holds it."""

    PLACE = "found"
    BINDINGS = bindings("found")

    def __init__(self, pattern: str, source: str = "") -> None:
        super().__init__(
            RowTable(
                [
                    Column("CREATED", 16), Column("SOURCE", 10, rank=1), Column("PATH", 20, is_flexible=True, keeps_end=True), Column("SIZE", 5, is_right=True),
                    Column("BACKUP", 8, rank=2),
                ],
                empty="no backup holds such a file",
            )
        )  # fmt: skip
        self.pattern, self.source = pattern, source
        self._found: list[tuple[str, str]] = []
        """Of the rows that are kept: backup and path."""

    @property
    def crumb(self) -> str:
        """What is looked for."""
        return f"find {self.pattern}"

    async def read(self) -> None:
        """As they are found."""
        self._found = []
        async for each in self.console.engine.find(self.pattern, source=self.source):
            if len(self._found) == len(self.rows):
                self._found.append((each.backup_id, path_of(each.item)))
            self.add(self._row(each, instant(each.created_at)))

    def _row(self, found: FoundItem, when: str) -> Row:
        size = found.item.size_bytes
        cells = (
            when,
            printable(found.source),
            printable(found.item.path),
            short_size(size) if found.item.type == "file" else found.item.type[:5],
            found.backup_id,
        )
        return Row(
            str(self.count),
            cells,
            "",
            (found.created_at, found.source, found.item.path, size, found.backup_id),
        )

    def summary(self) -> str:
        """How many."""
        return f"{self.count:,} found"

    def why_off(self, action: Action) -> str:
        """A search that is over cannot be stopped."""
        return "" if self.is_reading or action.action_id != "found.stop" else "it is over"

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Backup, path, command."""
        row = self.table.current
        of = f" --source {self.source}" if self.source else ""
        command = ("command", f"holdfast find {shlex.quote(self.pattern)}{of}")
        if row is None:
            return [command]
        backup, path = self._found[int(row.key)]
        return [
            ("path", path),
            ("backup", backup),
            ("command", f"holdfast dump {backup} {shlex.quote(path)}"),
            command,
        ]

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.console.run_guarded(self._open(*self._found[int(event.row.key)]), name="open")

    async def _open(self, backup_id: str, path: str) -> None:
        """The folder, with the cursor on the file."""
        backup = await self.console.engine.show_backup(backup_id)
        folder = path.rpartition("/")[0] or "/"
        await self.console.main.pane.push(ContentsView(backup, folder, path))

    async def do_found_stop(self) -> None:
        """What was found stays."""
        self.stop()
