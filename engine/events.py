"""What happens while a job runs, as values handed to the `emit` callable that was passed in.

Whoever emits does not know who listens: the command line draws a bar, the runner writes to the catalog, a test keeps a list.
`emit` is called from the event loop's thread, must be quick, and must not raise.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


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
class Kept:
    """What a drill made is kept, and waits for people to look into it: by these commands, on the source's host."""

    until: datetime.datetime
    connect: tuple[str, ...]
    status: str
    """The drill's verdict, which stands."""
    backup_id: str
    report: str


Event = StepBegan | StepEnded | Progress | Warned | Noted | Kept
Emit = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """An `emit` that listens to nothing."""
