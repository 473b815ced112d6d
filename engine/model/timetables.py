"""What became of schedules, and what will: the instants that were, the day ahead, and which backups their rules will let go."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.model.requests import ForgetRequest
from engine.model.results import Fate
from engine.model.schedules import Action, RunOutcome, ScheduledRun

_WORST_FIRST = (
    RunOutcome.FAILED,
    RunOutcome.OPEN,
    RunOutcome.INCOMPLETE,
    RunOutcome.SKIPPED,
    RunOutcome.COMPLETED,
)


def worst(runs: Iterable[ScheduledRun]) -> RunOutcome | None:
    """Of the parts of an instant the outcome that a person must know of; None where there is no part."""
    found = {each.outcome for each in runs}
    return next((each for each in _WORST_FIRST if each in found), None)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A part of an instant, and when its job ran."""

    run: ScheduledRun
    started_at: datetime.datetime | None
    """None: its job did not begin, or is not known any more."""
    completed_at: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Instant:
    """One instant of a schedule, all parts of it together."""

    planned_at: datetime.datetime
    outcome: RunOutcome
    """The worst of its parts."""
    parts: Sequence[RunRecord]

    @property
    def duration_s(self) -> float | None:
        """From the first begin to the last end; None where nothing of it is known to have ended."""
        begins = [each.started_at for each in self.parts if each.started_at is not None]
        ends = [each.completed_at for each in self.parts if each.completed_at is not None]
        return (max(ends) - min(begins)).total_seconds() if begins and ends else None


def instants(records: Iterable[RunRecord]) -> list[Instant]:
    """Records of one schedule, newest first, as instants."""
    found = []
    for planned_at, group in itertools.groupby(records, lambda each: each.run.planned_at):
        parts = list(group)
        outcome = worst(each.run for each in parts)
        assert outcome is not None
        found.append(Instant(planned_at, outcome, tuple(parts)))
    return found


@dataclass(frozen=True, slots=True)
class KeepAhead:
    """What the rules of a schedule will make of the backups there are, by what the catalog knows."""

    schedule: str
    policy: str
    """In words; empty: it lets nothing go."""
    requests: Sequence[ForgetRequest]
    """What it will ask for: one for each source."""
    at: datetime.datetime
    """The instant that is judged for."""
    coming: int
    """Backups that are counted in though they are not taken yet: those of its next run."""
    fates: Sequence[Fate]
    """Of the backups that are there; by storage and source, newest first."""
    going_bytes: int
    """What those that go had added when they were taken: about what a prune frees after them."""

    @property
    def going(self) -> Sequence[Fate]:
        """Those that go."""
        return [each for each in self.fates if not each.is_kept]


@dataclass(frozen=True, slots=True)
class Lane:
    """The starts of one schedule within a day."""

    schedule: str
    action: Action
    starts: Sequence[datetime.datetime]
    lasts_s: float
    overlapping: Sequence[datetime.datetime]
    """Those of its starts that find another schedule at work at the same host."""
    hosts: Sequence[str] = ()
    """The hosts where that is so."""


@dataclass(frozen=True, slots=True)
class DayAhead:
    """What will run until an instant."""

    begin: datetime.datetime
    end: datetime.datetime
    lanes: Sequence[Lane]
    """By name; schedules without a start in that time have one too."""
    busiest_at: datetime.datetime | None = None
    """When most schedules work at one host at once; None where never two do."""
    busiest_host: str = ""
    busiest: int = 0
    """So many."""
    is_whole: bool = True
    """False where there were more starts than were looked at."""
