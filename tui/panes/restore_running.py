"""A drill, restore, plan or rollback while it runs, wherever it was begun: its steps and a stopwatch; then its verdict, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from textual.timer import Timer
from textual.widget import Widget

from engine.model import told
from engine.model.drills import can_be_undone
from engine.model.job import Change, Job
from engine.model.plans import PlanResult
from engine.model.requests import RollbackRequest
from engine.model.results import DrillResult, DrillStep, RestoreResult, RollbackResult
from engine.model.text import counted
from tui import bridge, keys
from tui.actions import Action
from tui.dialogs.confirm import Confirm, TypeName
from tui.dialogs.reader import Reader
from tui.panes import restore_text
from tui.panes.base import View
from tui.place import bindings
from tui.text import moment, printable
from tui.widgets.line import Line
from tui.widgets.page import Page

_BEAT_S: Final = 1.0
"""The stopwatch is drawn no more often."""
_REPORTED: Final = ("drill", "plan")


class RunningView(View, can_focus=True):
    """One job. Leaving the view leaves the job as it is."""

    PLACE = "running"
    BINDINGS = bindings("running")
    DEFAULT_CSS = """
    RunningView > Page { height: auto; max-height: 1fr; }
    RunningView > Line { height: 1; }
    """

    def __init__(self, job: Job, about: str, usual_s: float | None = None) -> None:
        super().__init__()
        self.job = job
        self.about = about
        self._usual_s = usual_s
        self._beat: Timer | None = None
        self.head, self.watch_line = Line(tone="strong"), Line()
        self.steps, self.now_line = Page(is_growing=True), Line()
        self.steps.can_focus = False
        self.steps.is_following = True
        self.verdict, self.after = Line(), Page(is_growing=True)
        self.after.can_focus = False
        self._shown: Sequence[str] | None = None

    @property
    def crumb(self) -> str:
        """The verb and the job."""
        return f"{self.job.verb} {self.job.job_id[:8]}"

    def compose(self) -> Iterator[Widget]:
        """From top to bottom."""
        yield self.head
        yield self.watch_line
        yield Line("")
        yield self.steps
        yield self.now_line
        yield self.verdict
        yield self.after

    def on_mount(self) -> None:
        """Follows the job until its end."""
        self.show()
        self.run_worker(bridge.guarded(self.console, self._follow()), exit_on_error=False)
        self._beat = self.set_interval(_BEAT_S, self._tick)

    def focus_default(self) -> None:
        """The view itself has the keys."""
        self.focus()

    def wants(self, change: Change) -> bool:
        """It follows its job by itself."""
        return False

    async def _follow(self) -> None:
        async for job in self.console.engine.follow_job(self.job.job_id):
            self.job = job
        if self._beat is not None:
            self._beat.stop()
        self.show()
        self.console.main.show_hints()

    def _tick(self) -> None:
        is_seen = self.app.screen is self.console.main and self.console.main.pane.view is self
        if is_seen and not self.console.is_frozen:
            self.show()

    async def load(self) -> None:
        """It came into sight."""
        self.show()

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.job.status.is_final

    @property
    def result(self) -> object | None:
        """What it gave, when it is over."""
        return self.console.engine.result_of(self.job) if self.is_over else None

    # Drawing.

    def show(self) -> None:
        """Draws what changed."""
        now, progress = self.console.now(), self.console.engine.progress_of(self.job)
        self.head.show(
            printable(f"{self.job.verb} of {self.about}   job {self.job.job_id}"),
            self.job.status.value,
            tone="strong",
        )
        self.watch_line.show(restore_text.stopwatch_line(self.job, progress, self._usual_s, now))
        result = self.result
        steps: Sequence[DrillStep] = [
            DrillStep(each.step, each.status, each.duration_s, each.detail) for each in progress.steps
        ]
        if isinstance(result, DrillResult):
            steps = result.steps
        lines = restore_text.step_lines(steps)
        if progress.steps_left_out:
            lines.insert(0, f" … {progress.steps_left_out} steps before these")
        if lines != self._shown:
            self._shown = lines
            self.steps.show(lines)
            self.steps.display = bool(lines)
        self.now_line.display = not self.is_over
        if not self.is_over:
            self.now_line.show(restore_text.running_line(progress, now))
            self._show_kept()
            return
        self._show_end(result)

    def _show_kept(self) -> None:
        kept = self.console.engine.progress_of(self.job).kept
        if kept is None:
            return
        self.now_line.show(
            f" kept until {moment(kept.until, self.console.now())}; {keys.of('running.end')} throws it away now"
        )
        self.verdict.show(f"{kept.status}: look into it by:", tone="strong")
        self._say_after([f"  {each}" for each in kept.connect])

    def _show_end(self, result: object | None) -> None:
        lines: list[str] = []
        verdict, status = "", ""
        match result:
            case DrillResult():
                verdict, status = restore_text.drill_verdict(result), result.status
                lines = restore_text.wrong_lines(result)
                if result.previous is not None:
                    lines.append(f" last time {told.compared(result, result.previous)}")
                lines += [f" {printable(each)}" for each in result.warnings]
            case RestoreResult():
                verdict = "It is done" if result.status == "completed" else f"It is {result.status}"
                lines = [*told.restored(result)]
                lines += [f"  {printable(each)}" for each in result.warnings]
                if can_be_undone(result):
                    lines.append(
                        keys.said(
                            "{running.rollback} rolls it back; {running.discard} lets go what was put aside, when all is well"
                        )
                    )
            case PlanResult():
                verdict, status = told.plan_verdict(result), result.status if result.is_drill else ""
            case RollbackResult():
                verdict = "It is done"
                is_discarding = bool(self.job.request.get("is_discarding"))
                lines = [*told.rolled_back(result, is_discarding=is_discarding)]
            case _:
                verdict = self.job.status.value.upper()
                lines = [
                    self.job.error or "it gave no result",
                    f"Nothing more is done; {keys.of('running.show')} shows the log.",
                ]
        self.verdict.show(verdict, tone=restore_text.tone_of(self.job, status))
        self._say_after(lines)

    def _say_after(self, lines: Sequence[str]) -> None:
        if list(lines) != list(self.after.lines):
            self.after.show(lines)
        self.after.display = bool(lines)

    # Actions.

    def why_off(self, action: Action) -> str:
        """Most need its end; some a certain result."""
        if action.action_id in ("running.end", "running.leave"):
            return "it is over" if self.is_over and action.action_id == "running.end" else ""
        if not self.is_over:
            kept = self.console.engine.progress_of(self.job).kept
            is_there = action.action_id == "running.evidence" and kept is not None
            return "" if is_there else "it still runs"
        if action.action_id == "running.evidence" and not self._report:
            return "it left no evidence"
        if action.action_id in ("running.rollback", "running.discard"):
            result = self.result
            if not isinstance(result, RestoreResult) or not can_be_undone(result):
                return "it put nothing aside that could come back"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Verdict, job, evidence, and the command line that tells the same."""
        found = [("job", self.job.job_id)]
        if self.is_over:
            is_drill = isinstance(self.result, DrillResult | PlanResult)
            found.insert(0, ("verdict", self.verdict.shown if is_drill else self.after.lines[0]))
        if self._report:
            found.append(("evidence", self._report))
        return [*found, ("command", f"holdfast job show {self.job.job_id}")]

    @property
    def _report(self) -> str:
        """The path of its evidence; empty where there is none yet."""
        result = self.result
        if isinstance(result, DrillResult | PlanResult):
            return result.report
        kept = self.console.engine.progress_of(self.job).kept
        return kept.report if kept is not None else ""

    async def do_running_leave(self) -> None:
        """Goes back; the job does not care."""
        await self.console.main.pane.pop()

    async def do_running_end(self) -> None:
        """Asks, then asks the job to end."""
        kept = self.console.engine.progress_of(self.job).kept
        if kept is not None:
            lines = ["Its verdict stands, and its evidence is written."]
            question = Confirm("Throw away what this drill kept?", lines, yes="throw it away")
        else:
            lines = ["What it has made so far is removed, or brought back as it was."]
            question = Confirm(f"End this {self.job.verb}?", lines, yes="end it")
        if await self.console.ask(question):
            is_asked = await self.console.engine.cancel_job(self.job.job_id)
            self.console.tell(
                "asked to end, which takes a moment" if is_asked else "it was over already"
            )  # fmt: skip

    async def do_running_show(self) -> None:
        """The evidence of a drill whole; of anything else its log."""
        from tui.panes.restore_evidence import show_evidence

        if self.job.verb in _REPORTED and self._report and self.job.verb == "drill":
            await show_evidence(self.console, self.job.job_id)
            return
        lines = [
            f"{each.at.astimezone():%H:%M:%S} {each.message}"
            for each in await self.console.engine.job_log(self.job.job_id)
        ]
        said = [self.job.error] if self.job.error else []
        await self.console.ask(
            Reader(f"job {self.job.job_id}, {self.job.verb}: {self.job.status.value}", [*lines, *said])
        )

    async def do_running_evidence(self) -> None:
        """Asks for a folder, and writes it there."""
        from tui.panes.restore_evidence import write_out

        await write_out(self.console, Path(self._report).stem)

    async def do_running_rollback(self) -> None:
        """The plan, the name, the guard, then a job of its own."""
        await self._undo(is_discarding=False)

    async def do_running_discard(self) -> None:
        """The same, for good."""
        await self._undo(is_discarding=True)

    async def _undo(self, *, is_discarding: bool) -> None:
        result = self.result
        assert isinstance(result, RestoreResult)
        verb = "discard" if is_discarding else "rollback"
        title = "LET GO WHAT WAS LIVE BEFORE" if is_discarding else "BRING BACK WHAT WAS LIVE BEFORE"
        lines = [
            *undo_lines(result, is_discarding=is_discarding),
            "",
            f"Same as: holdfast {verb} {self.job.job_id}",
        ]
        question = TypeName(f"{title} the restore of {self.about}", lines, self.about)
        if not await self.console.ask(question) or not await self.console.pass_guard(
            f"running.{'discard' if is_discarding else 'rollback'}"
        ):
            return
        request = RollbackRequest(self.job.job_id, is_discarding)
        job = await self.console.submit("rollback", request, f"{verb} of {self.about}")
        await self.console.main.pane.push(RunningView(job, self.about))


def undo_lines(result: RestoreResult, *, is_discarding: bool) -> list[str]:
    """What a rollback or a discard of it will do."""
    lines = [
        f"{each.aside}, which was {each.into} before, is dropped for good."
        if is_discarding
        else f"{each.aside} becomes {each.into} again; what the restore brought is kept under another name."
        for each in result.databases
        if each.aside
    ]
    if result.safety_backup_id:
        what = f"safety backup {result.safety_backup_id}"
        lines.append(
            f"{what} is deleted: the restore cannot be rolled back any more."
            if is_discarding
            else f"{counted(result.restored_files, 'file')} are brought back from {what}."
        )
    return [printable(each) for each in lines]
