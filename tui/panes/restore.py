"""Restore: sources with how their restore was last proved, and what runs."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from engine.model.drills import DrillStanding, UnderWay
from engine.model.instants import Target
from engine.model.text import counted
from tui import backup_work, keys
from tui.actions import Action
from tui.dialogs.confirm import Confirm
from tui.dialogs.menu import Menu
from tui.panes import restore_text, restore_work
from tui.panes.base import Pane, View
from tui.panes.restore_evidence import EvidenceView
from tui.panes.restore_facts import standing_lines
from tui.panes.restore_plans import PlansView
from tui.panes.restore_point import PointView
from tui.panes.restore_running import RunningView
from tui.place import bindings
from tui.text import age, clock, moment, printable
from tui.widgets.detail import Detail
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_RUNNING_ROWS: Final = 3
_NEED_NO_SOURCE: Final = frozenset(("restore.plans", "restore.evidence", "restore.undo"))


class RestoreView(View):
    """What runs on top, then the sources; the one that was never drilled, or longest ago, is first."""

    PLACE = "restore"
    BINDINGS = bindings("restore")
    DEFAULT_CSS = """
    RestoreView > Vertical { height: auto; }
    RestoreView > Horizontal { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.running = [Line() for _ in range(_RUNNING_ROWS)]
        self.table = RowTable(
            [
                Column("SOURCE", 14, is_flexible=True), Column("RECOVERABLE TO", 14), Column("LAST DRILL", 12), Column("AGO", 5, is_right=True),
                Column("TOOK", 7, is_right=True), Column("BUDGET", 7, is_right=True), Column("LEVEL", 8, rank=1), Column("KIND", 8, rank=2),
            ],
            empty="there is no source yet: {source.new} in the backups defines one",
        )  # fmt: skip
        self.detail = Detail()
        self._under_way: Sequence[UnderWay] = ()
        self._standings: Mapping[str, DrillStanding] = {}

    def compose(self) -> Iterator[Widget]:
        """What runs, then the list, and beside it what is known of one where there is room."""
        yield Vertical(*self.running, classes="brief")
        with Horizontal():
            yield self.table
            yield self.detail

    def focus_default(self) -> None:
        """The list has the keys."""
        self.table.focus()

    async def load(self) -> None:
        """Out of the catalog alone."""
        engine = self.console.engine
        ends = {each.source: each.recoverable_to for each in await engine.log_reports()}
        found = [
            dataclasses.replace(each, newest_at=ends.get(each.source) or each.newest_at)
            for each in await engine.drill_standings()
        ]
        self._under_way = await self.console.engine.under_way()
        self._standings = {each.source: each for each in found}
        self._show_running()
        now = self.console.now()
        ordered = sorted(
            found,
            key=lambda each: (
                each.newest_at is None,
                each.last.at.timestamp() if each.last is not None else 0.0,
                each.source,
            ),
        )
        self.table.show_rows([_row(each, now) for each in ordered])

    def _show_running(self) -> None:
        now = self.console.now()
        for number, line in enumerate(self.running):
            each = self._under_way[number] if number < len(self._under_way) else None
            line.display = each is not None
            if each is None:
                continue
            progress = self.console.engine.progress_of(each.job)
            said = f"> {each.job.verb} of {backup_work.named(each.sources)}  {each.job.status.value}"
            if progress.kept is not None:
                said = f"* {each.job.verb} of {backup_work.named(each.sources)}: {progress.kept.status}, kept until {moment(progress.kept.until, now)}"
                said += f", {keys.of('restore.end_kept')} lets it go: {progress.kept.connect[0] if progress.kept.connect else ''}"
            elif progress.step:
                said += f": {progress.step}"
            more = (
                f"{len(self._under_way) - _RUNNING_ROWS} more"
                if number == _RUNNING_ROWS - 1 and len(self._under_way) > _RUNNING_ROWS
                else f"{keys.of('restore.running')} shows it"
            )
            line.show(printable(said), more, tone="warning" if progress.kept is not None else "strong")

    @property
    def source(self) -> str:
        """The one under the cursor; empty where there is none."""
        return self.table.current.key if self.table.current is not None else ""

    def why_off(self, action: Action) -> str:
        """Most need a source."""
        if action.action_id in _NEED_NO_SOURCE:
            return ""
        if action.action_id == "restore.running":
            return "" if self._under_way else "nothing runs"
        if action.action_id == "restore.end_kept":
            return "" if self._kept() else "no drill keeps anything now"
        return "" if self.source else "there is no source yet"

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The source, and the command line that drills it."""
        if not self.source:
            return ()
        return [("source", self.source), ("command", f"holdfast drill {self.source}")]

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """The detail is another's."""
        event.stop()
        standing = self._standings.get(self.source)
        self.detail.follow(
            functools.partial(standing_lines, self.console.engine, standing) if standing is not None else None
        )

    @on(RowList.Opened)
    async def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        await self.console.main.pane.push(PointView(event.row.key))

    async def do_restore_drill(self) -> None:
        """One: its plan, from which enter starts it. Several: asks once, then all of them."""
        names = self.table.chosen()
        if len(names) > 1:
            await backup_work.drill_all(self.console, names)
        else:
            await self.console.main.pane.push(PointView(names[0]))

    async def do_restore_newest(self) -> None:
        """Asks for the folder alone."""
        backup = await self.console.engine.latest_backup(self.source)
        await restore_work.files_here(self.console, backup)

    async def do_restore_archive(self) -> None:
        """Without a question, into the folder that the console was started in."""
        await backup_work.download_newest(self.console, await self.console.engine.latest_backup(self.source))

    async def do_restore_running(self) -> None:
        """The only one, or the one that is chosen."""
        found = {each.job.job_id: each for each in self._under_way}
        chosen: str | None = next(iter(found))
        if len(found) > 1:
            chosen = await self.console.ask(
                Menu(
                    "What runs",
                    [
                        (key, printable(f"{each.job.verb} of {backup_work.named(each.sources)}"))
                        for key, each in found.items()
                    ],
                )
            )
        if chosen is not None:
            each = found[chosen]
            await self.console.main.pane.push(RunningView(each.job, backup_work.named(each.sources)))

    async def do_restore_log(self) -> None:
        """Of the one that ended last."""
        last = self._standings[self.source].last
        if last is None:
            self.console.tell(
                f"{printable(self.source)} was never drilled: {keys.of('restore.drill')} drills it"
            )
        else:
            await backup_work.show_log(self.console, last.job_id)

    async def do_restore_plans(self) -> None:
        """Another view."""
        await self.console.main.pane.push(PlansView())

    async def do_restore_evidence(self) -> None:
        """Another view."""
        await self.console.main.pane.push(EvidenceView())

    async def do_restore_undo(self) -> None:
        """Chooses a restore; its view offers rollback and discard. Raises: UnknownNameError where the job is gone."""
        found = await self.console.engine.undoable_restores()
        if not found:
            self.console.tell("no restore in place waits to be rolled back or discarded")
            return
        now = self.console.now()
        entries = [
            (
                each.job_id,
                printable(f"{each.source}  {moment(each.at, now)}, {age(each.at, now)} ago  {each.job_id}"),
            )
            for each in found
        ]
        chosen = await self.console.ask(Menu("Restores that can be undone", entries))
        if chosen is not None:
            source = next(each.source for each in found if each.job_id == chosen)
            job = await self.console.engine.show_job(chosen)
            await self.console.main.pane.push(RunningView(job, source))

    def _kept(self) -> Sequence[UnderWay]:
        return [
            each for each in self._under_way if self.console.engine.progress_of(each.job).kept is not None
        ]

    async def do_restore_end_kept(self) -> None:
        """Of all drills that keep something."""
        kept = self._kept()
        lines = [
            printable(f"{backup_work.named(each.sources)}: {line}")
            for each in kept
            for line in getattr(self.console.engine.progress_of(each.job).kept, "connect", ())
        ]
        title = f"Throw away what {counted(len(kept), 'drill')} kept?"
        if await self.console.ask(Confirm(title, lines, yes="throw it away")):
            for each in kept:
                await self.console.engine.cancel_job(each.job.job_id)
            self.console.tell("it is being thrown away; the verdicts stand")


def _row(standing: DrillStanding, now: datetime.datetime) -> Row:
    last = standing.last
    tone = ""
    if standing.newest_at is not None and (last is None or last.status == "failed"):
        tone = "risk" if last is not None else "warning"
    elif last is not None and (last.status != "passed" or not last.is_in_time):
        tone = "warning"
    cells = (
        printable(standing.source),
        moment(standing.newest_at, now),
        "NEVER" if last is None else restore_text.verdict_word(last),
        age(last.at, now) if last is not None else "-",
        clock(last.rto_s) if last is not None else "-",
        clock(standing.budget_s) if standing.budget_s is not None else "-",
        restore_text.level_word(last.level) if last is not None else "-",
        standing.kind,
    )
    order = (
        standing.source,
        standing.newest_at,
        last.status if last is not None else None,
        last.at if last is not None else None,
        last.rto_s if last is not None else None,
        standing.budget_s,
        cells[6],
        cells[7],
    )
    return Row(standing.source, cells, tone, order)


class RestorePane(Pane):
    """Tab 3."""

    TITLE = "restore"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(RestoreView(), id=id)

    async def choose(
        self, source: str, backup: str = "", paths: Sequence[str] = (), instant: Target | None = None
    ) -> None:
        """See `backup_work.Chooser`."""
        while await self.pop():
            pass
        await self.push(PointView(source, backup, paths, instant))
