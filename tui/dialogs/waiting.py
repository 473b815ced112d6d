"""A job that is waited for: how far it is, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.widget import Widget

from engine.model.job import Job
from tui.bridge import guarded
from tui.dialogs.base import Dialog
from tui.widgets.line import Line

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class Waiting(Dialog[Job]):
    """The answer is the job when it is over; None for who did not wait, and then the job goes on."""

    BINDINGS = [Binding("x", "cancel", show=False)]  # noqa: RUF012 -- Textual's own way

    def __init__(self, console: ConsoleApp, job: Job, title: str) -> None:
        super().__init__(title, hint="esc leave it running    x cancel it")
        self._bearer, self._job = console, job
        self._line = Line(f"job {job.job_id} waits for its turn")

    def body(self) -> list[Widget]:
        """One line."""
        return [self._line]

    def on_mount(self) -> None:
        """Follows the job."""
        self.run_worker(guarded(self._bearer, self._follow()), exit_on_error=False)

    async def _follow(self) -> None:
        from tui.job_words import job_line

        async for now in self._bearer.engine.follow_job(self._job.job_id):
            self._line.show(job_line(now, self._bearer.now()))
            self._job = now
        self.dismiss(self._job)

    def action_cancel(self) -> None:
        """Asks the job to end; it is waited for still."""
        self.run_worker(guarded(self._bearer, self._cancel()), exit_on_error=False)

    async def _cancel(self) -> None:
        await self._bearer.engine.cancel_job(self._job.job_id)
        self.say("asked to end    esc leave it running")
