"""All backups of a source, or of all sources: a million rows, of which those that are seen are read."""

from __future__ import annotations

import asyncio
import datetime
import functools
from collections.abc import Iterator, Sequence
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from engine.model import described
from engine.model.backup import Backup, BackupFilter, BackupStatus, OrderBy, Ordered, Scope
from engine.model.text import instant
from tui import backup_work
from tui.actions import Action
from tui.dialogs.reader import Reader
from tui.panes import backup_filter
from tui.panes.base import View
from tui.place import bindings
from tui.text import age, ladder, printable, short_size
from tui.widgets.detail import Detail
from tui.widgets.row_source import PAGE_ROWS, Column, PagedRows, Row
from tui.widgets.rows import AskingTable, RowList

_PATIENCE_S: Final = 0.25
"""So long after the last letter of a filter it is asked for."""
_MANY: Final = 100_000
"""From so many on an order takes a moment that a person should hear of."""
_SHORT: Final = {"incremental": "incr", "differential": "diff"}
_Wanted = tuple[BackupFilter, OrderBy, bool]


class HistoryView(View):
    """Newest first, unless a person sorts them. `source` empty: of all."""

    PLACE = "history"
    BINDINGS = bindings("history")
    DEFAULT_CSS = "HistoryView > Horizontal { height: 1fr; }"

    def __init__(self, source: str = "") -> None:
        super().__init__()
        self.source = source
        named = [] if source else [(Column("SOURCE", 12, is_flexible=True), OrderBy.SOURCE)]
        columns = [
            (Column("CREATED", 16), OrderBy.CREATED),
            *named,
            (Column("AGE", 4, is_right=True, rank=1), OrderBy.CREATED),
            (Column("TYPE", 4), OrderBy.KIND),
            (Column("SIZE", 5, is_right=True), OrderBy.SIZE),
            (Column("ADDED", 5, is_right=True, rank=3), OrderBy.ADDED),
            (Column("PROOF", 12), OrderBy.PROOF),
            (Column("MARKS", 5), OrderBy.EXPIRES),
            (Column("COPIES", 8, rank=2, is_flexible=bool(source)), None),
            (Column("TAGS", 6, rank=4, is_flexible=True), None),
            (Column("BACKUP", 16, rank=5), None),
        ]
        self._orders = [order for _, order in columns]
        empty = (
            f"there is no backup of {printable(source)} yet: {{source.backup}} in the list of sources makes one"
            if source
            else "there is no backup yet"
        )
        self.table = AskingTable([column for column, _ in columns], empty=empty)
        self.table.filter_help = backup_filter.HELP
        self.detail = Detail()
        self._order = Ordered(b"")
        self._wanted: _Wanted | None = None
        self._count = -1

    def compose(self) -> Iterator[Widget]:
        """The list, and what is known of one beside it where there is room."""
        with Horizontal():
            yield self.table
            yield self.detail

    @property
    def crumb(self) -> str:
        """The source."""
        return self.source or "all"

    # Reading.

    async def load(self) -> None:
        """The order anew where it may be another one; else only what is seen of it."""
        engine = self.console.engine
        wanted = self._asked()
        is_by_age = wanted == (BackupFilter(source=self.source), OrderBy.CREATED, True)
        count = await (engine.count_backups_of(self.source) if self.source else engine.count_backups())
        if wanted == self._wanted and count == self._count and (is_by_age or count > _MANY):
            await self._show(self._order)
            return
        chosen, by, is_falling = wanted
        if self._wanted is not None and wanted[0] != self._wanted[0]:
            await asyncio.sleep(_PATIENCE_S)
        if count > _MANY and (by is not OrderBy.CREATED or chosen.text):
            self.console.tell(f"looking through {count:,} backups…")
        if wanted != self._wanted:
            await self._show(await engine.ordered_backups(chosen, by, is_falling=is_falling, limit=PAGE_ROWS))
        if len(self._order) >= PAGE_ROWS or wanted == self._wanted:
            await self._show(await engine.ordered_backups(chosen, by, is_falling=is_falling))
        self._wanted, self._count = wanted, count

    def renew(self) -> None:
        """Reads the order again too, after what this console itself changed."""
        self._count = -1
        self.reload()

    def _asked(self) -> _Wanted:
        """What a person asks for. Raises: UsageError."""
        chosen = backup_filter.parse(
            self.table.filter, self.console.engine.instant, BackupFilter(source=self.source)
        )
        if self.table.sorted_by is None:
            return chosen, OrderBy.CREATED, True
        column, is_falling = self.table.sorted_by
        return chosen, self._orders[column] or OrderBy.CREATED, is_falling

    async def go_to(self, backup: Backup) -> None:
        """Puts the cursor on a backup, however old; among all, newest first."""
        await self._show(self._order, await backup_work.place_of(self.console, self._order, backup))
        self.table.go_to(backup.backup_id)

    async def _show(self, order: Ordered, at: int | None = None) -> None:
        """Shows an order, with the cursor on the backup where it was; `at`: on that one."""
        under = self._order.keys(self.table.list.cursor, 1)
        place = at if at is not None else order.place_of(under[0]) if under else None
        if place is None:
            place = min(self.table.list.cursor, max(0, len(order) - 1))

        async def page(first: int, count: int) -> Sequence[Row]:
            now = self.console.now()
            found = await self.console.engine.backups_at(order, first, count)
            return [self._row(each, number, now) for number, each in enumerate(found, first)]

        rows = PagedRows(
            len(order),
            page,
            lambda work: self.console.run_guarded(work, name="page"),  # type: ignore[arg-type]
            self.table.list.redraw,
        )
        number = place // PAGE_ROWS
        rows.put(number, await page(number * PAGE_ROWS, PAGE_ROWS))
        self._order = order
        self.table.show_source(rows)

    @on(AskingTable.Asked)
    def asked(self, event: AskingTable.Asked) -> None:
        """Another filter or order."""
        event.stop()
        self.reload()

    def _row(self, backup: Backup | None, number: int, now: datetime.datetime) -> Row:
        if backup is None:
            return Row(f"gone {number}", ("it is gone",), "dim")
        named = () if self.source else (printable(backup.source),)
        cells = (
            instant(backup.created_at),
            *named,
            age(backup.created_at, now),
            _SHORT.get(backup.kind, backup.kind),
            short_size(backup.size_bytes),
            short_size(backup.added_bytes),
            "FAILED" if backup.status is BackupStatus.FAILED else ladder(backup.proof, backup.proven_at, now),
            marks(backup, now),
            printable(described.storages(backup)),
            printable(" ".join(backup.tags)),
            backup.backup_id,
        )
        return Row(backup.backup_id, cells, _TONES.get(backup.status, ""))

    # What is under the cursor.

    @property
    def backup_id(self) -> str:
        """Its id; empty where there is none."""
        row = self.table.current
        return row.key if row is not None and not row.key.startswith("gone ") else ""

    def chosen(self) -> Sequence[str]:
        """The marked ones, or the one under the cursor."""
        return [each for each in self.table.chosen() if not each.startswith("gone ")]

    async def backups(self) -> Sequence[Backup]:
        """The same, as they are now. Raises: UnknownNameError."""
        return [await self.console.engine.show_backup(each) for each in self.chosen()]

    def why_off(self, action: Action) -> str:
        """There must be a backup."""
        if action.action_id in ("history.find", "history.shares"):
            return ""
        if not self.chosen():
            return "there is no backup here"
        if action.action_id == "history.compare" and len(self.chosen()) > 2:
            return "two are compared: mark two, or one, which is compared with the one before it"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Ids, and what the command line says of it."""
        ids = self.chosen()
        if not ids:
            return [("command", f"holdfast backups{f' --source {self.source}' if self.source else ''}")]
        return [("backup", " ".join(ids)), ("command", f"holdfast show {ids[0]}")]

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """The detail is another's."""
        event.stop()
        self.detail.follow(functools.partial(self._lines, self.backup_id) if self.backup_id else None)

    async def _lines(self, backup_id: str) -> Sequence[str]:
        backup = await self.console.engine.show_backup(backup_id)
        proofs = await self.console.engine.backup_proofs(backup_id)
        pairs = described.backup(backup, self.console.now(), proofs)
        took = (backup.completed_at or backup.created_at) - backup.created_at
        width = max(len(name) for name, _ in pairs)
        lines = [f"{name:<{width}}  {value}" for name, value in pairs]
        return [*lines, f"{'took':<{width}}  {took.total_seconds():.0f} s"]

    # What the keys do.

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        if self.backup_id:
            self.console.run_guarded(self._open(self.backup_id), name="open")

    async def _open(self, backup_id: str) -> None:
        """What is in it; of one that no storage holds what is known of it."""
        from tui.panes.contents import ContentsView

        backup = await self.console.engine.show_backup(backup_id)
        if any(each.snapshot_id for each in backup.copies):
            await self.console.main.pane.push(ContentsView(backup))
        else:
            await self.do_history_details()

    async def do_history_details(self) -> None:
        """A page of all that is known of it."""
        await self.console.ask(Reader(f"backup {self.backup_id}", await self._lines(self.backup_id)))

    async def do_history_verify(self) -> None:
        """Asks how deep."""
        await backup_work.verify(self.console, self.chosen())

    async def do_history_download(self) -> None:
        """Asks where to."""
        await backup_work.download(self.console, (await self.backups())[0])

    async def do_history_share(self) -> None:
        """Asks where and how long; then shows the link."""
        await backup_work.share(self.console, (await self.backups())[0])

    async def do_history_shares(self) -> None:
        """All that is shared."""
        from tui.panes.shares import SharesView

        await self.console.main.pane.push(SharesView())

    async def do_history_protect(self) -> None:
        """From forget and delete."""
        await backup_work.protect(self.console, await self.backups())
        self.renew()

    async def do_history_unprotect(self) -> None:
        """Asks first."""
        await backup_work.unprotect(self.console, await self.backups())
        self.renew()

    async def do_history_hold(self) -> None:
        """Asks why."""
        await backup_work.hold(self.console, await self.backups())
        self.renew()

    async def do_history_expire(self) -> None:
        """Asks from when on."""
        await backup_work.expire(self.console, await self.backups())
        self.renew()

    async def do_history_delete(self) -> None:
        """The plan, the name."""
        if await backup_work.delete(self.console, await self.backups()):
            await self.table.list.do_mark_none()

    async def do_history_drill(self) -> None:
        """Of this backup."""
        backup = await self.console.engine.show_backup(self.backup_id)
        await backup_work.lead_to_restore(self.console, backup.source, backup.backup_id)

    async def do_history_restore(self) -> None:
        """The same pane: where to is chosen there."""
        await self.do_history_drill()

    async def do_history_compare(self) -> None:
        """Two that are marked, the older one first; or this one with the one before it."""
        from tui.panes.compare import CompareView

        found = sorted(await self.backups(), key=lambda each: each.created_at)
        if len(found) == 1:
            earlier = await self._before(found[0])
            if earlier is None:
                self.console.tell("it is the first of its source: mark the one to compare it with")
                return
            found = [earlier, *found]
        await self.console.main.pane.push(CompareView(found[0].backup_id, found[1].backup_id))

    async def _before(self, backup: Backup) -> Backup | None:
        chosen = BackupFilter(source=backup.source, until=backup.created_at)
        page = await self.console.engine.backups(chosen, limit=20)
        return next((each for each in page if each.status is not BackupStatus.FAILED), None)

    async def do_history_live(self) -> None:
        """What changed since."""
        from tui.panes.compare import CompareView

        await self.console.main.pane.push(CompareView(self.backup_id))

    async def do_history_find(self) -> None:
        """Asks for a name."""
        from tui.panes.found import find

        await find(self.console, self.source)

    async def do_history_log(self) -> None:
        """Of the job that made it."""
        job_id = (await self.console.engine.show_backup(self.backup_id)).job_id
        if job_id:
            await backup_work.show_log(self.console, job_id)
        else:
            self.console.tell("no job of it is known: it was found in a repository")


_TONES: Final = {BackupStatus.FAILED: "risk", BackupStatus.INCOMPLETE: "warning"}


def marks(backup: Backup, now: datetime.datetime) -> str:
    """P protected, H held, E expires, x may go already, I incomplete, W warnings, a letter for a part alone, ! a copy is missing."""
    found = [
        ("P", backup.is_protected),
        ("H", bool(backup.hold_reason)),
        ("x", backup.expires_at is not None and backup.expires_at <= now),
        ("E", backup.expires_at is not None and backup.expires_at > now),
        ("I", backup.status is BackupStatus.INCOMPLETE),
        ("W", bool(backup.warnings)),
        (backup.scope.value[0], backup.scope is not Scope.ALL),
        (
            "!",
            any(not each.snapshot_id for each in backup.copies) and backup.status is not BackupStatus.FAILED,
        ),
    ]
    return "".join(letter for letter, is_so in found if is_so)
