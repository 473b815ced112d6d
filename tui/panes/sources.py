"""Sources: what is at risk on top, then each source with what it can be brought back to, and how well that is proved."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from engine.model.status import Concern, Status
from tui.actions import Action
from tui.panes import remedies, source_rows
from tui.panes.base import View
from tui.panes.source_look import look_at_sources
from tui.place import bindings
from tui.text import printable
from tui.widgets.detail import Detail
from tui.widgets.rows import RowList, RowTable

_AT_ONCE: Final = 250
"""Rows that are made before others of the loop have their turn."""


class SourcesView(View):
    """Every source. The cursor starts on the one that is proved least."""

    PLACE = "sources"
    BINDINGS = bindings("sources")
    DEFAULT_CSS = """
    SourcesView > #attention { height: auto; }
    SourcesView > #attention > Line { display: none; }
    SourcesView > #attention > RowList { height: 1fr; }
    SourcesView > Horizontal { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention = RowTable(source_rows.ATTENTION_COLUMNS, empty="", is_quiet=True, id="attention")
        self.table = RowTable(
            source_rows.COLUMNS,
            empty="there is no source yet: {source.new} defines one",
        )
        self.detail = Detail()
        self.status: Status | None = None
        self._concerns: Mapping[str, Concern] = {}
        self._is_placed = False

    def compose(self) -> Iterator[Widget]:
        """Attention above, sources below, what is known of one beside them where there is room."""
        yield self.attention
        with Horizontal():
            yield self.table
            yield self.detail

    def focus_default(self) -> None:
        """The sources have the keys."""
        self.table.focus()

    async def load(self) -> None:
        """Everything at one instant; of thousands of sources a part at a time."""
        look = self.console.opening.take_look() or await look_at_sources(self.console.engine)
        status = look.status
        running = source_rows.running_of(self.console.running_jobs)
        self.status = status
        self._concerns = {str(index): each for index, each in enumerate(source_rows.sorted_concerns(status))}
        rows = []
        for number, row in enumerate(source_rows.rows_of(look, running, status.sources), 1):
            rows.append(row)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        self.table.show_rows(rows, "" if self._is_placed else source_rows.least_proved(status.sources))
        self._show_attention()
        self._is_placed = self._is_placed or bool(rows)

    @property
    def note(self) -> str:
        """How many are at risk, for the attention rows show a few."""
        return source_rows.note_of(self.status) if self.status is not None else ""

    def _show_attention(self) -> None:
        self._make_room()
        if self.status is not None:
            self.attention.show_rows(source_rows.attention_rows(self.status, list(self._concerns.values())))

    def _make_room(self) -> None:
        """As many rows as there are, but the sources below have most of a low terminal."""
        sources = len(self.status.sources) if self.status is not None else 0
        shown = source_rows.attention_height(len(self._concerns), self.size.height, sources)
        self.attention.display = bool(shown)
        self.attention.styles.height = shown

    def on_resize(self) -> None:
        """A lower terminal."""
        self._make_room()

    # What the keys mean.

    @property
    def is_at_attention(self) -> bool:
        """Whether the keys go to what is at risk."""
        return self.attention.list.has_focus

    @property
    def concern(self) -> Concern | None:
        """The one under the cursor; among the sources the worst of the current one."""
        if self.is_at_attention and self.attention.current is not None:
            return self._concerns.get(self.attention.current.key)
        name = self.table.current.key if self.table.current is not None else ""
        return next((each for each in self._concerns.values() if remedies.source_of(each) == name), None)

    def chosen(self) -> Sequence[str]:
        """The marked sources, or the one under the cursor; none where that is about something else."""
        if self.is_at_attention:
            name = remedies.source_of(self.concern) if self.concern is not None else ""
            return [name] if name else []
        return self.table.chosen()

    @property
    def source(self) -> str:
        """The one under the cursor; empty where there is none."""
        if self.is_at_attention:
            return next(iter(self.chosen()), "")
        return self.table.current.key if self.table.current is not None else ""

    def why_off(self, action: Action) -> str:
        """Most need a source, many a backup of it."""
        return source_rows.why_off(
            action.action_id,
            source_rows.Under(
                self.source,
                self.status.sources if self.status is not None else (),
                has_concern=self.concern is not None,
                is_chosen=bool(self.chosen()),
            ),
        )

    def _newest_of(self, source: str) -> str:
        """The id of its newest backup that can be restored; empty where there is none."""
        return source_rows.newest_of(source, self.status.sources if self.status is not None else ())

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The remedy's command line on an attention row; else name, newest backup, and how it is backed up."""
        if self.is_at_attention and self.concern is not None:
            return [("subject", self.concern.subject), ("command", self.concern.remedy)]
        if not self.source:
            return [("command", "holdfast source add")]
        newest = self._newest_of(self.source)
        ids = [("backup", newest)] if newest else []
        return [("source", self.source), *ids, ("command", f"holdfast backup {' '.join(self.chosen())}")]

    # What the keys do.

    @on(RowList.Opened)
    async def opened(self, event: RowList.Opened) -> None:
        """Enter: from an attention row to its source, from a source to its history."""
        event.stop()
        if event.table is self.table:
            from tui.panes.history import HistoryView

            await self.console.main.pane.push(HistoryView(event.row.key))
            return
        concern = self._concerns[event.row.key]
        name = remedies.source_of(concern)
        if name:
            self.table.go_to(name)
            self.table.focus()
        else:
            self.console.run_guarded(remedies.mend(self, concern), name="mend")

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """The detail is another's."""
        event.stop()
        if event.table is self.table:
            self.detail.follow(
                functools.partial(self._lines, event.row.key) if event.row is not None else None
            )

    async def _lines(self, source: str) -> Sequence[str]:
        from tui.panes.source_facts import source_lines

        return await source_lines(self.console.engine, source, self._told_of(source))

    def _told_of(self, source: str) -> Sequence[Concern]:
        return [each for each in self._concerns.values() if remedies.source_of(each) == source]

    async def show_details(self, source: str) -> None:
        """A page of all that is known of it."""
        from tui.dialogs.reader import Reader

        await self.console.ask(Reader(f"source {source}", await self._lines(source)))

    async def show_log(self, job_id: str) -> None:
        """A job's log on a page."""
        from tui import backup_work

        await backup_work.show_log(self.console, job_id)

    async def lead_to_restore(self, source: str) -> None:
        """To the pane that restores and drills, with this source chosen."""
        from tui import backup_work

        await backup_work.lead_to_restore(self.console, source)

    async def compare(self, before: str, after: str) -> None:
        """Opens the comparison of two backups."""
        from tui.panes.compare import CompareView

        await self.console.main.pane.push(CompareView(before, after))

    async def do_source_mend(self) -> None:
        """The remedy."""
        if self.concern is not None:
            await remedies.mend(self, self.concern)

    async def do_source_alert(self) -> None:
        """Among the alerts, where it is one; else its page."""
        from tui.panes.alert_page import show_alert
        from tui.panes.alerts import AlertsView

        concern, alerts = self.concern, self.status.alerts if self.status is not None else ()
        if concern is None:
            return
        wanted = (concern.condition, concern.subject)
        alert = next((each for each in alerts if (each.condition, each.subject) == wanted), None)
        if alert is not None:
            view = AlertsView()
            view.go_to(alert.alert_id)
            await self.console.main.pane.push(view)
        else:
            await show_alert(self.console, None, concern)

    async def do_source_backup(self) -> None:
        """Hands a backup of the chosen sources to a worker."""
        from tui import backup_work

        await backup_work.back_up(self.console, self.chosen())

    async def do_source_backup_as(self) -> None:
        """Asks how, then the same."""
        from tui import backup_work

        await backup_work.back_up_as(self.console, self.chosen())

    async def do_source_drill(self) -> None:
        """One: its plan in the pane that restores. Several: asks once, then one drill after the other."""
        from tui import backup_work

        names = self.chosen()
        if len(names) > 1:
            await backup_work.drill_all(self.console, names)
        else:
            await self.lead_to_restore(names[0])

    async def do_source_rules(self) -> None:
        """Typed, judged at once, and done only where that is asked for."""
        from tui.panes.schedule_keep import type_rules

        await type_rules(self.console, source=self.source)

    async def do_source_restore(self) -> None:
        """The same pane: where to is chosen there."""
        await self.lead_to_restore(self.source)

    async def do_source_verify(self) -> None:
        """The newest backup of each chosen source."""
        from tui import backup_work

        ids = [self._newest_of(name) for name in self.chosen()]
        await backup_work.verify(self.console, [each for each in ids if each])

    async def do_source_download(self) -> None:
        """The newest, under a name that tells what it is."""
        from tui import backup_work

        backup = await self.console.engine.show_backup(self._newest_of(self.source))
        await backup_work.download_newest(self.console, backup)

    async def do_source_all(self) -> None:
        """The history of everything."""
        from tui.panes.history import HistoryView

        await self.console.main.pane.push(HistoryView())

    async def do_source_find(self) -> None:
        """Asks for a name, and looks through all backups."""
        from tui.panes.found import find

        await find(self.console, self.source)

    async def do_source_live(self) -> None:
        """What changed since the newest backup."""
        from tui.panes.compare import CompareView

        await self.console.main.pane.push(CompareView(self._newest_of(self.source)))

    async def do_source_trends(self) -> None:
        """Small plots."""
        from tui.panes.trends import show_trends

        await show_trends(self.console, self.source)

    async def do_source_details(self) -> None:
        """Options, health, concerns, the last backups."""
        await self.show_details(self.source)

    async def do_source_log(self) -> None:
        """Of the concern's job on an attention row; else of its last job, whatever that was."""
        from tui import backup_work

        concern = self.concern if self.is_at_attention else None
        if concern is not None and concern.job_id:
            await self.show_log(concern.job_id)
        else:
            from tui import backup_work

            await backup_work.show_last_log(self.console, sources=[self.source])

    async def do_source_ship(self) -> None:
        """By a worker, to all storages that are to have it."""
        from tui import log_work

        await log_work.ship(self.console, self.source)

    async def do_source_reach(self) -> None:
        """A page."""
        from tui import log_work

        await log_work.show_report(self.console, self.source)

    async def do_source_log_setup(self) -> None:
        """Asks the server."""
        from tui import log_work

        await log_work.show_setup(self.console, self.source)

    async def do_source_log_drop(self) -> None:
        """Says what is lost by it, and asks for its name."""
        from tui import log_work

        await log_work.drop(self.console, self.source)

    async def do_source_shares(self) -> None:
        """All storages that hand out links."""
        from tui.panes.shares import SharesView

        await self.console.main.pane.push(SharesView())

    async def do_source_test(self) -> None:
        """Connects and reads."""
        from tui.dialogs.reader import Reader

        self.console.tell(f"{printable(self.source)}: connecting…")
        name = self.source
        found = await self.console.engine.test_source(name)
        await self.console.ask(
            Reader(f"source {name} can be read", [f"{key:<18} {value}" for key, value in found.items()])
        )

    async def do_source_new(self) -> None:
        """The wizard."""
        from tui import backup_work

        await backup_work.define_source(self.console)
        self.reload()

    async def do_source_edit(self) -> None:
        """The wizard, with what it is now."""
        from tui import backup_work

        await backup_work.define_source(self.console, self.source)
        self.reload()

    async def do_source_remove(self) -> None:
        """Asks for its name, and the guard."""
        from tui.dialogs.confirm import TypeName

        name = self.source
        count = await self.console.engine.count_backups_of(name)
        lines = [
            f"Nothing of {printable(name)} is backed up any more; schedules that name it leave it out.",
            f"Its {count} backups stay, and can be restored." if count else "It has no backup.",
            f"Same as: holdfast source remove {printable(name)}",
        ]
        is_wanted = await self.console.ask(TypeName(f"FORGET SOURCE {printable(name)}", lines, name))
        if is_wanted and await self.console.pass_guard("source.remove"):
            await self.console.engine.remove_source(name)
            self.console.tell(f"source {printable(name)} is forgotten; its backups are kept")
            self.reload()
