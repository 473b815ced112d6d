"""What happens while a job runs, as values handed to the `emit` callable that was passed in; and what of it its row tells whoever follows it.

Whoever emits does not know who listens: the command line draws a bar, the runner writes to the catalog, a test keeps a list.
`emit` is called from the event loop's thread, must be quick, and must not raise.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

MOST_STEPS: Final = 100
"""That a row tells of, the newest: it is written a few times a second."""
_LONGEST_DETAIL: Final = 300


@dataclass(frozen=True, slots=True)
class StepBegan:
    """A named step of a job began."""

    step: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A named step of a job ended."""

    step: str
    status: Literal["ok", "failed", "skipped"]
    duration_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the job is. Totals are None as long as nobody can know them. Sent often; a listener keeps the newest."""

    step: str
    done_bytes: int = 0
    total_bytes: int | None = None
    done_files: int = 0
    total_files: int | None = None
    added_bytes: int = 0
    current: str = ""
    """What is being worked on, printable: a path, a database, a pack."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a person should know and that stops nothing: one sentence, fit for the result's warnings."""

    message: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A line for the expert's log."""

    message: str


@dataclass(frozen=True, slots=True)
class Budgeted:
    """The job has a time that it may take, from its beginning to its last proof."""

    budget_s: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What a drill made is kept, and waits for people to look into it: by these commands, on the source's host."""

    until: datetime.datetime
    connect: tuple[str, ...]
    status: str
    """The drill's verdict, which stands."""
    backup_id: str
    report: str


Event = StepBegan | StepEnded | Progress | Warned | Noted | Budgeted | Kept
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """All that a follower is told. Empty where the job has not said it: amounts are those of the newest `Progress`."""

    step: str = ""
    """That runs, or ran last."""
    step_began_at: datetime.datetime | None = None
    steps: Sequence[StepEnded] = ()
    """Those that ended, with how and how long each took: of a drill and of a plan."""
    steps_left_out: int = 0
    """Older ones than these."""
    budget_s: float | None = None
    """How long it may take, for the whole of it to pass."""
    kept: Kept | None = None
    """Of a drill that waits: what people may look into, and until when."""
    done_bytes: int = 0
    total_bytes: int | None = None
    done_files: int = 0
    total_files: int | None = None
    added_bytes: int = 0
    current: str = ""

    @property
    def newest(self) -> Progress:
        """How far the step is that runs."""
        return Progress(
            self.step,
            self.done_bytes,
            self.total_bytes,
            self.done_files,
            self.total_files,
            self.added_bytes,
            self.current,
        )

    def after(self, event: Event, now: datetime.datetime) -> JobProgress:
        """The same when that has happened; itself where a follower is told nothing of it."""
        match event:
            case Progress():
                amounts = {**dataclasses.asdict(event), "step": event.step or self.step}
                return dataclasses.replace(self, **amounts)
            case StepBegan():
                return dataclasses.replace(_afresh(self), step=event.step, step_began_at=now)
            case StepEnded():
                detail = event.detail
                detail = detail if len(detail) <= _LONGEST_DETAIL else detail[: _LONGEST_DETAIL - 1] + "…"
                steps = (*self.steps, dataclasses.replace(event, detail=detail))
                left_out = max(0, len(steps) - MOST_STEPS)
                return dataclasses.replace(
                    self, steps=steps[left_out:], steps_left_out=self.steps_left_out + left_out
                )
            case Budgeted():
                return dataclasses.replace(self, budget_s=event.budget_s)
            case Kept():
                return dataclasses.replace(self, kept=event)
        return self


def _afresh(progress: JobProgress) -> JobProgress:
    """Without the amounts of the step before."""
    return JobProgress(
        steps=progress.steps,
        steps_left_out=progress.steps_left_out,
        budget_s=progress.budget_s,
        kept=progress.kept,
    )


def ignore(_event: Event) -> None:
    """An `emit` that listens to nothing."""
