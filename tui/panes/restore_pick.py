"""What of a backup is brought back: databases and tables, or files and folders, marked in a tree."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from textual import on
from textual.widget import Widget

from engine.errors import UsageError
from engine.model.backup import Backup
from engine.model.drills import Ways
from engine.model.job import Change
from engine.model.requests import RestoreRequest
from engine.model.text import counted
from tui import keys
from tui.actions import ACTIONS, Action
from tui.panes.base import View
from tui.panes.contents import path_of
from tui.panes.restore_text import Target
from tui.place import bindings
from tui.text import fit_end, printable, short_size
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_MOST: Final = 50_000
"""Entries of a folder that are listed."""


class PickView(View):
    """Marks stay while one goes through folders. `taken` is told of the request with what is marked; with no mark at all: all of the backup."""

    PLACE = "pick"
    BINDINGS = bindings("pick")
    DEFAULT_CSS = "PickView > Line { height: 1; }"

    def __init__(
        self,
        backup: Backup,
        target: Target,
        request: RestoreRequest,
        ways: Ways,
        taken: Callable[[RestoreRequest], None],
    ) -> None:
        super().__init__()
        self.backup, self.target, self.request = backup, target, request
        self.is_of_databases = ways.is_database and target is not Target.FILES
        self._taken = taken
        self._ways = ways
        self.said = Line("reading…")
        self.said.add_class("aside")
        self.table = RowTable(
            [Column("NAME", 24, is_flexible=True), Column("ROWS", 10, is_right=True, rank=1), Column("SIZE", 6, is_right=True)],
            empty="there is nothing in it",
        )  # fmt: skip
        self.folder = "/"
        self._folders: set[str] = set()
        self._elsewhere: dict[str, None] = {}
        """Marked paths of other folders."""
        self._is_read = False

    @property
    def crumb(self) -> str:
        """What one does here."""
        return "pick"

    def compose(self) -> Iterator[Widget]:
        """What is marked, and the rows."""
        yield self.said
        yield self.table

    def wants(self, change: Change) -> bool:
        """What a backup holds never changes."""
        return False

    async def load(self) -> None:
        """Once; marks are those of the last time. Raises: StorageError, DamagedError."""
        if self._is_read:
            return
        if self.is_of_databases:
            await self._read_databases()
        else:
            if not self._elsewhere:
                self._elsewhere = dict.fromkeys(_unescaped(each) for each in self.request.include)
            await self._read_folder()
        self._is_read = True
        self._tell()

    async def _read_databases(self) -> None:
        manifest = await self.console.engine.manifest(self.backup.backup_id)
        rows: list[Row] = []
        for each in manifest.databases if manifest is not None else ():
            name = printable(each.name)
            rows.append(Row(f"d\n{each.name}", (name, counted(len(each.tables), 'table'), short_size(each.size_bytes)), "good"))  # fmt: skip
            if self.target is Target.LIVE or not self._ways.is_by_table:
                continue
            for table in each.tables:
                about = "~" if table.is_estimated else ""
                cells = (f"  {name} . {printable(table.name)}", f"{about}{table.rows:,}", short_size(table.size_bytes))  # fmt: skip
                rows.append(Row(f"t\n{each.name}\n{table.name}", cells))
        self.table.show_rows(rows)
        tables = set(self.request.tables)
        for row in rows:
            kind, name, *rest = row.key.split("\n")
            is_wanted = rest[0] in tables and name in (self.request.databases or (name,)) if kind == "t" else name in self.request.databases and not tables  # fmt: skip
            if is_wanted:
                self.table.list.marked[row.key] = None

    async def _read_folder(self, at: str = "") -> None:
        self._folders, rows = set(), []
        async with aclosing(self.console.engine.ls(self.backup.backup_id, self.folder)) as items:  # type: ignore[type-var]
            async for item in items:
                key = path_of(item)
                name = printable(item.path.rpartition("/")[2])
                if item.type == "dir":
                    self._folders.add(key)
                below = sum(each.startswith(f"{key}/") for each in self._elsewhere)
                cells = (
                    f"{name}/" if item.type == "dir" else name,
                    f"{below} marked" if below else "",
                    short_size(item.size_bytes) if item.type == "file" else "",
                )
                rows.append(Row(key, cells))
                if len(rows) >= _MOST:
                    break
        rows.sort(key=lambda row: (row.key not in self._folders, row.key))
        self.table.show_rows(rows, at)
        here = {row.key for row in rows}
        self.table.list.marked = {each: None for each in self._elsewhere if each in here}
        self._elsewhere = {each: None for each in self._elsewhere if each not in here}
        self.table.list.refresh()
        self._tell()

    def copyables(self) -> Sequence[tuple[str, str]]:
        """What is under the cursor, the backup, and the command line that lists this folder of it."""
        row, backup = self.table.current, self.backup.backup_id
        named = (
            [] if row is None else [("table" if self.is_of_databases else "path", row.key.split("\n")[-1])]
        )
        command = f"show {backup}" if self.is_of_databases else f"ls {backup} {shlex.quote(self.folder)}"
        return [*named, ("backup", backup), ("command", f"holdfast {command}")]

    def _tell(self) -> None:
        count, take = len(self.marked), keys.of("pick.take")
        place = "" if self.is_of_databases else f"{fit_end(printable(self.folder), 40).rstrip()}   "
        said = f"{counted(count, 'mark')}: {take} takes them" if count else f"no mark: {take} takes all of it"
        self.said.show(f"{place}{said}", f"{keys.of('mark.row')} marks")

    @property
    def marked(self) -> Sequence[str]:
        """All of them, wherever they are."""
        return [*self._elsewhere, *self.table.list.marked]

    @on(RowList.Marked)
    def marks_changed(self, event: RowList.Marked) -> None:
        """How many there are."""
        event.stop()
        self._tell()

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Into a folder; a file or table is marked."""
        event.stop()
        if event.row.key in self._folders:
            self.console.run_guarded(self._go(event.row.key), name="read folder")
        else:
            self.perform(ACTIONS["pick.mark"])

    async def _go(self, folder: str, at: str = "") -> None:
        self._elsewhere |= self.table.list.marked
        self.folder = folder
        self.table.set_filter("")
        await self._read_folder(at)

    def why_off(self, action: Action) -> str:
        """The outermost folder has none above it."""
        if action.action_id == "pick.up":
            if self.is_of_databases:
                return "there are no folders here"
            return "this is the outermost folder" if self.folder == "/" else ""
        return "" if self._is_read else "it is still being read"

    async def do_pick_mark(self) -> None:
        """This row."""
        await self.table.list.do_mark_row()
        self._tell()

    async def do_pick_none(self) -> None:
        """In all folders."""
        self._elsewhere.clear()
        await self.table.list.do_mark_none()
        self._tell()

    async def do_pick_up(self) -> None:
        """The folder above."""
        await self._go(self.folder.rpartition("/")[0] or "/", self.folder)

    async def do_pick_take(self) -> None:
        """Back to the plan with it. Raises: UsageError for whole databases and single tables at once."""
        self._taken(self.taken())
        await self.console.main.pane.pop()

    def taken(self) -> RestoreRequest:
        """The request with what is marked."""
        if not self.is_of_databases:
            patterns = tuple(self.console.engine.pattern_of(each) for each in self.marked)
            return dataclasses.replace(self.request, include=patterns)
        marked = [each.split("\n") for each in self.marked]
        whole = [name for kind, name, *_ in marked if kind == "d"]
        tables = [(name, rest[0]) for kind, name, *rest in marked if kind == "t"]
        if whole and tables:
            raise UsageError(
                "whole databases and single tables cannot be brought back by one restore",
                hint="mark the one or the other",
            )
        databases = tuple(dict.fromkeys([*whole, *(name for name, _ in tables)]))
        return dataclasses.replace(
            self.request, databases=databases, tables=tuple(dict.fromkeys(table for _, table in tables))
        )


def _unescaped(pattern: str) -> str:
    """The path that a pattern of `pattern_of` means."""
    found, is_escaped = "", False
    for each in pattern:
        if each == "\\" and not is_escaped:
            is_escaped = True
            continue
        found, is_escaped = found + each, False
    return found
