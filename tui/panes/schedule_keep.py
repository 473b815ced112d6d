"""What the rules of a schedule, or of a person, keep and let go: each backup's fate, with its reason, by storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.widget import Widget

from engine.errors import UsageError
from engine.model.keep_words import EXAMPLES, parse
from engine.model.results import Fate
from engine.model.schedules import Action as ScheduleAction
from engine.model.schedules import Schedule
from engine.model.timetables import KeepAhead
from tui import keys, schedule_work
from tui.actions import Action
from tui.panes.base import View
from tui.place import bindings
from tui.text import printable, short_size
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class KeepView(View):
    """By what the catalog knows: no storage is asked until it is done."""

    PLACE = "keep"
    BINDINGS = bindings("keep")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.subject = name
        self._is_after_next = True
        self._is_going_alone = False
        self._schedule: Schedule | None = None
        self._keep: KeepAhead | None = None
        self.head, self.said = Line(), Line()
        self.head.add_class("aside")
        self.said.add_class("aside")
        self.table = RowTable(
            [
                Column("FATE", 5), Column("TAKEN", 16), Column("SOURCE", 12, is_flexible=True), Column("STORAGE", 9), Column("BACKUP", 8, rank=1),
                Column("WHY", 24, is_flexible=True),
            ],
            empty="there is no backup that these rules judge",
        )  # fmt: skip

    @property
    def crumb(self) -> str:
        """For the title row."""
        return f"{self.subject} > keep"

    def compose(self) -> Iterator[Widget]:
        """The rules, what they come to, each backup."""
        yield self.head
        yield self.said
        yield self.table

    async def load(self) -> None:
        """Judges all of them anew."""
        engine = self.console.engine
        self._schedule = (await engine.show_schedule(self.subject)).schedule
        keep = await engine.keep_ahead(self.subject, is_after_next=self._is_after_next)
        when = (
            f"after the next run, {keep.at.astimezone():%a %Y-%m-%d %H:%M}"
            if self._is_after_next and keep.coming
            else f"at its next run, {keep.at.astimezone():%a %Y-%m-%d %H:%M}"
            if self._is_after_next
            else "as things are now"
        )
        self.show_fates(keep, when)

    def show_fates(self, keep: KeepAhead, when: str) -> None:
        """What the rules come to, and each backup."""
        self._keep = keep
        self.head.show(f"{printable(self.subject)} keeps {keep.policy or 'everything'}")
        kept = len(keep.fates) - len(keep.going)
        self.said.show(
            f"{when}: keeps {kept}, lets {len(keep.going)} go (~{short_size(keep.going_bytes)})",
            tone="warning" if keep.going else "",
        )
        shown = keep.going if self._is_going_alone else keep.fates
        self.table.show_rows([_row(each) for each in shown])

    def why_off(self, action: Action) -> str:
        """Without rules nothing goes."""
        if action.action_id in ("keep.forget", "keep.now") and (
            self._keep is None or not self._keep.requests
        ):
            return f"it has no keep rules: {keys.of('keep.edit')} gives it some"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The backup, and the command line of a forget by these rules."""
        row = self.table.current
        found = [("backup", row.key.partition(" ")[0])] if row is not None else []
        if self._keep is not None and self._schedule is not None:
            found += [
                ("command", schedule_work.forget_command(self._schedule.options, each))
                for each in self._keep.requests[:5]
            ]
        return found

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """The whole reason, which the column may have cut."""
        event.stop()
        self.console.tell(f"{event.row.cells[0].strip('! ')}: {event.row.cells[-1]}")

    async def do_keep_now(self) -> None:
        """The other instant."""
        self._is_after_next = not self._is_after_next
        await self.load()

    async def do_keep_going(self) -> None:
        """Some, or all."""
        self._is_going_alone = not self._is_going_alone
        await self.load()

    async def do_keep_edit(self) -> None:
        """The form of the schedule."""
        from tui.dialogs import wizards

        await wizards.edit_schedule(self.console, self.subject)
        self.reload()

    async def do_keep_forget(self) -> None:
        """Dry run, plan, name, job."""
        if self._schedule is not None and self._keep is not None:
            await schedule_work.forget_now(self.console, self._schedule, self._keep.requests)
            self.reload()


def _row(fate: Fate) -> Row:
    why = printable(", ".join(fate.reasons))
    taken = f"{fate.created_at.astimezone():%Y-%m-%d %H:%M}"
    cells = (
        "keep" if fate.is_kept else "! go", taken, printable(fate.source), printable(fate.storage), fate.backup_id[:8], why,
    )  # fmt: skip
    order = (cells[0], fate.created_at, fate.source, fate.storage, fate.backup_id, why)
    tone = "" if fate.kept_by == "rule" else "dim" if fate.is_kept else "warning"
    return Row(f"{fate.backup_id or fate.snapshot_id} {fate.storage}", cells, tone, order)


class RulesView(KeepView):
    """The same by rules that a person types and no schedule has, of a source in all its storages or of all sources in a storage: each letter shows
    at once what they would keep and let go. Nothing goes before it was asked for.
    """

    def __init__(self, *, source: str = "", storage: str = "") -> None:
        super().__init__(source or storage)
        self._source, self._storage = source, storage
        self._typed = ""

    @property
    def crumb(self) -> str:
        """For the title row."""
        return f"{self.subject} > rules"

    async def load(self) -> None:
        """Judges all of them by what is typed; before that they all stay."""
        try:
            options = parse(self._typed)
            keep = await self.console.engine.keep_by(options, source=self._source, storage=self._storage)
        except UsageError as error:
            self._keep = None
            self.head.show(
                f"{printable(self.subject)}: {(self._typed and printable(self._typed)) or 'no rules yet'}"
            )
            said = f"{error.message}: {error.hint}" if error.hint else error.message
            self.said.show(
                printable(said if self._typed else f"{keys.of('keep.edit')} types them: {EXAMPLES}"),
                tone="warning",
            )
            self.table.empty = ""
            self.table.show_rows([])
            return
        self.table.empty = "there is no backup that these rules judge"
        self._schedule = Schedule(self.subject, ScheduleAction.FORGET, options=options)
        self.show_fates(keep, "as things are now")

    def why_off(self, action: Action) -> str:
        """They are of no schedule."""
        if action.action_id == "keep.now":
            return "these rules are of no schedule: they judge as things are now"
        if action.action_id == "keep.forget" and (self._keep is None or not self._keep.going):
            if self._keep is not None:
                return "by these rules nothing goes"
            return f"{keys.of('keep.edit')} types rules first"
        return ""

    def type_rules(self, text: str) -> None:
        """Judges by other rules: each letter of the line comes here."""
        if text.strip() != self._typed:
            self._typed = text.strip()
            self.reload()

    async def do_keep_edit(self) -> None:
        """A line, of which each letter counts."""
        await self.console.ask_line(f"keep ({EXAMPLES}): ", self._typed, self.type_rules)


async def type_rules(console: ConsoleApp, *, source: str = "", storage: str = "") -> None:
    """Opens the view, and asks for the rules."""
    view = RulesView(source=source, storage=storage)
    await console.main.pane.push(view)
    # At once: when the line is answered the keys go back to whatever has them now.
    console.screen.set_focus(view.table.list)
    await view.do_keep_edit()
