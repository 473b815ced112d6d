"""Schedules: when what is done by itself, what became of each instant, and what comes next."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from engine.model.definitions import OptionValue
from engine.model.status import Expectation


class Action(StrEnum):
    """What a schedule does."""

    BACKUP = "backup"
    SHIP = "ship"
    """The logs of databases."""
    DRILL = "drill"
    VERIFY = "verify"
    PRUNE = "prune"
    FORGET = "forget"
    COPY = "copy"
    REPORT = "report"


OF_SOURCES: Final = (Action.BACKUP, Action.SHIP, Action.DRILL, Action.FORGET)
"""What is done with sources; all else is done with storages."""


class CatchUp(StrEnum):
    """What becomes of runs that were missed, because nothing ran at their time."""

    NONE = "none"
    ONCE = "once"
    """One run makes up for all of them."""
    ALL = "all"
    """Each is made up for, the newest `Timing.most_caught_up` of them."""


class RunOutcome(StrEnum):
    """What became of one instant."""

    OPEN = "open"
    """Its job waits, for its next attempt too, or runs."""
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    """Also a proof that failed, and a job that was interrupted or cancelled."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing starts by itself."""

    since: datetime.datetime
    until: datetime.datetime | None
    """Exclusive; None: until it is ended."""
    reason: str

    def covers(self, instant: datetime.datetime) -> bool:
        """Whether the instant lies in it."""
        return self.since <= instant and (self.until is None or instant < self.until)


@dataclass(frozen=True, slots=True)
class Timing:
    """When exactly, and what if not."""

    timezone: str = "UTC"
    """The IANA name of the zone whose clock the rhythm and the windows follow."""
    jitter_s: float = 0.0
    """Each start is put off by up to so long, by the same span whenever it is asked for; never beyond the next one."""
    window: str = ""
    """`22:00-06:00,12:00-13:00`: nothing starts outside of these hours. Empty: always."""
    catch_up: CatchUp = CatchUp.ONCE
    most_caught_up: int = 24
    is_smart: bool = False
    """Whether a start is moved within its window to where past durations and loads of the host show the quietest time."""
    retries: int = 3
    """How often a job is tried again that failed by a passing fault, or was interrupted."""
    retry_delay_s: float = 120.0
    """Before the first of them; four times as long before each further one, an hour at most."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """A person's own commands round a job. Lines for a shell, kept with the job: no secret."""

    before: str = ""
    """Where it fails, the job fails before it began."""
    after: str = ""
    """Run when it is over, however it ended."""
    timeout_s: float = 300.0
    is_here: bool = False
    """Whether they run on this machine, and not on the host that the job is about."""

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self.before and not self.after


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is done by itself: at a rhythm, or after each run of another schedule."""

    name: str
    action: Action = Action.BACKUP
    rhythm: str = ""
    """Five fields of cron, or words: `daily at 02:00`."""
    after: str = ""
    """In place of a rhythm: the schedule after whose runs this one runs."""
    sources: tuple[str, ...] = ()
    """Names, or patterns that are looked up at each run: `web-*`, `host:db*`, `kind:postgres`."""
    storages: tuple[str, ...] = ()
    """Where backups go; what is verified, pruned, copied to. Empty: the default one; of a forget all that are enabled."""
    timing: Timing = field(default_factory=Timing)
    hooks: Hooks = field(default_factory=Hooks)
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """The action's own, by the command line's names with `_` for `-`."""
    notify: tuple[str, ...] = ()
    """Destinations that are told of its jobs and of what it looks after, besides all else that they are told."""
    is_template: bool = False
    """Whether it never runs, and others are made from it."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """Where a schedule is: what of it was decided, and what comes next."""

    decided_until: datetime.datetime
    """All instants up to this one are decided. Of a dependent one: the last instant of the other that was."""
    planned_at: datetime.datetime | None = None
    """The next instant by the rhythm. None: there is none, it follows another schedule or is a template."""
    next_at: datetime.datetime | None = None
    """When that one starts: moved, with its jitter."""
    moved: str = ""
    """Why it starts when it does, where it is smart."""
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule with its state."""

    schedule: Schedule
    state: ScheduleState


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """What became of one instant of a schedule, or of a part of it: one host's sources, one source, one storage."""

    schedule: str
    planned_at: datetime.datetime
    part: str = ""
    outcome: RunOutcome = RunOutcome.OPEN
    reason: str = ""
    """Why it was skipped or failed; of a run that was moved, why."""
    job_id: str = ""
    decided_at: datetime.datetime | None = None
    last_at: datetime.datetime | None = None
    """Where the row stands for all instants from `planned_at` to this one: so many were missed that they are not told apart."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another schedule that works at the same host at the same time."""

    host: str
    schedule: str
    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to come."""

    at: datetime.datetime
    """When it starts, with the offset of the schedule's zone."""
    schedule: str
    action: Action
    sources: Sequence[str]
    overlaps: Sequence[Overlap]
    planned_at: datetime.datetime
    """When it would by its rhythm alone."""
    expected_s: float
    """How long it will take, by its last runs."""
    reason: str = ""
    """Why it was moved, or not: of a smart one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a past job tells of its time: how long it took, how busy the host was when it began."""

    at: datetime.datetime
    host: str = ""
    duration_s: float | None = None
    load: float | None = None
    """Processes that ran or waited for a processor or a disk, over a minute."""


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one look at the schedules did."""

    at: datetime.datetime
    queued: Sequence[str]
    """Ids of the jobs that were queued, those that are tried again among them."""
    skipped: int
    next_at: datetime.datetime | None
    """When the next look is due; not after `at` where more is due already than one look takes. None: nothing is planned."""
    settled: int = 0
    """Parts of runs whose job was found to be over."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What all schedules want."""

    sources: Mapping[str, Expectation]
    """By source; one that is not in it is of no schedule."""
    is_worker_wanted: bool
    """Whether something is overdue: neither a worker nor a timer looks."""
