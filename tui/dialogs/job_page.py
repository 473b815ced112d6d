"""One job over the whole screen: its steps, its log as it grows, and what came of it."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from textual.binding import Binding
from textual.containers import Vertical
from textual.widget import Widget

from engine.model.job import Job
from engine.model.text import instant
from tui import keys
from tui.bridge import guarded
from tui.dialogs.base import Dialog
from tui.place import Place, bindings
from tui.text import span
from tui.widgets.page import Page

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_PACE_S: Final = 1.0
"""Between two looks at a log that grows."""


class JobLog(Vertical, Place):
    """The log; what came of the job stands below it."""

    PLACE = "log"
    BINDINGS = bindings("log")

    def __init__(self, bearer: ConsoleApp, job: Job) -> None:
        super().__init__()
        self.page = Page()
        self._bearer, self._job = bearer, job
        self._read: list[tuple[int, datetime.datetime, str]] = []
        self._has_times = True

    def compose(self) -> Iterator[Widget]:
        """A page."""
        yield self.page

    def on_mount(self) -> None:
        """Begins at the end of what still grows, at the beginning of what is over."""
        self.page.is_following = not self._job.status.is_final
        self.page.focus()
        self.run_worker(guarded(self._bearer, self._follow()), exit_on_error=False)

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The job's id, and what prints its log at a shell."""
        return [("job", self._job.job_id), ("command", f"holdfast job log {self._job.job_id}")]

    async def _follow(self) -> None:
        engine = self._bearer.engine
        self.page.show(_head(self._job))
        while True:
            job = await engine.show_job(self._job.job_id)  # first: what is over writes no more lines
            number = self._read[-1][0] if self._read else 0
            lines = await engine.job_log(job.job_id, after=number)
            self._job = job
            added = [(each.number, each.at, each.message) for each in lines]
            self._read += added
            self.page.add([self._shown(each) for each in added])
            if job.status.is_final:
                self.page.add(self._end())
                return
            await asyncio.sleep(_PACE_S)

    def _shown(self, line: tuple[int, datetime.datetime, str]) -> str:
        _, at, message = line
        return f"{at.astimezone():%H:%M:%S} {message}" if self._has_times else message

    def _end(self) -> Sequence[str]:
        job = self._job
        steps = self._bearer.engine.progress_of(job).steps
        lines = [
            f"{each.step:<28} {each.status:<8} {span(each.duration_s):>4}  {each.detail}".rstrip()
            for each in steps
        ]
        at = f", {instant(job.completed_at)}" if job.completed_at is not None else ""
        lines += [f"{job.status.value}{at}", *([job.error] if job.error else [])]
        return ["", *lines, *_flat(job.result)]

    async def do_log_follow(self) -> None:
        """Stays at the end, or not."""
        self.page.is_following = not self.page.is_following
        if self.page.is_following:
            self.page.add([])

    async def do_log_times(self) -> None:
        """With times, or without."""
        self._has_times = not self._has_times
        end = self._end() if self._job.status.is_final else []
        self.page.show([*_head(self._job), *map(self._shown, self._read), *end])


class JobPage(Dialog[bool]):
    """Closed, the job goes on."""

    BINDINGS = [Binding("q", "leave", show=False), Binding("y", "copy", show=False)]  # noqa: RUF012
    DEFAULT_CSS = "JobPage > Vertical { width: 100%; height: 100%; }"

    def __init__(self, console: ConsoleApp, job: Job) -> None:
        super().__init__(
            f"job {job.job_id}, {job.verb}",
            hint=keys.said(
                "{log.follow} follow  {log.times} times  {text.wrap} wrap  {text.search} search  {text.next} {text.previous} next"
                "  y copy  {text.save} to a file  esc back"
            ),
        )
        self._bearer, self._body = console, JobLog(console, job)

    def body(self) -> list[Widget]:
        """The log."""
        return [self._body]

    def action_copy(self) -> None:
        """Its id, or the command line."""
        self._bearer.run_guarded(self._bearer.main.offer(self._body.copyables()), name="copy")


def _head(job: Job) -> Sequence[str]:
    began = f", began {instant(job.started_at)}" if job.started_at is not None else ""
    return [f"asked for {instant(job.created_at)}{began}", *_flat(job.request), ""]


def _flat(values: object, indent: str = "") -> list[str]:
    """A JSON object as lines; what is empty is left out."""
    if not isinstance(values, dict):
        return []
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            inner = _flat(value, indent + "  ")
            lines += [f"{indent}{name}:", *inner] if inner else []
        elif isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
            lines.append(f"{indent}{name}:")
            for each in value:
                lines += (
                    [*_flat(each, indent + "  "), ""] if isinstance(each, dict) else [f"{indent}  {each}"]
                )
        elif value:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            lines.append(f"{indent}{name:<18} {shown}")
    return lines
