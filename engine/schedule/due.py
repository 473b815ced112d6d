"""What becomes of each instant of a schedule, and when the next one starts. Pure: `decide` is given all that it judges by.

No instant is passed over silently: each comes out as a run or as a skip with its reason. None comes out twice: what was decided is behind
`decided_until`, which a clock that is set back does not touch.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError
from engine.model.schedules import CatchUp, Pause, Sample, Schedule, ScheduleState, Timing
from engine.model.spans import span
from engine.schedule import quiet, rhythm, windows
from engine.schedule.zones import wall_of, zone_of

GRACE: Final = datetime.timedelta(minutes=15)
"""A start that is late by no more was not missed: a timer that ticks every few minutes is as good as a worker."""
SLACK: Final = datetime.timedelta(days=2)
"""What was decided so far ahead of now was decided by a clock that was wrong: decisions lie at most a window before their instant."""
MOST_TOLD_APART: Final = 100
"""Missed instants that are told one by one; those before them are one row."""
_FEWEST: Final = datetime.timedelta(hours=1)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_MOST_TRIES: Final = 1_500
"""Instants outside of the windows that are passed over before they count as never inside: four years of daily ones."""


@dataclass(frozen=True, slots=True)
class Due:
    """One instant, and what becomes of it."""

    planned_at: datetime.datetime
    is_run: bool
    reason: str = ""
    last_at: datetime.datetime | None = None
    """Where it stands for all instants from `planned_at` to this one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a schedule."""

    dues: tuple[Due, ...]
    """Oldest first."""
    decided_until: datetime.datetime
    planned_at: datetime.datetime
    next_at: datetime.datetime
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule's times, understood."""

    name: str
    timing: Timing
    rhythm: rhythm.Rhythm
    zone: datetime.tzinfo
    windows: tuple[windows.Window, ...]

    def after(self, instant: datetime.datetime) -> datetime.datetime:
        """The next instant of the rhythm that lies in a window. Raises: UsageError where none ever does."""
        for _ in range(_MOST_TRIES):
            found = self.rhythm.after(instant, self.zone)
            if windows.is_open(self.windows, found, self.zone):
                return found
            instant = windows.next_open(self.windows, found, self.zone) - _MICROSECOND
        raise UsageError(
            f"schedule {self.name} never runs: its rhythm never falls into its window {self.timing.window}",
            hint="let the window hold the times of the rhythm",
        )

    def walk(self, instant: datetime.datetime, until: datetime.datetime) -> Iterator[datetime.datetime]:
        """Its instants in (instant, until]."""
        while (instant := self.after(instant)) <= until:
            yield instant

    def put_off(self, planned: datetime.datetime) -> datetime.datetime:
        """The start of what is planned then, with its jitter: the same each time, and before the next one's."""
        if not self.timing.jitter_s:
            return planned
        room = min(self.timing.jitter_s, (self.after(planned) - planned).total_seconds())
        if self.windows:
            room = min(room, (windows.closing(self.windows, planned, self.zone) - planned).total_seconds())
        digest = hashlib.sha256(f"{self.name} {planned.timestamp():.0f}".encode()).digest()
        return planned + datetime.timedelta(seconds=int.from_bytes(digest[:6]) * room // (1 << 48))

    def start(self, planned: datetime.datetime, samples: Sequence[Sample]) -> quiet.Choice:
        """When what is planned then starts, and why it was moved, or was not."""
        if not self.timing.is_smart:
            return quiet.Choice(self.put_off(planned), "")
        window = (
            windows.opening(self.windows, planned, self.zone),
            windows.closing(self.windows, planned, self.zone),
        )
        at, reason = quiet.quietest(planned, window, samples, self.zone)
        return quiet.Choice(self.put_off(planned) if at == planned else at, reason)


@functools.lru_cache(maxsize=16_384)
def plan_of(name: str, written: str, timing: Timing) -> Plan:
    """The times of a schedule with a rhythm. Raises: UsageError for what nobody could run by."""
    return Plan(name, timing, rhythm.parse(written), zone_of(timing.timezone), windows.parse(timing.window))


def check(schedule: Schedule, now: datetime.datetime) -> None:
    """Raises: UsageError where the schedule could never run by its times."""
    timing = schedule.timing
    plan = plan_of(schedule.name, schedule.rhythm or "hourly", timing)
    if timing.is_smart and not plan.windows:
        raise UsageError(
            "a smart schedule needs a window that it may be moved in", hint="add --window 22:00-06:00"
        )
    for name, value in (
        ("jitter", timing.jitter_s),
        ("retries", timing.retries),
        ("retry delay", timing.retry_delay_s),
    ):
        if value < 0:
            raise UsageError(f"the {name} of schedule {schedule.name} is below 0")
    if schedule.rhythm:
        plan.after(now)


def gap_s(schedule: Schedule, state: ScheduleState) -> float | None:
    """The span between two of its starts, the longer one of the next and the one that is under way; None where it has no rhythm."""
    if not schedule.rhythm or state.planned_at is None:
        return None
    after = plan_of(schedule.name, schedule.rhythm, schedule.timing).after(state.planned_at)
    return max(
        (after - state.planned_at).total_seconds(), (state.planned_at - state.decided_until).total_seconds()
    )


def begin(
    schedule: Schedule, now: datetime.datetime, samples: Sequence[Sample] = (), pause: Pause | None = None
) -> ScheduleState:
    """The state of a schedule from now on: nothing before was meant."""
    if not schedule.rhythm or schedule.is_template:
        return ScheduleState(now, pause=pause)
    plan = plan_of(schedule.name, schedule.rhythm, schedule.timing)
    planned, choice = _next_start(plan, now, now, samples)
    return ScheduleState(now, planned, choice.at, choice.reason, pause)


def decide(
    schedule: Schedule,
    state: ScheduleState,
    now: datetime.datetime,
    pauses: Sequence[Pause] = (),
    samples: Sequence[Sample] = (),
) -> Decision | None:
    """What becomes of what is due, and what comes next; None where nothing is due. `pauses` are all that hold for it, in general too.

    A decision without dues only says when to look again: the clock was set back by days, or the window is closed for what is late.
    """
    plan = plan_of(schedule.name, schedule.rhythm, schedule.timing)
    if state.decided_until > now + SLACK:
        planned, choice = _next_start(plan, now, now, samples)
        return Decision((), now, planned, choice.at, choice.reason)
    if state.next_at is None or state.planned_at is None or state.next_at > now:
        return None
    dues, newest = _planned(plan, state, now)
    late = now - (state.next_at if newest == state.planned_at else plan.put_off(newest))
    verdicts = _paused(dues, now, pauses)
    waiting = [each.planned_at for each in verdicts if each.is_run]
    if waiting and not windows.is_open(plan.windows, now, plan.zone):
        if plan.timing.catch_up is not CatchUp.NONE:
            opens = windows.next_open(plan.windows, now, plan.zone)
            return Decision(
                (), state.decided_until, state.planned_at, opens, "late: it waited for its window"
            )
        late = max(late, 2 * GRACE)
    verdicts = [each for each in verdicts if not each.is_run]
    if waiting:
        verdicts += _caught_up(plan, waiting, late)
    planned, choice = _next_start(plan, newest, now, samples)
    return Decision(
        tuple(sorted(verdicts, key=lambda each: each.planned_at)), newest, planned, choice.at, choice.reason
    )


def upcoming(
    schedule: Schedule, state: ScheduleState, now: datetime.datetime, samples: Sequence[Sample] = ()
) -> Iterator[tuple[datetime.datetime, quiet.Choice]]:
    """What is planned from now on, without end: each instant by the rhythm, and its start."""
    plan = plan_of(schedule.name, schedule.rhythm, schedule.timing)
    planned = max(now, min(state.decided_until, now + SLACK))
    if state.planned_at is not None and state.next_at is not None and state.planned_at > planned:
        planned = state.planned_at
        yield planned, quiet.Choice(max(state.next_at, now), state.moved)
    while True:
        planned = plan.after(planned)
        yield planned, plan.start(planned, samples)


def times(schedule: Schedule) -> tuple[object, ...]:
    """All that decides when it runs: with another one of these it begins anew."""
    return schedule.rhythm, schedule.after, schedule.timing, schedule.is_template


def local(instant: datetime.datetime, schedule: Schedule) -> datetime.datetime:
    """The instant with the offset of the schedule's zone."""
    return instant.astimezone(zone_of(schedule.timing.timezone))


def _next_start(
    plan: Plan, after: datetime.datetime, now: datetime.datetime, samples: Sequence[Sample]
) -> tuple[datetime.datetime, quiet.Choice]:
    planned = plan.after(after)
    choice = plan.start(planned, samples)
    # A quiet time that is over already is none: then it starts where it was planned.
    return (planned, choice) if choice.at > now else (planned, quiet.Choice(max(planned, choice.at), ""))


def _planned(plan: Plan, state: ScheduleState, now: datetime.datetime) -> tuple[list[Due], datetime.datetime]:
    """All instants that are due, oldest first, and the newest of them. More than are told apart are one, in front."""
    assert state.planned_at is not None
    first = state.planned_at
    reach, found = _FEWEST, list[datetime.datetime]()
    while True:
        begins = max(state.decided_until, now - reach)
        found = [
            each for each in plan.walk(begins, max(now, first)) if each <= first or plan.put_off(each) <= now
        ]
        if len(found) > MOST_TOLD_APART or begins == state.decided_until:
            break
        reach *= 4
    if len(found) <= MOST_TOLD_APART:
        found = found or [first]  # what a zone's clock was to show may have changed since it was planned
        return [Due(each, True) for each in found], found[-1]
    older, apart = found[-MOST_TOLD_APART - 1], found[-MOST_TOLD_APART:]
    front = Due(first, False, "missed, with all up to the last of these", older)
    return [front, *(Due(each, True) for each in apart)], found[-1]


def _paused(dues: Sequence[Due], now: datetime.datetime, pauses: Sequence[Pause]) -> list[Due]:
    """The same, where those that a pause covers, or that would start in one, are no runs."""
    present = [each for each in pauses if each.covers(now)]
    found = []
    for each in dues:
        covering = present or [pause for pause in pauses if pause.covers(each.planned_at)]
        is_paused = each.is_run and bool(covering)
        found.append(Due(each.planned_at, False, f"paused: {covering[0].reason}") if is_paused else each)
    return found


def _caught_up(plan: Plan, planned: Sequence[datetime.datetime], late: datetime.timedelta) -> Iterator[Due]:
    """What becomes of these, the newest of which is so late."""
    timing, newest = plan.timing, planned[-1]
    is_on_time = late <= GRACE
    missed = planned[:-1] if is_on_time else planned
    if timing.catch_up is CatchUp.ALL:
        first = max(0, len(missed) - timing.most_caught_up)
        said = f"missed; only the last {timing.most_caught_up} are caught up"
        yield from (Due(each, False, said) for each in missed[:first])
        yield from (Due(each, True, "caught up") for each in missed[first:])
    elif timing.catch_up is CatchUp.ONCE:
        said = f"missed; the run of {wall_of(newest, plan.zone):%Y-%m-%d %H:%M} makes up for it"
        yield from (Due(each, False, said) for each in planned[:-1])
        if not is_on_time:
            yield Due(newest, True, f"caught up, {span(late.total_seconds())} late")
    else:
        yield from (
            Due(each, False, "missed: nothing ran at its time, and nothing is caught up") for each in missed
        )
    if is_on_time:
        yield Due(newest, True)
