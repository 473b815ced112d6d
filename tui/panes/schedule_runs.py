"""The runs of a schedule: what became of each, and the next ones with what overlaps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual import on
from textual.widget import Widget

from engine.model.job import Change
from engine.model.schedules import RunOutcome
from engine.model.timetables import RunRecord
from tui import schedule_work
from tui.actions import Action
from tui.dialogs.confirm import Confirm
from tui.panes import schedule_facts as facts
from tui.panes.base import View
from tui.place import bindings
from tui.text import clock, printable
from tui.widgets.page import Page
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_SHOWN: Final = 300
"""Instants; each may have many parts."""
_COMING: Final = 4


class InstantsView(View):
    """Newest first; Enter opens the log of a job."""

    PLACE = "instants"
    BINDINGS = bindings("instants")
    DEFAULT_CSS = """
    InstantsView > RowTable { height: 1fr; }
    InstantsView > Page { height: 6; border-top: ascii $foreground; }
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.subject = name
        self._records: dict[str, RunRecord] = {}
        self.table = RowTable(
            [
                Column("PLANNED", 16), Column("STARTED", 8, rank=1), Column("TOOK", 6, is_right=True), Column("OUTCOME", 10), Column("PART", 8, is_flexible=True),
                Column("WHY", 16, is_flexible=True), Column("JOB", 14, rank=2),
            ],
            empty="it never ran: {instant.run} runs it now",
        )  # fmt: skip
        self.page = Page()
        self.page.add_class("aside")

    @property
    def crumb(self) -> str:
        """For the title row."""
        return self.subject

    def compose(self) -> Iterator[Widget]:
        """What was above, what comes below."""
        yield self.table
        yield self.page

    def wants(self, change: Change) -> bool:
        """As in the list."""
        is_open = any(each.run.outcome is RunOutcome.OPEN for each in self._records.values())
        return change is Change.STATE or is_open

    async def load(self) -> None:
        """Reads both."""
        engine = self.console.engine
        records = await engine.run_records(self.subject, instants=_SHOWN)
        self._records = {_key(each): each for each in records}
        self.table.show_rows([_row(each) for each in records])
        runs = await engine.preview_schedules(self.subject, count=_COMING)
        said = "nothing is planned: it is a template, or paused without an end"
        lines = ["next runs:", *(schedule_work.run_line(each) for each in runs)] if runs else [said]
        if list(self.page.lines) != lines:
            self.page.show(lines)

    @property
    def current(self) -> RunRecord | None:
        """The one under the cursor."""
        row = self.table.current
        return self._records.get(row.key) if row is not None else None

    def why_off(self, action: Action) -> str:
        """An end can be asked of what is not over."""
        record = self.current
        if action.action_id == "instant.cancel" and (
            record is None or record.run.outcome is not RunOutcome.OPEN
        ):
            return "it is over"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The job, and its log."""
        if self.current is None or not self.current.run.job_id:
            return [("command", f"holdfast schedule show {self.subject}")]
        job_id = self.current.run.job_id
        return [("job", job_id), ("command", f"holdfast job log {job_id}")]

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """The log, or why there was no job."""
        event.stop()
        record = self._records.get(event.row.key)
        if record is not None:
            said = record.run.reason or "it had no job"
            self.console.run_guarded(
                schedule_work.show_log(self.console, record.run.job_id, said), name="log"
            )

    async def do_instant_cancel(self) -> None:
        """After a yes."""
        record = self.current
        if record is None:
            return
        job_id = record.run.job_id
        question = Confirm(
            f"Cancel job {job_id}?", [f"{self.subject} {record.run.part}".strip()], yes="cancel it"
        )
        if await self.console.ask(question):
            is_asked = await self.console.engine.cancel_job(job_id)
            self.console.tell(
                f"job {job_id} was asked to end" if is_asked else f"job {job_id} is over already"
            )

    async def do_instant_run(self) -> None:
        """Now."""
        await schedule_work.run(self.console, [self.subject])
        self.reload()


def _key(record: RunRecord) -> str:
    return f"{record.run.planned_at.timestamp()} {record.run.part}"


def _row(record: RunRecord) -> Row:
    run = record.run
    took = ""
    if record.started_at is not None and record.completed_at is not None:
        took = clock((record.completed_at - record.started_at).total_seconds())
    started = f"{record.started_at.astimezone():%H:%M:%S}" if record.started_at is not None else "-"
    until = f" to {run.last_at.astimezone():%a %H:%M}" if run.last_at is not None else ""
    cells = (
        f"{run.planned_at.astimezone():%Y-%m-%d %H:%M}", started, took, run.outcome.value, printable(run.part),
        printable(f"{run.reason}{until}".strip()), run.job_id,
    )  # fmt: skip
    order = (
        run.planned_at,
        record.started_at or run.planned_at,
        took,
        run.outcome.value,
        run.part,
        run.reason,
        run.job_id,
    )
    return Row(_key(record), cells, facts.outcome_tone(run.outcome), order)
