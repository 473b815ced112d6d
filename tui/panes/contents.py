"""What is in a backup: its folders, files, and of databases its tables."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from textual import on

from engine.model.backup import Backup
from engine.model.results import FileItem
from tui import backup_work, keys
from tui.actions import Action
from tui.dialogs.reader import Reader
from tui.panes.stream import StreamView
from tui.place import bindings
from tui.text import printable, short_size
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

PART_ROWS: Final = 10_000
"""Of a folder that are read at once: a larger one is shown in parts."""
SHOWN_BYTES: Final = 256 * 1024
"""Of a file that are shown."""


class _EnoughError(Exception):
    """The beginning of a file is there."""


class ContentsView(StreamView):
    """One folder of a backup. Enter goes in, esc out."""

    PLACE = "contents"
    BINDINGS = bindings("contents")

    def __init__(self, backup: Backup, path: str = "/", cursor: str = "") -> None:
        super().__init__(
            RowTable(
                [
                    Column("NAME", 42, is_flexible=True), Column("SIZE", 5, is_right=True), Column("MODIFIED", 16), Column("MODE", 10, rank=2),
                    Column("OWNER", 17, rank=3),
                ],
                empty="this folder is empty",
            )
        )  # fmt: skip
        self.backup, self.path, self._opened = backup, path, path
        self._cursor = cursor
        self._first = 0
        """Of the part that is seen."""
        self._has_more = False
        self._kinds: dict[str, str] = {}

    @property
    def crumb(self) -> str:
        """The backup, or the folder that was opened."""
        return f"{self.backup.backup_id[:8]}" if self._opened == "/" else self._opened.rpartition("/")[2]

    async def read(self) -> None:
        """A part of the folder; of one that holds a folder and nothing else, that one's."""
        await self._read_part()
        while self.count == 1 and not self._cursor and list(self._kinds.values()) == ["dir"]:
            self.path = next(iter(self._kinds))
            self.rows, self.count = [], 0
            await self._read_part()
        self.flush()
        if self._cursor:
            self.table.go_to(self._cursor)
            self._cursor = ""

    async def _read_part(self) -> None:
        self._kinds, self._has_more = {}, False
        number = 0
        async with aclosing(self.console.engine.ls(self.backup.backup_id, self.path)) as items:  # type: ignore[type-var]
            async for item in items:
                number += 1
                if number > self._first + PART_ROWS:
                    self._has_more = True
                    break
                if number > self._first:
                    key = path_of(item)
                    self._kinds[key] = item.type
                    self.add(_row(key, item))

    @property
    def where(self) -> tuple[str, str]:
        """The source, the instant, the folder."""
        at = f"{self.backup.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        return printable(f"{self.backup.source} as of {at}"), printable(self.path)

    def summary(self) -> str:
        """How many, and whether there are more."""
        if not (self._first or self._has_more):
            return f"{self.count:,}"
        more = f", {keys.of('contents.more')} {'shows more' if self._has_more else 'begins again'}"
        return f"{self._first + 1:,} to {self._first + self.count:,}{more}"

    @property
    def current(self) -> str:
        """The path under the cursor; the folder itself where it is empty."""
        return self.table.current.key if self.table.current is not None else self.path

    def chosen(self) -> Sequence[str]:
        """The marked ones, or the one under the cursor."""
        return self.table.chosen() or [self.path]

    def why_off(self, action: Action) -> str:
        """Few need a row."""
        if action.action_id == "contents.more" and not (self._has_more or self._first):
            return "all of it is shown"
        if action.action_id in _ONE and len(self.chosen()) > 1:
            return "of one at a time: take the marks away"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The path, the backup, and the command line that writes it."""
        path = self.current
        command = f"holdfast dump {self.backup.backup_id} {shlex.quote(path)}"
        return [("path", path), ("backup", self.backup.backup_id), ("command", command)]

    @on(RowList.Opened)
    async def opened(self, event: RowList.Opened) -> None:
        """Into a folder; of a file its beginning."""
        event.stop()
        key = event.row.key
        if self._kinds.get(key) == "dir":
            await self.console.main.pane.push(ContentsView(self.backup, key))
        elif self._kinds.get(key) == "file":
            self.console.run_guarded(self._show_file(key), name="show file")

    async def _show_file(self, path: str) -> None:
        found = bytearray()

        async def take(data: bytes) -> None:
            found.extend(data[: SHOWN_BYTES - len(found)])
            if len(found) >= SHOWN_BYTES:
                raise _EnoughError

        more = []
        try:
            await self.console.engine.dump(self.backup.backup_id, path, take)
        except _EnoughError:
            more = [
                "",
                f"its first {SHOWN_BYTES // 1024} KiB: {keys.of('contents.dump')} writes it whole to a file",
            ]
        text = bytes(found).decode(errors="backslashreplace")
        await self.console.ask(Reader(printable(path), [*text.splitlines(), *more]))

    async def do_contents_more(self) -> None:
        """The next part, or the first one again."""
        self._first = self._first + PART_ROWS if self._has_more else 0
        self.begin()

    async def do_contents_download(self) -> None:
        """As an archive, by a worker."""
        await backup_work.download(self.console, self.backup, self.chosen()[0])

    async def do_contents_dump(self) -> None:
        """As it is."""
        await backup_work.dump(self.console, self.backup.backup_id, self.current)

    async def do_contents_share(self) -> None:
        """As an archive, by a link."""
        await backup_work.share(self.console, self.backup, self.chosen()[0])

    async def do_contents_restore(self) -> None:
        """What is marked, in the pane that restores."""
        await backup_work.lead_to_restore(
            self.console, self.backup.source, self.backup.backup_id, list(self.chosen())
        )

    async def do_contents_erase(self) -> None:
        """From all backups of the source."""
        await backup_work.erase(self.console, self.backup.source, self.current)

    async def do_contents_find(self) -> None:
        """In all backups of the source."""
        from tui.panes.found import find

        await find(self.console, self.backup.source)


_ONE: Final = frozenset(("contents.download", "contents.dump", "contents.share", "contents.erase"))


def path_of(item: FileItem) -> str:
    """The path as the engine takes it back, though it be no UTF-8."""
    if not item.raw_path:
        return item.path
    return "/" + base64.b64decode(item.raw_path).decode("utf-8", "surrogateescape")


def _row(key: str, item: FileItem) -> Row:
    name = printable(item.path.rpartition("/")[2])
    target = printable(f" -> {item.target}") if item.target else ""
    shown = f"{name}/" if item.type == "dir" else name + target
    size = short_size(item.size_bytes) if item.type == "file" else ""
    owner = printable(f"{item.user or item.uid} {item.group or item.gid}")
    modified = item.modified_at[:16].replace("T", " ")
    return Row(
        key,
        (shown, size, modified, item.mode, owner),
        "",
        (item.path, item.size_bytes, modified, item.mode, owner),
    )
