"""The drawer of jobs: what runs and what ran, over any tab, with the log of the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from textual import on
from textual.containers import Vertical
from textual.widget import Widget

from engine.model.batches import batch_of
from engine.model.job import Job, JobStatus
from engine.model.text import counted
from tui import keys
from tui.actions import ACTIONS, Action
from tui.dialogs.confirm import Confirm
from tui.dialogs.menu import Menu
from tui.place import Place, bindings
from tui.text import age, printable
from tui.widgets.job_tail import JobTail
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_SHOWN = 50
_MOST_SEEN = 500
"""Jobs whose verbs are offered."""
_TONES = {
    JobStatus.FAILED: "risk", JobStatus.INTERRUPTED: "risk", JobStatus.INCOMPLETE: "warning", JobStatus.CANCELLED: "dim",
}  # fmt: skip

_VERDICTS = {"failed": "risk", "damaged": "risk", "inconclusive": "warning"}
"""Of drills and verifications that came to their end: they completed, and it is not well."""


class Drawer(Vertical, Place):
    """Closed it costs nothing."""

    PLACE = "jobs"
    BINDINGS = bindings("jobs")
    DEFAULT_CSS = """
    Drawer { height: 60%; display: none; border-top: ascii $foreground; }
    Drawer.open { display: block; }
    Drawer > RowTable { height: 1fr; }
    Drawer > JobTail { height: 1fr; border-top: ascii $foreground; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self.table = RowTable(
            [
                Column("JOB", 16), Column("VERB", 8), Column("WHAT", 12, is_flexible=True), Column("STATUS", 12), Column("AGE", 4, is_right=True),
            ],
            empty="no job ran yet",
        )  # fmt: skip
        self.tally = Line()
        self.log_page = JobTail()
        self._pages: list[str] = []
        """The last job of each page that was gone through: older ones follow it."""
        self._last = ""
        """Of the page that is seen; empty where none follows."""
        self._batches: Mapping[str, str] = {}
        """By job: the batch that it runs in turn with."""
        self._status: JobStatus | None = None
        self._verb = ""

    def compose(self) -> Iterator[Widget]:
        """Jobs above, the log below; between them how far those are that run one after the other."""
        yield self.table
        yield self.tally
        yield self.log_page

    @property
    def is_open(self) -> bool:
        """Whether it is seen."""
        return self.has_class("open")

    def toggle(self) -> None:
        """Opens or closes it; the keys go to it, or back."""
        self.toggle_class("open")
        self.screen.set_class(self.is_open, "has-drawer")
        if self.is_open:
            self.table.focus()
            self.console.run_guarded(self.refresh_jobs(), name="jobs")
        else:
            self.console.main.pane.view.focus_default()

    async def refresh_jobs(self) -> None:
        """Reads the jobs, and what the log of the current one has new."""
        if not self.is_open:
            return
        now = self.console.now()
        before = self._pages[-1] if self._pages else ""
        jobs = await self.console.engine.jobs(
            status=self._status, verb=self._verb, before=before, limit=_SHOWN
        )
        self._last = jobs[-1].job_id if len(jobs) == _SHOWN else ""
        self._batches = {job.job_id: name for job in jobs if (name := batch_of(job))}
        self.table.show_rows([_row(job, age(job.created_at, now)) for job in jobs])
        await self._show_current()

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """The log of another job."""
        event.stop()
        self.console.run_worker(self._show_current(), group="log", exclusive=True, exit_on_error=False)

    async def _show_current(self) -> None:
        """The log of the job under the cursor, and the tally of those that it runs in turn with."""
        name = self._batch
        self.tally.display = bool(name)
        if name:
            batch = await self.console.engine.batch(name)
            tone = "" if not batch.is_over else "good" if batch.is_passed else "risk"
            self.tally.show(printable(f"  {batch.words()}"), tone=tone)
        if self.table.current is not None:
            await self.log_page.tail(self.table.current.key)

    @property
    def _batch(self) -> str:
        """Of the job under the cursor; empty where it is of none."""
        return self._batches.get(self.table.current.key, "") if self.table.current is not None else ""

    def why_off(self, action: Action) -> str:
        """There must be a job."""
        match action.action_id:
            case "job.narrow":
                return ""
            case "job.newest":
                return "" if self._pages else "these are the newest"
            case "job.cancel_all" if not self._batch:
                return f"it runs for itself: {keys.of('job.cancel')} cancels it"
        return "" if self.table.current is not None else "there is no job here"

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The job's id."""
        row = self.table.current
        return [("job", row.key), ("command", f"holdfast job log {row.key}")] if row is not None else ()

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.perform(ACTIONS["job.open"])

    async def do_job_open(self) -> None:
        """Over the whole screen."""
        from tui.dialogs.job_page import JobPage

        if self.table.current is not None:
            job = await self.console.engine.show_job(self.table.current.key)
            await self.console.ask(JobPage(self.console, job))

    async def do_job_cancel(self) -> None:
        """Asks, then asks the job to end."""
        row = self.table.current
        if row is not None and await self.console.ask(
            Confirm(f"Cancel job {row.key}?", [printable(" ".join(row.cells))], yes="cancel it")
        ):
            is_asked = await self.console.engine.cancel_job(row.key)
            self.console.tell(
                f"job {row.key} was asked to end" if is_asked else f"job {row.key} is over already"
            )

    async def do_job_cancel_all(self) -> None:
        """Asks, then asks those that wait to end, and the one that runs last."""
        batch = await self.console.engine.batch(self._batch)
        if batch.is_over:
            self.console.tell(batch.words())
            return
        lines = [printable(f"{each.verb} {each.about}  {each.status.value}") for each in batch.open[:20]]
        title = f"Cancel {counted(len(batch.open), 'job')} that run one after the other?"
        if await self.console.ask(Confirm(title, lines, yes="cancel them")):
            for each in reversed(batch.open):
                await self.console.engine.cancel_job(each.job_id)
            self.console.tell("they were asked to end")

    async def do_job_again(self) -> None:
        """Asks for the same again, past the guard where that is asked for. Raises: RefusedError."""
        row = self.table.current
        if row is None:
            return
        engine = self.console.engine
        job = await engine.show_job(row.key)
        request = engine.request_again(job)
        lines = [printable(" ".join(row.cells)), *([printable(job.error)] if job.error else [])]
        if not await self.console.ask(Confirm(f"Do job {job.job_id} again?", lines, yes="do it again")):
            return
        if engine.is_guarded(request) and not await self.console.pass_guard("job.again"):
            return
        await self.console.submit(job.verb, request, f"{job.verb} again")
        await self.do_job_newest()

    async def do_job_narrow(self) -> None:
        """Asks for a state or a verb."""
        states = [(f"state {each.value}", f"state {each.value}") for each in JobStatus]
        seen = {job.verb for job in await self.console.engine.jobs(limit=_MOST_SEEN)}
        verbs = [(f"verb {each}", f"verb {each}") for each in sorted(seen)]
        chosen = await self.console.ask(Menu("Show jobs of", [("all", "all"), *states, *verbs]))
        if chosen is None:
            return
        noun, _, name = chosen.partition(" ")
        self._status = JobStatus(name) if noun == "state" else None
        self._verb = name if noun == "verb" else ""
        self._pages = []
        await self.refresh_jobs()
        self.table.focus()

    async def do_job_older(self) -> None:
        """The page behind."""
        if not self._last:
            self.console.tell("there are no older jobs")
            return
        self._pages.append(self._last)
        await self.refresh_jobs()

    async def do_job_newest(self) -> None:
        """The first page."""
        self._pages = []
        await self.refresh_jobs()


def _row(job: Job, old: str) -> Row:
    from tui.job_words import target_of

    status = _status(job)
    tone = _TONES.get(job.status, "") or _VERDICTS.get(status, "")
    return Row(
        job.job_id,
        (job.job_id, job.verb, printable(target_of(job)), status, old),
        tone,
        (job.job_id, job.verb, target_of(job), status, job.created_at),
    )


def _status(job: Job) -> str:
    """How it ended; of one that did all it was to do, and found something wrong, what it found."""
    verdict = str(job.result.get("status", ""))
    return verdict if job.status is JobStatus.COMPLETED and verdict in _VERDICTS else job.status.value
