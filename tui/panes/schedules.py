"""Schedules: the list, the day ahead with what meets, and what is known of the one under the cursor."""

from __future__ import annotations

import asyncio
import datetime
import functools
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final

from textual import events, on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.worker import Worker

from engine.model.job import Change
from engine.model.schedules import Pause, RunOutcome, ScheduledRun, ScheduleStatus
from engine.model.timetables import DayAhead, KeepAhead, Lane, instants
from tui import bridge, keys, schedule_work
from tui.actions import Action
from tui.dialogs.reader import Reader
from tui.panes import schedule_facts as facts
from tui.panes.base import Pane
from tui.panes.defining import DefinesSchedules
from tui.panes.schedule_keep import KeepView
from tui.panes.schedule_runs import InstantsView
from tui.place import bindings
from tui.widgets.detail import Detail
from tui.widgets.page import Page
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_PAST: Final = 7
_COMING: Final = 5
_DAY: Final = datetime.timedelta(days=1)
_REST: Final = 20.0
"""After the day ahead was reckoned it is left alone for so many times as long as that took: thousands of schedules cost seconds."""
_STALE_S: Final = 60.0
_WITHOUT_SCHEDULE: Final = ("schedule.new", "schedule.missed", "schedule.tick", "everything.pause")
_FEW: Final = 500
"""So many are read again each second while one of them runs."""
_DETAILS_FROM: Final = 12
_DAY_FROM: Final = 16
"""From so many rows of the terminal on, less frame, there is room for it below the list."""
_AT_ONCE: Final = 250
"""Rows that are made before others of the loop have their turn."""


class ScheduleView(DefinesSchedules):
    """All schedules, of whatever action."""

    PLACE = "schedules"
    BINDINGS = bindings("schedules")
    DEFAULT_CSS = """
    ScheduleView > #day { height: auto; border-top: ascii $foreground; }
    ScheduleView > #details { height: 6; border-top: ascii $foreground; }
    ScheduleView > Horizontal { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [
                Column("SCHEDULE", 12, is_flexible=True), Column("ACTION", 6, rank=1), Column("WHEN", 14, is_flexible=True), Column("NEXT", 9), Column("LAST", 4),
                Column("KEEP", 10), Column("GOES", 8, is_right=True),
            ],
            empty="there is none yet: {schedule.new} defines one",
        )  # fmt: skip
        self.day = Page(id="day")
        self.day.is_wrapped = False
        self.day.can_focus = False
        self.details = Page(id="details")
        self.details.is_wrapped = self.details.can_focus = False
        self.beside = Detail()
        self.known: Mapping[str, ScheduleStatus] = {}
        self.general: Pause | None = None
        self._last: dict[str, list[ScheduledRun]] = {}
        self._rows: dict[str, Row] = {}
        self._keep: dict[str, tuple[object, float, KeepAhead | None]] = {}
        self._told: Sequence[str] = ()
        self._day: DayAhead | None = None
        self._lanes: Mapping[str, Lane] = {}
        self._skipped: Sequence[ScheduledRun] = ()
        self._day_due = 0.0

    def compose(self) -> Iterator[Widget]:
        """The list, with the details beside it where there is room; else below the day."""
        with Horizontal():
            yield self.table
            yield self.beside
        yield self.day
        yield self.details

    def focus_default(self) -> None:
        """The list has the keys."""
        self.table.focus()

    # What is shown.

    def wants(self, change: Change) -> bool:
        """What became of a run is written down just after its job ended, which nothing else tells of."""
        is_open = any(run.outcome is RunOutcome.OPEN for runs in self._last.values() for run in runs)
        return change is Change.STATE or (is_open and len(self.known) < _FEW)

    async def load(self) -> None:
        """The list at once; what must be reckoned comes after it, in the background."""
        engine, now = self.console.engine, self.console.now()
        found = await engine.schedules()
        self.general = await engine.present_pause()
        last: dict[str, list[ScheduledRun]] = {}
        for run in await engine.last_runs():
            last.setdefault(run.schedule, []).append(run)
        self._last = last
        self.known = {each.schedule.name: each for each in found}
        self._keep = {name: kept for name, kept in self._keep.items() if name in self.known}
        rows = {}
        for number, each in enumerate(found, 1):
            rows[each.schedule.name] = self._row(each, now)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        self._rows = rows
        self.table.show_rows(list(rows.values()))
        self._skipped = await engine.skipped_runs(now - _DAY)
        self._show_day()
        self._reckon()

    def _row(self, status: ScheduleStatus, now: datetime.datetime) -> Row:
        name = status.schedule.name
        keep = self._keep.get(name)
        going = (
            "-" if facts.keep_words(status.schedule) == "-" else facts.going_words(keep[2] if keep else None)
        )
        return facts.schedule_row(status, self._last.get(name, ()), self.general, going, now)

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Details of another one, and what was not reckoned of the rows that are seen now."""
        event.stop()
        if self.is_mounted and self.known:
            self._begin("details", self._show_details)
            self._begin("rules", self._reckon_going)
            self.console.main.show_hints()

    def _reckon(self) -> None:
        self._begin("details", self._show_details)
        self._begin("rules", self._reckon_going)
        self._begin("day", self._reckon_day)

    def _begin(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Anew, where it is under way. The coroutine is made when it begins: one that gave way before that would never be awaited."""

        async def begin() -> None:
            await bridge.background(self.console, work())

        _: Worker[None] = self.console.run_worker(
            begin, group=f"schedule {group}", exclusive=True, exit_on_error=False
        )

    async def _reckon_going(self) -> None:
        """What the rules of those schedules let go that are on the screen, unless that is known and nothing happened since."""
        rows = self.table.list
        first = round(rows.scroll_y)
        seen = [each.key for each in rows.source.between(first, first + rows.size.height)]
        is_new = False
        for name in seen:
            status = self.known.get(name)
            if status is None or facts.keep_words(status.schedule) == "-":
                continue
            if await self._keep_of(status, _STALE_S) is not None:
                is_new = True
        if is_new:
            now = self.console.now()
            for name in seen:
                if name in self.known:
                    self._rows[name] = self._row(self.known[name], now)
            self.table.show_rows(list(self._rows.values()))

    async def _keep_of(self, status: ScheduleStatus, stale_s: float) -> KeepAhead | None:
        """Reckons it; None where that was done already, and nothing happened since."""
        name = status.schedule.name
        sign = (status.schedule, status.state.planned_at, tuple(self._last.get(name, ())))
        clock = asyncio.get_running_loop().time
        kept = self._keep.get(name)
        if kept is not None and kept[0] == sign and clock() - kept[1] < stale_s:
            return None
        found = await self.console.engine.keep_ahead(name)
        self._keep[name] = (sign, clock(), found)
        return found if kept is None or kept[2] != found else None

    async def _reckon_day(self) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        if begun < self._day_due:
            return
        self._day = await self.console.engine.day_ahead()
        self._lanes = {each.schedule: each for each in self._day.lanes}
        self._day_due = clock() + _REST * (clock() - begun)
        self._show_day()
        await self._show_details()

    def on_resize(self, _event: events.Resize) -> None:
        """The list stays longest where there is less room."""
        self._show_day()
        if self.known:
            self._begin("details", self._show_details)

    def _show_day(self) -> None:
        height = self.size.height
        self.details.display = height >= _DETAILS_FROM and not self.beside.display
        if self._day is None or not self._day.lanes or height < _DAY_FROM:
            self.day.display = False
            return
        most = max(3, (height - 13) // 3)
        lines = facts.strip_lines(
            self._day,
            sum(not each.reason.startswith("paused") for each in self._skipped),
            self.size.width,
            most,
            self.console.now(),
        )
        self.day.display = True
        self.day.styles.height = len(lines) + 1
        if list(self.day.lines) != lines:
            self.day.show(lines)

    async def _show_details(self) -> None:
        status = self.current
        if status is None:
            self.details.show([])
            self.beside.follow(None)
            return
        engine, name = self.console.engine, status.schedule.name
        await self._keep_of(status, _STALE_S)
        known = facts.Known(
            status,
            self.general,
            instants(await engine.run_records(name, instants=_PAST)),
            await engine.run_durations(name),
            self._keep[name][2],
            self._lanes.get(name),
        )
        self._told = facts.detail_lines(known, self.console.now())
        self.beside.follow(functools.partial(self._lines, known, self._told))
        if self.beside.display:
            return
        # As many as there is room for, `d` shows all: a page whose length stays is drawn line by line.
        room = self.details.size.height
        lines = [*self._told, *[""] * room][:room]
        if list(self.details.lines) != lines:
            self.details.show(lines)

    async def _lines(self, known: facts.Known, told: Sequence[str]) -> Sequence[str]:
        """All of it, where there is room."""
        runs = await self.console.engine.preview_schedules(known.status.schedule.name, count=_COMING)
        return [
            *told,
            *(["", "next runs"] if runs else []),
            *(f"  {schedule_work.run_line(each)}" for each in runs),
            *(["", "last runs"] if known.past else []),
            *(f"  {facts.past_line(each)}" for each in known.past),
            "",
            *facts.all_lines(known.status),
        ]

    # What the keys mean.

    @property
    def current(self) -> ScheduleStatus | None:
        """The one under the cursor."""
        row = self.table.current
        return self.known.get(row.key) if row is not None else None

    @property
    def chosen(self) -> Sequence[str]:
        """The marked ones, or the one under the cursor."""
        return [each for each in self.table.chosen() if each in self.known]

    def why_off(self, action: Action) -> str:
        """Most need a schedule."""
        identity, status = action.action_id, self.current
        if identity == "everything.resume":
            return "" if self.general is not None else "nothing holds everything"
        if identity in _WITHOUT_SCHEDULE:
            return ""
        if status is None:
            return f"there is no schedule yet: {keys.of('schedule.new')} defines one"
        return self._why_not(identity, status)

    def _why_not(self, identity: str, status: ScheduleStatus) -> str:
        """Of an action on the one under the cursor."""
        now = self.console.now()
        if identity == "schedule.resume":
            pauses = [self.known[each].state.pause for each in self.chosen]
            is_paused = any(each is not None and each.covers(now) for each in pauses)
            return "" if is_paused else "it is not paused"
        if identity == "schedule.run" and status.schedule.is_template:
            return f"a template never runs: {keys.of('schedule.new')} makes a schedule from it"
        if (
            identity == "schedule.keep"
            and schedule_work.is_prune(status.schedule)
            and self.console.is_read_only
        ):
            return "this console is read-only, and only a job knows what a prune would free"
        if identity == "schedule.keep" and not schedule_work.has_rules(status.schedule):
            return f"it lets nothing go: it has no keep rules, {keys.of('schedule.edit')} gives it some"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Name, last job, and the command that shows it."""
        if self.current is None:
            return ()
        name = self.current.schedule.name
        jobs = [each.job_id for each in self._last.get(name, ()) if each.job_id]
        found = [("name", name), *(("job", each) for each in jobs[:3])]
        return [*found, ("command", f"holdfast schedule show {name}")]

    @on(RowList.Opened)
    async def opened(self, event: RowList.Opened) -> None:
        """Its runs."""
        event.stop()
        pane = self.console.main.pane
        await pane.push(InstantsView(event.row.key))

    # Looks.

    async def do_schedule_ahead(self) -> None:
        """The next runs."""
        await schedule_work.show_ahead(self.console, self.chosen[0])

    async def do_schedule_details(self) -> None:
        """All that it says, and what is known of it."""
        status = self.current
        if status is not None:
            lines = [*self._told, "", *facts.all_lines(status)]
            await self.console.ask(Reader(f"Schedule {status.schedule.name}", lines))

    async def do_schedule_log(self) -> None:
        """Of the worst job of its last instant."""
        name = self.chosen[0]
        runs = sorted(self._last.get(name, ()), key=lambda each: each.outcome.value != "failed")
        job_id = next((each.job_id for each in runs if each.job_id), "")
        await schedule_work.show_log(self.console, job_id, f"no job of {name} ran at its last instant")

    async def do_schedule_missed(self) -> None:
        """What did not run."""
        await self.console.ask(Reader("Not run in the last 24 hours", facts.skipped_lines(self._skipped)))

    async def do_schedule_keep(self) -> None:
        """The fate of each backup; of a prune its plan."""
        status = self.current
        if status is None:
            return
        if schedule_work.is_prune(status.schedule):
            await schedule_work.plan_prunes(self.console, status.schedule)
        else:
            await self.console.main.pane.push(KeepView(status.schedule.name))

    # Changes.

    async def do_schedule_run(self) -> None:
        """Queues a run, whatever its times and pauses."""
        await schedule_work.run(self.console, self.chosen)
        self.reload()

    async def do_schedule_pause(self) -> None:
        """Asks why, and until when."""
        names = self.chosen
        engine = self.console.engine

        async def pause(reason: str, until: datetime.datetime | None) -> None:
            for name in names:
                await engine.pause_schedule(name, reason, until)

        if await schedule_work.ask_pause(self.console, names, pause):
            self.console.tell(f"{', '.join(names)} paused; {keys.of('schedule.resume')} resumes")
            self.reload()

    async def do_schedule_resume(self) -> None:
        """What fell into the pause is not caught up."""
        for name in self.chosen:
            await self.console.engine.resume_schedule(name)
        self.console.tell(f"{', '.join(self.chosen)} goes on; what fell into the pause is not caught up")
        self.reload()

    async def do_everything_pause(self) -> None:
        """Asks why, and until when."""

        async def pause(reason: str, until: datetime.datetime | None) -> None:
            await self.console.engine.pause(reason, until)

        if await schedule_work.ask_pause(self.console, (), pause):
            self.console.tell(
                f"nothing starts by itself; {keys.of('everything.resume')} ends that", "warning"
            )
            self.reload()

    async def do_everything_resume(self) -> None:
        """All of them."""
        await self.console.engine.resume()
        self.console.tell("everything goes on")
        self.reload()

    async def do_schedule_tick(self) -> None:
        """As a worker does all the time."""
        result = await self.console.engine.tick()
        self.console.tell(schedule_work.tick_words(result))
        self.reload()

    def reload(self) -> None:
        """The day may be another one now."""
        self._day_due = 0.0
        super().reload()


class SchedulesPane(Pane):
    """Tab 2."""

    TITLE = "schedules"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(ScheduleView(), id=id)
