"""Sources: what is at risk on top, then each source with what it can be brought back to, and how well that is proved."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from engine.model.alerts import Condition
from engine.model.backup import Proof
from engine.model.status import Concern, SourceStatus, Status
from tui import keys
from tui.actions import Action
from tui.panes import remedies, source_rows
from tui.panes.base import View
from tui.place import bindings
from tui.text import printable
from tui.widgets.detail import Detail
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

ATTENTION_ROWS: Final = 4
"""So many are seen at once; the list goes on below."""
_AT_ONCE: Final = 250
"""Rows that are made before others of the loop have their turn."""
_LADDER: Final = list(Proof)


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
        self.attention = RowTable(
            [Column("", 1), Column("", 14), Column("", 30, is_flexible=True), Column("", 15)],
            empty="", is_quiet=True, id="attention",
        )  # fmt: skip
        self.table = RowTable(
            [
                Column("SOURCE", 16, is_flexible=True), Column("RECOVERABLE TO", 14), Column("AGE", 4, is_right=True), Column("KIND", 4, rank=2),
                Column("SIZE", 5, is_right=True), Column("ADDED", 5, is_right=True, rank=4), Column("PROOF", 12), Column("SIZES", 6, rank=1),
                Column("STATE", 7),
            ],
            empty="there is no source yet: {source.new} defines one",
        )  # fmt: skip
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
        engine = self.console.engine
        status = await engine.status((await engine.expectations()).sources)
        sizes = await engine.recent_sizes()
        paused = source_rows.paused_of(status)
        running = {name for job in self.console.running_jobs for name in job.request.get("sources", ())}
        self.status = status
        self._concerns = {str(index): each for index, each in enumerate(_sorted(status))}
        worst = _worst(status)
        rows = []
        for number, each in enumerate(status.sources, 1):
            state = source_rows.state_of(each, worst.get(each.source), paused, running)
            rows.append(
                source_rows.row_of(each, status, sizes.get(each.source, ()), state, worst.get(each.source))
            )
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        self._show_attention()
        self.table.show_rows(rows, "" if self._is_placed else least_proved(status.sources))
        self._is_placed = self._is_placed or bool(rows)

    def _show_attention(self) -> None:
        self._make_room()
        seen = _seen_to(self.status) if self.status is not None else {}
        self.attention.show_rows(
            [_attention_row(key, each, seen) for key, each in self._concerns.items()],
        )

    def _make_room(self) -> None:
        """As many rows as there are, but the sources below have most of a low terminal."""
        shown = min(ATTENTION_ROWS, len(self._concerns), max(1, self.size.height // 3))
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
        if action.action_id in ("source.all", "source.new", "source.shares"):
            return ""
        if action.action_id in ("source.mend", "source.alert"):
            return "" if self.concern is not None else "nothing is wrong here"
        if not self.chosen():
            return "there is no source yet" if not len(self.table.list.source) else "this is about no source"
        if action.action_id in _NEED_LOG and not self._is_logged(self.source):
            return (
                f"no log of {printable(self.source)} is shipped: {keys.of('source.edit')} says how it comes"
            )
        if action.action_id in _NEED_BACKUP and not self._newest_of(self.source):
            return f"{printable(self.source)} was never backed up: {keys.of('source.backup')} does"
        return ""

    def _is_logged(self, source: str) -> bool:
        found = self.status.sources if self.status is not None else ()
        return any(each.source == source and each.log is not None for each in found)

    def _newest_of(self, source: str) -> str:
        """The id of its newest backup that can be restored; empty where there is none."""
        found = self.status.sources if self.status is not None else ()
        return next((each.backup_id for each in found if each.source == source), "")

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


_NEED_LOG: Final = frozenset(("source.ship", "source.reach", "source.log_drop"))
_NEED_BACKUP: Final = frozenset(
    (
        "source.drill",
        "source.rules",
        "source.restore",
        "source.verify",
        "source.download",
        "source.find",
        "source.live",
    )
)


def least_proved(sources: Sequence[SourceStatus]) -> str:
    """The source with a backup whose newest one is proved least, and longest ago; else the first. Empty where there is none."""
    found = [each for each in sources if each.proof is not None and not each.retired]
    if not found:
        return sources[0].source if sources else ""
    least = min(
        found,
        key=lambda each: (
            _LADDER.index(each.proof or Proof.TAKEN),
            each.proven_at.timestamp() if each.proven_at is not None else 0.0,
        ),
    )
    return least.source


def _sorted(status: Status) -> list[Concern]:
    """Risks that nobody has seen to, then others, then what somebody sees to."""
    seen = _seen_to(status)
    return sorted(
        status.concerns,
        key=lambda each: ((each.condition, each.subject) in seen, not each.is_risk),
    )


def _seen_to(status: Status) -> Mapping[tuple[Condition, str], str]:
    """Of those that somebody sees to, or that were silenced: who, or until when."""
    found = {}
    for each in status.alerts:
        if each.acknowledged_at is not None:
            found[each.condition, each.subject] = f"seen by {each.acknowledged_by}"
        elif each.silenced_until is not None:
            found[each.condition, each.subject] = "silenced"
    return found


def _attention_row(key: str, concern: Concern, seen: Mapping[tuple[Condition, str], str]) -> Row:
    by = seen.get((concern.condition, concern.subject), "")
    tone = "dim" if by else "risk" if concern.is_risk else "warning"
    mark = "!" if concern.is_risk and not by else "-"
    reason = printable(f"{by}: {concern.reason}" if by else concern.reason)
    return Row(
        key,
        (
            mark,
            printable(remedies.name_of(concern)),
            reason,
            f"{keys.of('source.mend')} {remedies.words_of(concern)}",
        ),
        tone,
    )


def _worst(status: Status) -> Mapping[str, Concern]:
    """By source: the first of its concerns, risks first."""
    found: dict[str, Concern] = {}
    for each in status.concerns:
        name = remedies.source_of(each)
        if name and (name not in found or (each.is_risk and not found[name].is_risk)):
            found[name] = each
    return found
