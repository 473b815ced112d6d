"""The view of a restore on a timeline: a source whose log is kept is brought back to any instant of it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from engine.errors import RestoreError
from engine.model.backup import Backup
from engine.model.drills import Ways
from engine.model.instants import InstantPlan
from engine.model.instants import Target as Instant
from engine.model.plan_steps import instant_word
from engine.model.requests import RestoreRequest
from tui import keys
from tui.panes import restore_text
from tui.panes import timeline as timelines
from tui.panes.base import View
from tui.panes.restore_text import Target
from tui.panes.timeline import Timeline
from tui.text import moment, padded_ends
from tui.widgets.line import Line

_ASKED: Final = "to: "
_SAYABLE: Final = "14:05:30, yesterday 9:15, just before ..., transaction N, point NAME"
_AGAIN: Final = "the nearest that can: "
_MINUTE: Final = datetime.timedelta(minutes=1)
_SECOND: Final = datetime.timedelta(seconds=1)
OF_A_LOG: Final = frozenset(("point.before", "point.minute_back", "point.minute_on", "point.second_back", "point.second_on", "point.find"))  # fmt: skip
REPLAYED: Final = (Target.DRILL, Target.BESIDE, Target.LIVE)
"""What is brought back by its log; the others take the base as it is."""


class TimelineView(View):
    """Where on its timeline a source is brought back to."""

    timeline: Timeline | None = None
    """None where there is none, or a person chose a backup that is no base."""
    instant = Instant()
    replay: InstantPlan | None = None
    """What going there takes."""
    backup: Backup | None = None
    source = ""
    target: Target
    restores: dict[Target, RestoreRequest]
    _ways: Ways

    def _lines(self) -> None:
        """Makes what is drawn."""
        self.strip, self.log_strip, self.ends, self.point = Line(), Line(), Line(tone="dim"), Line()

    async def _find_timeline(self, wanted: str) -> bool:
        """Reads which instants can be reached, and goes to the one that is chosen; whether there is any. `wanted`: a backup, if a person chose one."""
        found = timelines.timeline_of(await self.console.engine.log_report(self.source))
        if found is not None and wanted:
            base = next((each for each in found.reaches if each.base.backup_id == wanted), None)
            if base is None:
                found = None
            elif self.timeline is None:
                self.instant = Instant(base.begins_at)
        self.timeline = found
        if found is None:
            self.replay = None
            return False
        if self.instant.at is not None and found.nearest(self.instant.at) != self.instant.at:
            self.console.tell(f"{timelines.to_second(self.instant.at)} cannot be reached any more")
            self.instant = Instant()
        await self._take_base()
        return True

    async def _take_base(self) -> None:
        """Of a transaction and a point it is told what the end of the log takes: where they are only the log knows."""
        engine = self.console.engine
        self.replay = await engine.plan_instant(self.source, Instant(self.instant.at))
        if self.backup is None or self.backup.backup_id != self.replay.backup_id:
            self.backup = await engine.show_backup(self.replay.backup_id)

    async def _go_to(self, instant: Instant) -> None:
        """Raises: RestoreError where it cannot be reached."""
        assert self.timeline is not None
        self.timeline.reach(instant)
        self.instant = instant
        await self._take_base()
        self.show()

    def show(self) -> None:
        """Draws all of it."""
        raise NotImplementedError

    def _show_timeline(self, timeline: Timeline) -> None:
        now = self.console.now()
        at = self._here(timeline)
        bases, log = timelines.strips(timeline, at, restore_text.STRIP_WIDTH)
        first, last = timeline.window(at)
        self.strip.show(f"BASES  {bases}")
        self.log_strip.show(f"LOG    {log}")
        end = f"recoverable to {moment(last, now)}" if last == timeline.ends_at else moment(last, now)
        ends = padded_ends(moment(first, now), end, restore_text.STRIP_WIDTH)
        self.ends.show(f"       {ends}", tone="dim")
        gap = "   x: a gap" if "x" in log else ""
        self.point.show(f"TO     {timelines.where(timeline, self.instant, now)}{gap}", tone="strong")

    def _here(self, timeline: Timeline) -> datetime.datetime:
        return self.instant.at or timeline.ends_at

    def _why_off_timeline(self, name: str) -> str:
        if name in OF_A_LOG and self.timeline is None:
            return "no log of it is kept: it goes back to its backups alone"
        if name == "point.pick" and self.timeline is not None and self.target in REPLAYED:
            return f"no base lists what came after it: {keys.of('point.options')} takes names of databases and tables"
        return ""

    async def _step_timeline(self, timeline: Timeline, step: int) -> None:
        """From base to base, and to the ends of what can be reached."""
        found = timeline.stop(self._here(timeline), step)
        if found is None:
            self.console.tell("that is the oldest base" if step < 0 else "that is the end of the log")
            return
        await self._go_to(Instant() if found == timeline.ends_at else Instant(found))

    async def _move(self, by: datetime.timedelta) -> None:
        timeline = self.timeline
        assert timeline is not None
        here = self._here(timeline)
        found = timeline.moved(here, by)
        if found is None:
            self.console.tell("nothing later can be reached" if by > datetime.timedelta() else "nothing earlier can be reached")  # fmt: skip
            return
        if abs(found - here) > abs(by):
            self.console.tell(
                f"passed over what cannot be reached: {timelines.to_second(here)} to {timelines.to_second(found)}"
            )
        await self._go_to(Instant() if found == timeline.ends_at else Instant(found, is_before=self.instant.is_before))  # fmt: skip

    async def _type_instant(self, timeline: Timeline) -> None:
        """Asks until it can be reached, or nobody says. What cannot is told, and the nearest that can is offered. Raises: UsageError."""
        question, offered = _ASKED, ""
        self.console.tell(_SAYABLE)
        while True:
            said = await self.console.ask_line(question, offered)
            self.console.tell("")
            if not said:
                return
            instant = timelines.read(said, self.console.engine.instant)
            try:
                await self._go_to(instant)
            except RestoreError as error:
                assert instant.at is not None
                self.console.tell(error.message, "warning")
                before = "just before " if instant.is_before else ""
                question, offered = _AGAIN, before + instant_word(timeline.nearest(instant.at))
            else:
                return

    async def do_point_before(self) -> None:
        """Just before the chosen instant, or at it."""
        timeline = self.timeline
        assert timeline is not None
        now = self.instant
        at = timeline.ends_at if timelines.is_end(now) else now.at
        await self._go_to(Instant(at, now.transaction, now.point, not now.is_before))

    async def do_point_find(self) -> None:
        """Beside is where one table goes. Raises: errors of the engine."""
        from tui import log_work

        found = await log_work.find_change(self.console, self.source)
        if found is not None:
            await self._go_to(Instant(transaction=found.named, is_before=True))
            if self.target is Target.DRILL:
                self.target = Target.BESIDE
            asked = self.restores[Target.BESIDE]
            self.restores[Target.BESIDE] = dataclasses.replace(
                asked, databases=(found.database,) if found.tables else (), tables=found.tables
            )
            self.show()

    async def do_point_minute_back(self) -> None:
        """Earlier."""
        await self._move(-_MINUTE)

    async def do_point_minute_on(self) -> None:
        """Later."""
        await self._move(_MINUTE)

    async def do_point_second_back(self) -> None:
        """Earlier."""
        await self._move(-_SECOND)

    async def do_point_second_on(self) -> None:
        """Later."""
        await self._move(_SECOND)
