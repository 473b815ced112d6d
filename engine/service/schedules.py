"""Schedules: defined, looked at, run, paused; one look at what is due; the pause of everything."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from engine.errors import UsageError
from engine.jobs import values
from engine.jobs.known import PAUSE_SETTING, general_pause, known_of
from engine.model.job import Job
from engine.model.names import check_name
from engine.model.schedules import (
    Expected,
    Pause,
    PlannedRun,
    Schedule,
    ScheduledRun,
    ScheduleStatus,
    TickResult,
)
from engine.service.parts import Methods

_MOST_SLICES = 1_000
"""Looks that one tick takes where very much is due at once."""
_MOMENT_S = 0.1
"""So long a worker looks before it sees to its jobs again."""


class ScheduleMethods(Methods):
    """Schedules."""

    async def add_schedule(self, schedule: Schedule) -> ScheduleStatus:
        """Defines a schedule, which counts from now on.

        Raises: UsageError where it could never run, would run after itself, or says what its action does not know; UnknownNameError.
        """
        from engine.jobs import ticking
        from engine.schedule import due

        check_name("schedule", schedule.name)
        await self._require_sound(schedule)
        now = self._parts.clock.now()
        known = await known_of(self._parts.catalog)
        samples = await ticking.samples_of(self._parts.catalog, schedule, known, now)
        await self._parts.catalog.timetable.add(schedule, due.begin(schedule, now, samples))
        await self._parts.write_down("schedule add", schedule.name)
        return await self.show_schedule(schedule.name)

    async def edit_schedule(self, schedule: Schedule) -> ScheduleStatus:
        """Puts this in place of the schedule of the same name. With other times it counts from now on. Raises: as `add_schedule`."""
        from engine.jobs import ticking
        from engine.schedule import due

        old = await self.show_schedule(schedule.name)
        await self._require_sound(schedule)
        state, now = old.state, self._parts.clock.now()
        if due.times(schedule) != due.times(old.schedule):
            known = await known_of(self._parts.catalog)
            samples = await ticking.samples_of(self._parts.catalog, schedule, known, now)
            state = due.begin(schedule, now, samples, old.state.pause)
        await self._parts.catalog.timetable.replace(schedule, state)
        await self._parts.write_down("schedule edit", schedule.name)
        return await self.show_schedule(schedule.name)

    async def schedules(self) -> Sequence[ScheduleStatus]:
        """All schedules, by name."""
        return await self._parts.catalog.timetable.all()

    async def show_schedule(self, name: str) -> ScheduleStatus:
        """One schedule. Raises: UnknownNameError."""
        return await self._parts.catalog.timetable.get(name)

    async def schedule_runs(self, name: str, *, limit: int = 20) -> Sequence[ScheduledRun]:
        """What became of its newest instants, newest first; also of one that is removed."""
        return await self._parts.catalog.timetable.runs(name, limit)

    async def last_runs(self) -> Sequence[ScheduledRun]:
        """What became of the newest instant of each schedule, part by part."""
        found = await self._parts.catalog.timetable.newest_runs()
        return [run for runs in found.values() for run in runs]

    async def remove_schedule(self, name: str) -> None:
        """Forgets a schedule; its jobs and backups stay. Raises: UnknownNameError; UsageError where another one runs after it."""
        await self._parts.catalog.timetable.remove(name)
        await self._parts.write_down("schedule remove", name)

    async def run_schedule(self, name: str) -> Sequence[Job]:
        """Queues a run of it now, whatever its times and pauses, and starts a worker where none lives.

        Raises: UnknownNameError; UsageError for a template, and where there is nothing to do.
        """
        from engine.jobs import ticking

        schedule = (await self.show_schedule(name)).schedule
        if schedule.is_template:
            raise UsageError(
                f"{name} is a template, which never runs",
                hint=f"holdfast schedule add NAME --from-template {name}",
            )
        known = await known_of(self._parts.catalog)
        now = self._parts.clock.now()
        outcomes = ticking.outcomes_of(schedule, now, known, f"by hand, by {self._parts.actor.user}", {})
        if all(each.job is None for each in outcomes):
            raise UsageError(f"schedule {name} has nothing to do: {outcomes[0].run.reason}")
        queued = await self._parts.catalog.timetable.record(outcomes, now)
        await self._parts.write_down("schedule run", name)
        await self.require_worker()
        return [await self._parts.catalog.jobs.get(each) for each in queued]

    async def pause_schedule(
        self, name: str, reason: str, until: datetime.datetime | None = None
    ) -> ScheduleStatus:
        """Lets nothing of it start, for a reason, until then or until it is resumed. Raises: UnknownNameError, UsageError."""
        await self._parts.catalog.timetable.set_pause(name, self._pause(reason, until))
        await self._parts.write_down("schedule pause", name, detail=reason)
        return await self.show_schedule(name)

    async def resume_schedule(self, name: str) -> ScheduleStatus:
        """Ends its pause; what fell into it is not caught up. Raises: UnknownNameError."""
        pause = (await self.show_schedule(name)).state.pause
        await self._parts.catalog.timetable.set_pause(name, self._ended(pause))
        await self._parts.write_down("schedule resume", name)
        return await self.show_schedule(name)

    async def preview_schedules(self, name: str = "", *, count: int = 10) -> Sequence[PlannedRun]:
        """The next runs of a schedule, or of all, with what overlaps them at their hosts. Raises: UnknownNameError."""
        from engine.jobs import preview

        names = [name] if name else [each.schedule.name for each in await self.schedules()]
        if name:
            await self.show_schedule(name)
        ahead = await preview.look_ahead(self._parts.catalog, self._parts.clock.now())
        runs = [run for each in names for run in ahead.runs(each, count)]
        return sorted(runs, key=lambda run: run.at)[:count]

    async def pause(self, reason: str, until: datetime.datetime | None = None) -> Pause:
        """Lets nothing start by itself, for a reason, until then or until it is resumed. What a person starts runs. Raises: UsageError."""

        pause = self._pause(reason, until)
        await self._parts.catalog.settings.put(PAUSE_SETTING, values.to_object(pause))
        await self._parts.write_down("pause", "everything", detail=reason)
        return pause

    async def resume(self) -> Pause | None:
        """Ends the pause of everything; what fell into it is not caught up. None where there was none."""

        pause = await self.present_pause()
        if pause is not None:
            ended = values.to_object(self._ended(pause))
            await self._parts.catalog.settings.put(PAUSE_SETTING, ended)
            await self._parts.write_down("resume", "everything", detail=pause.reason)
        return pause

    async def present_pause(self) -> Pause | None:
        """The pause of everything, where there is one now."""

        pause = await general_pause(self._parts.catalog)
        return pause if pause is not None and pause.covers(self._parts.clock.now()) else None

    async def tick(self, *, is_starting_worker: bool = True) -> TickResult:
        """Looks at all that is due, queues and skips, and starts a worker where something waits for one. Raises: CatalogError."""
        from engine.jobs import ticking

        queued: list[str] = []
        skipped = settled = 0
        for _ in range(_MOST_SLICES):
            result = await ticking.tick(self._parts.catalog, self._parts.clock.now())
            queued += result.queued
            skipped += result.skipped
            settled += result.settled
            is_more = result.next_at is not None and result.next_at <= result.at
            if not is_more or not (result.queued or result.skipped or result.settled):
                break
        if queued and is_starting_worker:
            await self.require_worker()
        return TickResult(result.at, tuple(queued), skipped, result.next_at, settled)

    async def next_tick(self) -> datetime.datetime | None:
        """Looks for a moment, and gives when the next look is due: what a worker calls in its loop, and when a job ended. Starts no worker.

        The copy of the catalog for readers is renewed on this occasion.
        """
        from engine.jobs import reading_copy, ticking

        begun = self._parts.clock.monotonic()
        while True:
            result = await ticking.tick(self._parts.catalog, self._parts.clock.now())
            is_something = bool(result.queued or result.settled)
            is_more = result.next_at is not None and result.next_at <= result.at and is_something
            if not is_more or self._parts.clock.monotonic() - begun >= _MOMENT_S:
                await reading_copy.refresh_now_and_then(self._parts.context())
                return result.next_at

    async def expectations(self) -> Expected:
        """What schedules want of each source, for `status` and `evaluate_alerts`."""
        from engine.jobs import expectations

        return await expectations.expected(self._parts.catalog, self._parts.clock.now())

    def _pause(self, reason: str, until: datetime.datetime | None) -> Pause:
        """Raises: UsageError."""
        now = self._parts.clock.now()
        if not reason.strip():
            raise UsageError(
                "a pause needs a reason: whoever finds nothing running wants to know why",
                hint="--reason TEXT",
            )
        if until is not None and until <= now:
            raise UsageError(
                "the pause would end before it began", hint="say --until 2h, or an instant to come"
            )
        return Pause(now, until, reason)

    def _ended(self, pause: Pause | None) -> Pause | None:
        """The same, over now: what fell into it is still told as paused by whoever looks at it later."""
        now = self._parts.clock.now()
        if pause is None or (pause.until is not None and pause.until <= now):
            return pause
        return Pause(pause.since, now, pause.reason)

    async def _require_sound(self, schedule: Schedule) -> None:
        from engine.jobs import scheduled
        from engine.schedule import due, order

        known = await self._parts.catalog.timetable.all()
        leaders = {each.schedule.name: each.schedule.after for each in known if not each.schedule.is_template}
        order.require_sound(schedule, leaders)
        due.check(schedule, self._parts.clock.now())
        for name in schedule.notify:
            await self._parts.catalog.destinations.get(name)
        scheduled.check(schedule, await known_of(self._parts.catalog))
