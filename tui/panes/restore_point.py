"""One source to be brought back: from which point, where to, what will happen. A drill is what enter starts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from textual.containers import Vertical
from textual.widget import Widget

from engine.errors import UnknownNameError
from engine.model.backup import Backup, BackupFilter, OrderBy, Ordered
from engine.model.definitions import Source
from engine.model.drills import PastDrill, UnderWay, Ways, estimate
from engine.model.instants import Target as Instant
from engine.model.requests import DrillRequest, RestoreRequest
from tui import backup_work, keys
from tui.actions import Action
from tui.panes import restore_text, restore_work
from tui.panes import timeline as timelines
from tui.panes.restore_running import RunningView
from tui.panes.restore_text import STRIP_POINTS, Chosen, Target, is_point
from tui.panes.restore_timeline import REPLAYED, TimelineView
from tui.place import bindings
from tui.text import moment, padded_ends, printable
from tui.widgets.line import Line
from tui.widgets.page import Page

_NO_BACKUP: Final = "there is no backup of it yet: {source.backup} in the backups takes one"
_PAST: Final = 10
_TARGETS: Final = tuple(Target)
_OF_A_TARGET: Final = frozenset(f"point.{each.value}" for each in Target)
_NEED_A_POINT: Final = frozenset(("point.start", "point.dry", "point.here", "point.pick", "point.options", "point.export"))  # fmt: skip


class PointView(TimelineView, can_focus=True):
    """A source, and one of its restore points; `backup` empty: the newest. `paths`: these of it alone."""

    PLACE = "point"
    BINDINGS = bindings("point")
    DEFAULT_CSS = """
    PointView { overflow-y: auto; scrollbar-size: 0 0; }
    PointView Line { height: 1; }
    PointView Vertical { height: auto; }
    PointView > .ruled { border-top: ascii $foreground; }
    """

    def __init__(
        self, source: str, backup: str = "", paths: Sequence[str] = (), instant: Instant | None = None
    ) -> None:
        super().__init__()
        self.instant = instant or Instant()
        self.source = source
        self.wanted = backup
        self.target = Target.FILES if paths else Target.DRILL
        self.drill = DrillRequest(source)
        self.restores = {
            Target.BESIDE: RestoreRequest(""),
            Target.LIVE: RestoreRequest("", is_in_place=True),
            Target.FILES: RestoreRequest(""),
        }
        self._paths = paths
        self.backup: Backup | None = None
        self._ready = asyncio.Event()
        self._is_busy = False
        self._definition: Source | None = None
        self._ways = Ways(False, False, False, False)
        self._past: Sequence[PastDrill] = ()
        self._order = Ordered(b"")
        self._place = 0
        self._window: Sequence[Backup] = ()
        self._under_way: Sequence[UnderWay] = ()
        self._free_bytes: int | None = None
        self._is_first = True
        self.head = Line(tone="strong")
        self._lines()
        self.targets = {each: Line() for each in _TARGETS}
        self.plan = Page(is_growing=True)
        self.plan.can_focus = False
        self.checks, self.last, self.running = Line(), Line(), Line()

    @property
    def crumb(self) -> str:
        """The source."""
        return self.source

    def compose(self) -> Iterator[Widget]:
        """From top to bottom."""
        yield Vertical(self.head, self.strip, self.log_strip, self.ends, self.point)
        yield Vertical(*self.targets.values(), classes="ruled")
        yield Vertical(self.plan, self.checks, self.last, self.running, classes="ruled")

    def focus_default(self) -> None:
        """The view itself has the keys."""
        self.focus()

    # Reading.

    async def load(self) -> None:
        """Everything that is known without connecting anywhere. A drill or restore that runs is shown at once where the view is new."""
        engine = self.console.engine
        self._definition = await engine.show_source(self.source)
        self._ways = await engine.ways(self.source)
        self._past = await engine.past_drills(self.source, limit=_PAST)
        if self._is_first:
            objective = next((each.objective_s for each in await engine.drill_standings() if each.source == self.source), None)  # fmt: skip
            self.drill = dataclasses.replace(self.drill, budget_s=objective)
            patterns = tuple(engine.pattern_of(each) for each in self._paths)
            self.restores[Target.FILES] = RestoreRequest("", include=patterns)
        self._order = await engine.ordered_backups(BackupFilter(source=self.source), OrderBy.CREATED)
        if self._paths or not await self._find_timeline(self.wanted):
            await self._choose()
        self._under_way = [each for each in await engine.under_way() if self.source in each.sources]
        await self._look_at_room()
        is_first, self._is_first = self._is_first, False
        self._ready.set()
        self.show()
        if is_first and self._under_way and self.console.main.pane.view is self:
            await self._show_running()

    async def _choose(self) -> None:
        """Goes to the wanted point; to the newest where none is, or that one is gone."""
        if not len(self._order):
            self.backup = None
            return
        place = await self._next(0, 1)
        if self.wanted:
            try:
                found = await self.console.engine.show_backup(self.wanted)
            except UnknownNameError as error:
                self.console.tell(error.message)
                self.wanted = ""
            else:
                place = await backup_work.place_of(self.console, self._order, found)
        await self._show_place(place)

    async def _next(self, place: int, step: int) -> int:
        """The nearest place from there on that one can go back to; where there is none, that place."""
        here = place
        while 0 <= here < len(self._order):
            first = here if step > 0 else max(0, here - STRIP_POINTS + 1)
            page = await self.console.engine.backups_at(self._order, first, STRIP_POINTS)
            numbered = list(enumerate(page, first))
            for number, each in numbered if step > 0 else reversed(numbered[: here - first + 1]):
                if is_point(each):
                    return number
            here += step * STRIP_POINTS
        return min(max(place, 0), len(self._order) - 1)

    async def _go(self, place: int) -> None:
        """Goes to a point that a person wants; the newest one is followed when there is a newer one."""
        await self._show_place(place)
        self.wanted = "" if self.is_newest or self.backup is None else self.backup.backup_id
        self.show()

    async def _show_place(self, place: int) -> None:
        self._place = max(0, min(place, len(self._order) - 1))
        first = max(0, min(self._place - STRIP_POINTS // 2, len(self._order) - STRIP_POINTS))
        page = await self.console.engine.backups_at(self._order, first, STRIP_POINTS)
        self._window = [each for each in page if each is not None]
        chosen = page[self._place - first] if self._place - first < len(page) else None
        self.backup = chosen

    async def _look_at_room(self) -> None:
        """Where the files go to, if that is this machine."""
        request = self.restores[Target.FILES]
        self._free_bytes = None
        if request.to and not request.host:
            self._free_bytes = await asyncio.to_thread(restore_work.free_bytes, request.to)

    # Drawing.

    @property
    def is_newest(self) -> bool:
        """Whether the chosen point is the one that nobody need name."""
        return self.backup is not None and not any(
            is_point(each) and each.created_at > self.backup.created_at for each in self._window
        )

    @property
    def chosen(self) -> Chosen | None:
        """All that was chosen; None where there is no point."""
        if self.backup is None or self._definition is None:
            return None
        asked = self.restores.get(self.target, RestoreRequest(""))
        return Chosen(
            self.backup,
            self.is_newest,
            self._ways,
            self._definition.host,
            self.drill,
            self._request(self.target, asked, self.backup),
            self._past,
            [each.storage for each in self.backup.copies if each.snapshot_id],
            self._free_bytes,
            self.timeline,
            self.instant,
            self.replay,
        )

    def _request(self, target: Target, asked: RestoreRequest, backup: Backup) -> RestoreRequest:
        """What is asked for, of what is chosen."""
        timeline = self.timeline
        if timeline is not None and target is Target.FILES and not asked.include:
            end = Instant(timeline.ends_at)
            return timelines.restore_at(
                asked, self.source, end if timelines.is_end(self.instant) else self.instant
            )
        if timeline is not None and target in REPLAYED:
            return timelines.restore_at(asked, self.source, self.instant)
        return timelines.of_backup(asked, backup.backup_id)

    def show(self) -> None:
        """Draws all of it; lines that are as they were cost nothing."""
        now = self.console.now()
        definition = self._definition
        if definition is None:
            return
        self.head.show(
            printable(f"SOURCE {self.source} ({definition.kind} on {definition.host})"),
            restore_text.proven_words(self._past, self.drill.budget_s, now),
            tone="strong",
        )
        self._show_points()
        chosen = self.chosen
        for each, line in self.targets.items():
            self._show_target(each, line, chosen)
        lines = restore_text.plan_lines(self.target, chosen) if chosen is not None else []
        told = [f"{'PLAN  ' if not number else '      '} {line}" for number, line in enumerate(lines)]
        if told != list(self.plan.lines):
            self.plan.show(told)
        checks = restore_text.checks_line(self.target, chosen) if chosen is not None else ""
        self.checks.show(f"CHECKS {checks}")
        self.last.show(f"LAST   {restore_text.last_line(self._past, now)}")
        self._show_under_way()
        self.console.main.show_hints()

    def _show_points(self) -> None:
        now = self.console.now()
        self.log_strip.display = self.timeline is not None
        if self.timeline is not None:
            self._show_timeline(self.timeline)
            return
        if self.backup is None:
            self.strip.show(f"POINT  {keys.said(_NO_BACKUP)}", tone="warning")
            self.ends.show("")
            self.point.show("")
            return
        self.strip.show(f"POINT  {restore_text.strip(self._window, self.backup.backup_id)}")
        oldest, newest = self._window[-1].created_at, self._window[0].created_at
        self.ends.show("       " + padded_ends(moment(oldest, now), moment(newest, now), restore_text.STRIP_WIDTH), tone="dim")  # fmt: skip
        place = f"{self._place + 1:,} of {len(self._order):,}"
        self.point.show(f"       {restore_text.point_line(self.backup, place, now)}")

    def _show_target(self, target: Target, line: Line, chosen: Chosen | None) -> None:
        mark = ">" if target is self.target else " "
        key = keys.of(f"point.{target.value}")
        label = "TARGET" if target is Target.DRILL else "      "
        reason = restore_text.why_not(target, self._ways)
        if chosen is None:
            words = target.value
        elif reason:
            words = f"{target.value:<7} - {reason}"
        else:
            own = dataclasses.replace(chosen, restore=self.restores.get(target, RestoreRequest("")))
            words = restore_text.target_words(target, own)
        tone = "dim" if reason else "strong" if target is self.target else ""
        line.show(printable(f"{label}{mark}({key}) {words}"), tone=tone)

    def _show_under_way(self) -> None:
        job = self._under_way[0].job if self._under_way else None
        self.running.display = job is not None
        if job is not None:
            kept = self.console.engine.progress_of(job).kept
            said = f"kept until {moment(kept.until, self.console.now())}" if kept is not None else job.status.value  # fmt: skip
            said += f": {keys.of('point.running')} shows it"
            self.running.show(f"NOW    {job.verb} {job.job_id[:8]}, {said}", tone="warning")

    # Actions.

    def why_off(self, action: Action) -> str:
        """A point is needed, and a target that this kind of source has."""
        name = action.action_id
        if name in _OF_A_TARGET:
            return restore_text.why_not(Target(name.removeprefix("point.")), self._ways)
        if name in _NEED_A_POINT and self._ready.is_set() and self.backup is None:
            return keys.said(_NO_BACKUP)
        if name == "point.running" and not self._under_way:
            return "nothing of it runs"
        if name == "point.pick" and self.target in (Target.DRILL, Target.EXPORT):
            return "a drill takes all of it: choose beside, live or files first"
        if name == "point.dry" and self.target in (Target.DRILL, Target.EXPORT):
            return f"a drill and an export change nothing that is there: {keys.of('point.start')} starts it"
        return self._why_off_timeline(name)

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The backup, and the command line that does the same."""
        chosen = self.chosen
        if chosen is None:
            return [("source", self.source)]
        command = restore_text.command(self.target, chosen)
        return [("source", self.source), ("backup", chosen.backup.backup_id), ("command", command)]

    def aim(self, target: Target) -> None:
        """Chooses where to."""
        self.target = target
        self.show()

    async def do_point_drill(self) -> None:
        """The default."""
        self.aim(Target.DRILL)

    async def do_point_beside(self) -> None:
        """Beside what is live."""
        self.aim(Target.BESIDE)

    async def do_point_live(self) -> None:
        """In place."""
        self.aim(Target.LIVE)

    async def do_point_files(self) -> None:
        """Into a folder."""
        self.aim(Target.FILES)

    async def do_point_export(self) -> None:
        """As an archive."""
        self.aim(Target.EXPORT)

    async def do_point_down(self) -> None:
        """The next one that this source has."""
        self._step_target(1)

    async def do_point_up(self) -> None:
        """The one above."""
        self._step_target(-1)

    def _step_target(self, step: int) -> None:
        usable = [each for each in _TARGETS if not restore_text.why_not(each, self._ways)]
        place = usable.index(self.target) + step
        if 0 <= place < len(usable):
            self.aim(usable[place])

    async def do_point_older(self) -> None:
        """Past those that failed."""
        await self._step(1)

    async def do_point_newer(self) -> None:
        """The other way."""
        await self._step(-1)

    async def _step(self, step: int) -> None:
        if self.timeline is not None:
            await self._step_timeline(self.timeline, -step)
            return
        place = await self._next(self._place + step, step)
        if place == self._place or not 0 <= self._place + step < len(self._order):
            self.console.tell("that is the oldest one" if step > 0 else "that is the newest one")
            return
        await self._go(place)

    async def do_point_newest(self) -> None:
        """The one to begin with."""
        if self.timeline is not None:
            await self._go_to(Instant())
            return
        await self._go(await self._next(0, 1))

    async def do_point_time(self) -> None:
        """As `--at` understands it. Raises: UsageError for what is no time, UnknownNameError where there is none so old."""
        if self.timeline is not None:
            await self._type_instant(self.timeline)
            return
        said = await self.console.ask_line("as of (2026-11-20 14:05, 2h ago, yesterday): ")
        if not said:
            return
        found = await backup_work.as_of(self.console, self.source, said)
        await self._go(await backup_work.place_of(self.console, self._order, found))

    async def do_point_options(self) -> None:
        """The form of the target."""
        await self._ready.wait()
        await self._ask_options()

    async def _ask_options(self) -> bool:
        """Whether it was filled in."""
        from tui.panes import restore_forms

        chosen = self.chosen
        assert chosen is not None
        if self.target is Target.EXPORT:
            await restore_work.export(self.console, chosen.backup)
            return False
        is_done = False
        if self.target is Target.DRILL:
            drill = await restore_forms.ask_drill(self.console, chosen)
            self.drill, is_done = drill or self.drill, drill is not None
        else:
            restore = await restore_forms.ask_restore(self.console, self.target, chosen)
            if restore is not None:
                self.restores[self.target], is_done = restore, True
        await self._look_at_room()
        self.show()
        return is_done

    async def do_point_pick(self) -> None:
        """What of it, in a tree; esc there goes back with what is marked."""
        from tui.panes.restore_pick import PickView

        chosen = self.chosen
        assert chosen is not None
        await self.console.main.pane.push(
            PickView(chosen.backup, self.target, chosen.restore, self._ways, self.take)
        )

    def take(self, request: RestoreRequest) -> None:
        """What was picked."""
        self.restores[self.target] = request
        self.show()

    async def do_point_dry(self) -> None:
        """Tells what a worker says that it would do."""
        request = await self._complete_request()
        if request is not None:
            await restore_work.show_dry(self.console, request)

    async def do_point_here(self) -> None:
        """Asks for the folder, nothing else."""
        await self._ready.wait()
        if self.backup is not None:
            await restore_work.files_here(self.console, self.backup)

    async def do_point_evidence(self) -> None:
        """Of its drills."""
        from tui.panes.restore_evidence import EvidenceView

        await self.console.main.pane.push(EvidenceView(self.source))

    async def do_point_running(self) -> None:
        """The newest of them."""
        await self._show_running()

    async def _show_running(self) -> None:
        usual_s = estimate(self._past, self.backup.size_bytes)[0] if self.backup is not None else None
        view = RunningView(self._under_way[0].job, self.source, usual_s)
        await self.console.main.pane.push(view)

    async def do_point_start(self) -> None:
        """A drill begins at once. All else is planned by a worker first, shown, and asked for."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            await self._ready.wait()
            await self._start()
        finally:
            self._is_busy = False

    async def _start(self) -> None:
        chosen = self.chosen
        if chosen is None:
            raise UnknownNameError(
                f"there is no backup of {self.source} yet",
                hint=f"{keys.of('source.backup')} in the backups takes one",
            )
        if self.target is Target.DRILL:
            await self._start_drill(chosen)
        elif self.target is Target.EXPORT:
            await restore_work.export(self.console, chosen.backup)
        else:
            request = await self._complete_request()
            if request is not None:
                await restore_work.restore(self.console, request, self.target, self.source, chosen.host)

    async def _start_drill(self, chosen: Chosen) -> None:
        """Unless one runs already, which is shown instead."""
        found = await self.console.engine.under_way()
        running = [each for each in found if self.source in each.sources and each.job.verb == "drill"]
        usual_s, _ = estimate(self._past, chosen.backup.size_bytes, restore_text.levels_of(self.drill))
        if self.replay is not None and chosen.is_replayed:
            usual_s = self.replay.estimated_s
        if running:
            job = running[0].job
            self.console.tell(f"a drill of {self.source} runs already: this is it")
        else:
            job = await self.console.submit("drill", chosen.drill_request, f"drill of {self.source}")
        await self.console.main.pane.push(RunningView(job, self.source, usual_s))

    async def _complete_request(self) -> RestoreRequest | None:
        """What is to be restored and where to, asked for where it is not said; None where nobody says."""
        await self._ready.wait()
        request = self.restores[self.target]
        is_missing = (self.target is Target.FILES and not request.to) or (
            self.target is Target.BESIDE and not request.into
        )
        if is_missing and not await self._ask_options():
            return None
        chosen = self.chosen
        return chosen.restore if chosen is not None else None
