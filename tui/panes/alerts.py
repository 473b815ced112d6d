"""Alerts: what stands, who sees to it, and what nobody is told of for a while."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.widget import Widget

from engine.model.alerts import Alert, Alerts, MaintenanceWindow, Silence
from engine.model.spans import span
from tui import backup_work, keys
from tui.actions import ACTIONS, Action
from tui.dialogs.reader import Reader
from tui.panes import remedies
from tui.panes.alert_page import concern_of, show_alert
from tui.panes.base import View
from tui.place import bindings
from tui.text import age, moment, printable
from tui.widgets.page import Page
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.panes.sources import SourcesView

_SILENCE: str = "silence "
"""What the key of a row begins with that is no alert, but a silence or a window."""


class AlertsView(View):
    """Alerts first, the oldest on top, then silences and windows; below, all that is known of the one under the cursor."""

    PLACE = "alerts"
    BINDINGS = bindings("alerts")
    DEFAULT_CSS = """
    AlertsView > RowTable { height: 1fr; }
    AlertsView > Page { height: 8; border-top: ascii $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("beside")
        self.table = RowTable(
            [
                Column("AGE", 4, is_right=True), Column("SUBJECT", 16, is_flexible=True), Column("CONDITION", 14, rank=1),
                Column("STATE", 22, is_flexible=True),
            ],
            empty="nothing is wrong, as far as anybody looked",
        )  # fmt: skip
        self.page = Page()
        self.page.add_class("aside")
        self._is_past_shown = False
        self._wanted = ""
        self._alerts: dict[str, Alert] = {}
        self._silences: dict[str, Silence | MaintenanceWindow] = {}

    @property
    def crumb(self) -> str:
        """In the path."""
        return "alerts"

    def compose(self) -> Iterator[Widget]:
        """The list, and one of them."""
        yield self.table
        yield self.page

    async def load(self) -> None:
        """As the last evaluation found them."""
        found = await self.console.engine.alerts(is_past_included=self._is_past_shown)
        now = self.console.now()
        self._alerts = {each.alert_id: each for each in found.alerts}
        self._silences = {
            **{_SILENCE + each.silence_id: each for each in found.silences},
            **{_SILENCE + each.name: each for each, _ in found.windows},
        }
        rows = [_row(each, now) for each in found.alerts] + _silence_rows(found, now)
        wanted, self._wanted = self._wanted, ""
        self.table.show_rows(rows, wanted)
        self._show_details()

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Another one."""
        event.stop()
        self._show_details()

    def _show_details(self) -> None:
        alert = self.current
        row = self.table.current
        if alert is not None:
            told = (
                f"people were told {moment(alert.told_at, self.console.now())}"
                if alert.told_at
                else "nobody was told"
            )
            lines = [alert.reason, f"-> {alert.remedy}", told]
            lines += [f"{alert.acknowledged_by} sees to it: {alert.note}"] if alert.acknowledged_at else []
            lines += (
                [f"silenced until {moment(alert.silenced_until, self.console.now())}: {alert.silence_reason}"]
                if alert.silenced_until
                else []
            )
        else:
            silence = self._silences.get(row.key) if row is not None else None
            lines = [f"{silence.reason} ({silence.made_by})"] if silence is not None else []
        self.page.show(lines)

    @property
    def current(self) -> Alert | None:
        """The alert under the cursor."""
        row = self.table.current
        return self._alerts.get(row.key) if row is not None else None

    def why_off(self, action: Action) -> str:
        """Some are about an alert, one is about a silence."""
        row = self.table.current
        if action.action_id == "alert.acknowledge":
            if self.current is None:
                return "the cursor is on no alert"
            return "it is over" if self.current.recovered_at is not None else ""
        if action.action_id == "alert.show":
            return "" if row is not None else "there is no alert"
        if action.action_id in ("alert.silence", "alert.log", "alert.mend"):
            return "" if self.current is not None else "the cursor is on no alert"
        if action.action_id == "alert.unsilence":
            return "" if row is not None and row.key in self._silences else "the cursor is on no silence"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The alert's id, and what mends it."""
        alert = self.current
        return (
            [("alert", alert.alert_id), ("remedy", alert.remedy), ("command", "holdfast alerts list")]
            if alert is not None
            else ()
        )

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.perform(ACTIONS["alert.show"])

    async def do_alert_show(self) -> None:
        """All that is known of it."""
        alert = self.current
        if alert is not None:
            await show_alert(self.console, alert, await concern_of(self.console, alert))
        else:
            await self.console.ask(Reader("A time in which nobody is told", self.page.lines))

    async def do_alert_log(self) -> None:
        """Of the job that showed it."""
        alert = self.current
        concern = await concern_of(self.console, alert) if alert is not None else None
        if concern is None or not concern.job_id:
            self.console.tell(f"no job showed it: {keys.of('list.open')} says all that is known")
        else:
            await backup_work.show_log(self.console, concern.job_id)

    async def do_alert_mend(self) -> None:
        """As the attention row does."""
        alert = self.current
        concern = await concern_of(self.console, alert) if alert is not None else None
        if concern is None:
            self.console.tell(
                f"it is not found any more: {keys.of('alert.evaluate')} looks at everything now"
            )
            return
        await remedies.mend(self._sources, concern)

    @property
    def _sources(self) -> SourcesView:
        """The view at the bottom of this pane, which knows what mends."""
        from tui.panes.sources import SourcesView

        return self.console.main.query_one(SourcesView)

    def go_to(self, alert_id: str) -> None:
        """Puts the cursor on an alert, once they are read."""
        self._wanted = alert_id

    async def do_alert_acknowledge(self) -> None:
        """Asks what to note."""
        alert = self.current
        if alert is None:
            return
        note = await self.console.ask_line("note (may be empty): ")
        if note is not None:
            await self.console.engine.acknowledge_alert(alert.alert_id, note)
            self.console.tell(f"you see to it: {alert.subject}")
            self.reload()

    async def do_alert_silence(self) -> None:
        """Asks for how long, and why."""
        alert = self.current
        if alert is None:
            return
        until = await self.console.ask_line("until (2h, 2026-11-20 14:05): ", "4h")
        if not until:
            return
        reason = await self.console.ask_line("why: ")
        if not reason:
            return
        ends_at = self.console.engine.instant(until, is_ahead=True)
        await self.console.engine.silence(alert.subject, ends_at, reason, condition=alert.condition.value)
        self.console.tell(f"nobody is told of {alert.subject} until {moment(ends_at, self.console.now())}")
        self.reload()

    async def do_alert_unsilence(self) -> None:
        """At once; it can be made again."""
        row = self.table.current
        if row is not None:
            ended = await self.console.engine.unsilence(row.key.removeprefix(_SILENCE))
            self.console.tell(f"people are told of {ended.subject} again")
            self.reload()

    async def do_alert_evaluate(self) -> None:
        """What the worker does every five minutes."""
        self.console.tell("looking at everything …")
        expected = await self.console.engine.expectations()
        done = await self.console.engine.evaluate_alerts(
            expected.sources, is_worker_wanted=expected.is_worker_wanted
        )
        self.console.tell(
            f"{len(done.raised)} raised, {len(done.recovered)} over, {len(done.standing)} standing"
        )
        self.reload()

    async def do_alert_past(self) -> None:
        """Those that are over, too."""
        self._is_past_shown = not self._is_past_shown
        self.reload()


def _row(alert: Alert, now: datetime.datetime) -> Row:
    if alert.recovered_at is not None:
        state, tone = f"over since {moment(alert.recovered_at, now)}", "dim"
    elif alert.acknowledged_at is not None:
        state, tone = f"seen to by {alert.acknowledged_by}", ""
    elif alert.silenced_until is not None:
        state, tone = f"silenced until {moment(alert.silenced_until, now)}", "dim"
    else:
        state, tone = ("! at risk", "risk") if alert.is_risk else ("advice", "warning")
    cells = (age(alert.raised_at, now), printable(alert.subject), alert.condition.value, printable(state))
    return Row(alert.alert_id, cells, tone, (alert.raised_at, alert.subject, alert.condition.value, state))


def _silence_rows(found: Alerts, now: datetime.datetime) -> list[Row]:
    rows = []
    for each in found.silences:
        state = f"silence until {moment(each.ends_at, now)}"
        rows.append(
            Row(
                _SILENCE + each.silence_id,
                (age(each.begins_at, now), printable(each.subject), each.condition, state),
                "dim",
            )
        )
    for window, at in found.windows:
        begins = "over" if at is None else "now" if at <= now else moment(at, now)
        state = f"window {window.name}: {window.every} for {span(window.duration_s)}, {begins}"
        rows.append(
            Row(
                _SILENCE + window.name,
                ("-", printable(window.subject), window.condition, printable(state)),
                "dim",
            )
        )
    return rows
