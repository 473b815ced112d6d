"""One look at the schedules: what is due becomes jobs or skips, jobs that are over are settled, followers begin.

`tick` is what a worker calls in its loop, and `holdfast tick` for those who have a timer. Several may look at once: each instant is decided in
one transaction with the state that it was judged by, and a job's idempotency key is made of its schedule, instant and part. It looks at a bounded
number of schedules at once, so that ten thousand that are due together neither fill the memory nor hold the catalog for long.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Final

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob
from engine.catalog.schedules import LOADS_KEPT, Decided, FollowedRun, JobRun, Outcome, Settled
from engine.errors import HoldfastError
from engine.jobs import making_up, scheduled, values
from engine.jobs.known import Known, general_pause, is_pattern, known_of
from engine.jobs.scheduled import Part
from engine.jobs.slots import slots_of
from engine.model.job import JobStatus, QueueRule
from engine.model.names import new_id
from engine.model.schedules import (
    Pause,
    RunOutcome,
    Sample,
    Schedule,
    ScheduledRun,
    ScheduleState,
    ScheduleStatus,
    TickResult,
)
from engine.schedule import due, windows
from engine.schedule.zones import zone_of

SLICE: Final = 100
"""Schedules that are decided in one transaction."""
_KEY_DIGITS: Final = 20
_WELL: Final[Mapping[JobStatus, RunOutcome]] = {
    JobStatus.COMPLETED: RunOutcome.COMPLETED,
    JobStatus.INCOMPLETE: RunOutcome.INCOMPLETE,
}
_UNPROVED: Final = ("failed", "damaged", "inconclusive")
"""What a drill or a verification says in its result, where its job itself went well."""


async def tick(catalog: Catalog, now: datetime.datetime) -> TickResult:
    """Looks once. Settles first, so that what is over does not count as running. Raises: CatalogError."""
    look = _Look(catalog, now)
    queued = [*await look.settle(), *await look.start(), *await look.make_up(), *await look.follow()]
    next_at = now if look.has_more else await catalog.timetable.next_at()
    return TickResult(now, tuple(queued), look.skipped, next_at, look.settled)


async def samples_of(
    catalog: Catalog, schedule: Schedule, known: Known, now: datetime.datetime
) -> list[Sample]:
    """What past jobs tell of the best time for it; nothing where it is not smart."""
    if not schedule.timing.is_smart:
        return []
    hosts = scheduled.hosts_of(schedule, known)
    loads = await catalog.timetable.loads(hosts, now - LOADS_KEPT)
    return [*await catalog.timetable.durations(schedule.name), *loads]


def outcomes_of(
    schedule: Schedule, planned_at: datetime.datetime, known: Known, reason: str, busy: Mapping[str, str]
) -> list[Outcome]:
    """The rows of an instant that runs: a job for each part, a skip for one that is still `busy` (part -> why), and for each source that is gone."""
    try:
        parts = scheduled.parts_of(schedule, known)
    except HoldfastError as error:
        return [_skip(schedule, planned_at, error.message)]
    out_of_service = scheduled.retired(schedule, known)
    if not parts and not out_of_service:
        return [_skip(schedule, planned_at, f"no source matches {' '.join(schedule.sources)}")]
    said = "there is no source of that name any more"
    found = [
        _skip(schedule, planned_at, said, each)
        for each in schedule.sources
        if not is_pattern(each) and each not in known.by_name
    ]
    found += [
        _skip(schedule, planned_at, f"the host is retired: {why}", host)
        for host, why in out_of_service.items()
    ]
    for part in parts:
        if part.name in busy:
            found.append(_skip(schedule, planned_at, busy[part.name], part.name))
        else:
            found.append(_start(schedule, planned_at, part, known, reason))
    return found


def _skip(schedule: Schedule, planned_at: datetime.datetime, reason: str, part: str = "") -> Outcome:
    return Outcome(ScheduledRun(schedule.name, planned_at, part, RunOutcome.SKIPPED, reason))


def _start(
    schedule: Schedule, planned_at: datetime.datetime, part: Part, known: Known, reason: str
) -> Outcome:
    """The same instant and part is the same job: no run is done twice to effect."""
    run = ScheduledRun(schedule.name, planned_at, part.name, RunOutcome.OPEN, reason)
    key = key_of(schedule.name, planned_at, part.name)
    slots = slots_of(part.request, known.hosts, known.default_storage, known.enabled)
    request = {**values.to_object(part.request), "schedule": schedule.name}  # for whoever is told of the job
    return Outcome(run, NewJob(new_id(os.urandom), part.verb, request, slots, key, rule=_rule(schedule)))


def key_of(schedule: str, planned_at: datetime.datetime, part: str) -> str:
    """The idempotency key of a run's job: short, for a catalog keeps a million of them, each twice."""
    text = f"{schedule} {planned_at.isoformat()} {part}".encode()
    return f"schedule {hashlib.sha256(text).hexdigest()[:_KEY_DIGITS]}"


def _rule(schedule: Schedule) -> QueueRule:
    timing = schedule.timing
    return QueueRule(most_attempts=timing.retries + 1, retry_s=int(timing.retry_delay_s))


def _until_closing(outcomes: Sequence[Outcome], schedule: Schedule, now: datetime.datetime) -> list[Outcome]:
    """The same, where no attempt begins after the window that is open now."""
    hours, zone = windows.parse(schedule.timing.window), zone_of(schedule.timing.timezone)
    if not hours or not windows.is_open(hours, now, zone):
        return list(outcomes)
    closes = windows.closing(hours, now, zone)
    return [
        each
        if each.job is None
        else dataclasses.replace(
            each, job=dataclasses.replace(each.job, rule=dataclasses.replace(each.job.rule, deadline=closes))
        )
        for each in outcomes
    ]


class _Look:
    """One look: what it found out, and asks once."""

    def __init__(self, catalog: Catalog, now: datetime.datetime) -> None:
        self._catalog = catalog
        self._now = now
        self._known: Known | None = None
        self.skipped = self.settled = 0
        self.has_more = False
        """Whether there is more to settle or to follow than one look takes."""

    async def known(self) -> Known:
        if self._known is None:
            self._known = await known_of(self._catalog)
        return self._known

    async def start(self) -> list[str]:
        """Decides the schedules that are due, the longest first."""
        found = await self._catalog.timetable.due(self._now, self._now + due.SLACK, SLICE)
        if not found:
            return []
        busy = await self._busy([each.schedule.name for each in found])
        general = await general_pause(self._catalog)
        decided = [await self._decide(each, busy.get(each.schedule.name, {}), general) for each in found]
        return await self._write([each for each in decided if each is not None])

    async def _decide(
        self, status: ScheduleStatus, busy: Mapping[str, str], general: Pause | None
    ) -> Decided | None:
        schedule, state = status.schedule, status.state
        if not schedule.rhythm or schedule.is_template:
            # It follows another one, whose instants a wrong clock had put far ahead.
            return Decided(status, ScheduleState(self._now))
        known = await self.known()
        samples = await samples_of(self._catalog, schedule, known, self._now)
        pauses = [each for each in (state.pause, general) if each is not None]
        decision = due.decide(schedule, state, self._now, pauses, samples)
        if decision is None:
            return None
        outcomes: list[Outcome] = []
        for each in decision.dues:
            if not each.is_run:
                skip = _skip(schedule, each.planned_at, each.reason)
                outcomes.append(
                    dataclasses.replace(skip, run=dataclasses.replace(skip.run, last_at=each.last_at))
                )
                continue
            reason = each.reason or (state.moved if each.planned_at == state.planned_at else "")
            started = outcomes_of(schedule, each.planned_at, known, reason, busy)
            outcomes += _until_closing(started, schedule, self._now)
        after = ScheduleState(decision.decided_until, decision.planned_at, decision.next_at, decision.moved)
        return Decided(status, after, outcomes)

    async def make_up(self) -> list[str]:
        """Begins what was missed at hosts that answer again."""

        def begin(status: ScheduleStatus, at: datetime.datetime, known: Known, reason: str) -> list[Outcome]:
            outcomes = outcomes_of(status.schedule, at, known, reason, {})
            return _until_closing(outcomes, status.schedule, self._now)

        async def general() -> Pause | None:
            return await general_pause(self._catalog)

        return await making_up.make_up(self._catalog, self._now, general, self.known, begin)

    async def follow(self) -> list[str]:
        """Begins those whose leader's run is over; of several that are over the newest counts."""
        found = await self._catalog.timetable.followed(self._now + due.SLACK, SLICE)
        self.has_more = self.has_more or len(found) == SLICE
        ready: dict[str, list[FollowedRun]] = {}
        for each in found:
            ready.setdefault(each.schedule, []).append(each)
        if not ready:
            return []
        statuses = await self._catalog.timetable.states(ready)
        busy = await self._busy(list(ready))
        general = await general_pause(self._catalog)
        decided = [
            await self._follow(status, ready[name], busy.get(name, {}), general)
            for name, status in statuses.items()
        ]
        return await self._write(decided)

    async def _follow(
        self,
        status: ScheduleStatus,
        leader: Sequence[FollowedRun],
        busy: Mapping[str, str],
        general: Pause | None,
    ) -> Decided:
        schedule, newest = status.schedule, leader[-1]
        outcomes = [
            _skip(schedule, each.planned_at, f"a later run of {schedule.after} was over already")
            for each in leader[:-1]
        ]
        pauses = [
            each for each in (status.state.pause, general) if each is not None and each.covers(self._now)
        ]
        if pauses:
            outcomes.append(_skip(schedule, newest.planned_at, f"paused: {pauses[0].reason}"))
        elif newest.is_failed or newest.is_skipped:
            what = "failed" if newest.is_failed else "was skipped"
            outcomes.append(
                _skip(schedule, newest.planned_at, f"{schedule.after}, which it runs after, {what}")
            )
        else:
            outcomes += outcomes_of(schedule, newest.planned_at, await self.known(), "", busy)
        return Decided(status, ScheduleState(newest.planned_at), outcomes)

    async def _write(self, decided: Sequence[Decided]) -> list[str]:
        queued = await self._catalog.timetable.decide(decided, self._now)
        self.skipped += sum(1 for one in decided for each in one.outcomes if each.job is None)
        return queued

    async def _busy(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """By schedule and part, why nothing can start: its last job is under way. One that only waits for its next attempt gives way."""
        found: dict[str, dict[str, str]] = {}
        given_up = []
        for each in await self._catalog.timetable.open_runs(names):
            run = each.run
            is_waiting = each.status is JobStatus.QUEUED and each.error_class
            said = f"{each.error}; no other attempt, the next run is due"
            if is_waiting and await self._catalog.jobs.give_up(run.job_id, said):
                given_up.append(Settled(dataclasses.replace(run, outcome=RunOutcome.FAILED, reason=said)))
                continue
            said = f"the run of {run.planned_at:%Y-%m-%d %H:%M} UTC is still under way: job {run.job_id}"
            found.setdefault(run.schedule, {})[run.part] = said
        if given_up:
            await self._catalog.timetable.settle(given_up, self._now)
        return found

    async def settle(self) -> list[str]:
        """Writes down what became of runs whose job is over, and queues what comes after it."""
        ended = await self._catalog.timetable.ended_runs(SLICE)
        self.settled = len(ended)
        self.has_more = self.has_more or len(ended) == SLICE
        if not ended:
            return []
        statuses = await self._catalog.timetable.states(each.run.schedule for each in ended)
        settled = [await self._settled(each, statuses.get(each.run.schedule)) for each in ended]
        return await self._catalog.timetable.settle(settled, self._now)

    async def _settled(self, ended: JobRun, status: ScheduleStatus | None) -> Settled:
        outcome = _WELL.get(ended.status, RunOutcome.FAILED)
        said = str(ended.result.get("status", ""))
        if said in _UNPROVED:
            outcome = RunOutcome.FAILED
        if outcome is RunOutcome.FAILED:
            return Settled(dataclasses.replace(ended.run, outcome=outcome, reason=ended.error or said))
        follow_up = await self._follow_up(ended, status)
        return Settled(dataclasses.replace(ended.run, outcome=outcome), follow_up)

    async def _follow_up(self, ended: JobRun, status: ScheduleStatus | None) -> list[Outcome]:
        if status is None or ended.run.part.startswith("forget "):
            return []
        backups = ended.result.get("backups", ())
        sources = [each["source"] for each in backups if each.get("status") != "failed"]
        if not sources:
            return []
        known = await self.known()
        parts = scheduled.follow_ups(status.schedule, sources, known)
        return [_start(status.schedule, ended.run.planned_at, each, known, "") for each in parts]
