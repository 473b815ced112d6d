"""A file or folder of this machine, picked from a list."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from textual import on
from textual.binding import Binding
from textual.widget import Widget

from engine.model.text import printable
from tui import keys
from tui.dialogs.base import Dialog
from tui.text import short_size
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_MOST: Final = 20_000
"""Entries of a folder that are listed."""
_UP: Final = ".."


class Picker(Dialog[str]):
    """Folders are walked through by enter; a file is taken by enter, a folder by the period."""

    BINDINGS = [Binding("full_stop", "take_folder", show=False), Binding("backspace", "up", show=False)]  # noqa: RUF012
    DEFAULT_CSS = "Picker > Vertical { height: 100%; }"

    def __init__(self, begin: str = "", *, title: str = "Pick a path of this machine") -> None:
        super().__init__(
            title,
            hint=keys.said(
                "{list.open} into, or take the file    . take this folder    backspace up    {list.filter} filter    esc back"
            ),
        )
        self._folder = _nearest(begin)
        self._place = Line(tone="strong")
        self.table = RowTable(
            [Column("", 20, is_flexible=True), Column("", 6, is_right=True)], empty="there is nothing in it"
        )

    def body(self) -> list[Widget]:
        """Where one is, and what is there."""
        return [self._place, self.table]

    def on_mount(self) -> None:
        """Reads the first folder."""
        self.table.focus()
        self._go(self._folder)

    def _go(self, folder: Path, at: str = "") -> None:
        worker = self.run_worker(self._read(folder, at), group="read", exclusive=True, exit_on_error=False)
        cast("ConsoleApp", self.app).begins(worker)

    async def _read(self, folder: Path, at: str) -> None:
        try:
            rows = await asyncio.to_thread(_entries, folder)
        except OSError as error:
            self.say(
                f"{printable(str(folder))}: {(error.strerror or 'cannot be read').lower()}    backspace up    esc back"
            )
            return
        self._folder = folder
        self._place.show(printable(str(folder)), tone="strong")
        self.table.set_filter("")
        self.table.show_rows(rows, at)

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        if event.row.key == _UP:
            self.action_up()
            return
        path = self._folder / event.row.key
        if path.is_dir():
            self._go(path)
        else:
            self.dismiss(str(path))

    def action_take_folder(self) -> None:
        """The period."""
        self.dismiss(str(self._folder))

    def action_up(self) -> None:
        """Backspace."""
        self._go(self._folder.parent, self._folder.name)


def _nearest(text: str) -> Path:
    """The folder that is meant, or the nearest one above that is there; home where nothing is meant."""
    path = Path(text).expanduser() if text else Path.home()
    return next((each for each in (path, *path.parents) if each.is_absolute() and each.is_dir()), Path("/"))


def _entries(folder: Path) -> Sequence[Row]:
    """Folders first. Raises: OSError."""
    found = []
    with os.scandir(folder) as entries:
        for each in itertools.islice(entries, _MOST):
            is_folder = each.is_dir()
            size = "" if is_folder else short_size(_size(each))
            found.append((not is_folder, each.name, size))
    rows = [] if folder == folder.parent else [Row(_UP, ("..", ""))]
    return rows + [
        Row(name, (printable(name) + ("" if is_file else "/"), size)) for is_file, name, size in sorted(found)
    ]


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_size
    except OSError:
        return None
