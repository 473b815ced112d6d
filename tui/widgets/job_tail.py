"""The end of a job's log, which grows while it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from textual.containers import Vertical

from engine.errors import UnknownNameError
from engine.model.job import Job
from tui.text import printable
from tui.widgets.line import Line
from tui.widgets.page import Page

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class JobTail(Page):
    """Reads what is new of one job's log; another job begins it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.is_following = True
        self._job_id = ""
        self._number = 0
        self._reading = asyncio.Lock()

    async def tail(self, job_id: str) -> None:
        """Adds what is new. A job that is gone adds nothing."""
        async with self._reading:  # two at once would show the same lines twice
            is_other = job_id != self._job_id
            try:
                lines = await self.console.engine.job_log(job_id, after=0 if is_other else self._number)
            except UnknownNameError:  # it went meanwhile
                lines = []
            told = [f"{line.at.astimezone():%H:%M:%S} {line.message}" for line in lines]
            if is_other:
                self._job_id, self._number = job_id, 0
                self.show(told)
            elif told:
                self.add(told)
            if lines:
                self._number = lines[-1].number


class LogColumn(Vertical):
    """On a terminal that has room for it beside the rest: the log of the newest job that runs, or of the one that ran last."""

    DEFAULT_CSS = "LogColumn { height: 1fr; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self.head = Line(tone="strong")
        self.log_page = JobTail()
        self.log_page.can_focus = False

    def compose(self) -> Iterator[Line | Page]:
        """What job, and its log."""
        yield self.head
        yield self.log_page

    async def follow(self, running: Sequence[Job]) -> None:
        """Reads what is new; `running`: newest first. Closed it reads nothing."""
        if not self.display:
            return
        from tui.job_words import target_of

        engine = cast("ConsoleApp", self.app).engine
        job = next(iter(running or await engine.jobs(limit=1)), None)
        if job is None:
            self.head.show(" log: no job ran yet")
            return
        self.head.show(
            f" log of {printable(f'{job.verb} {target_of(job)}'.rstrip())}: {job.status.value}",
            f"{job.job_id} ",
        )
        await self.log_page.tail(job.job_id)
