"""What became of schedules, and what they will do: read by whoever looks at them, changed by nobody."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping, Sequence

from engine.model.definitions import OptionValue
from engine.model.schedules import ScheduledRun
from engine.model.timetables import DayAhead, KeepAhead, RunRecord
from engine.service.parts import Methods


class TimetableMethods(Methods):
    """Looks at schedules."""

    async def run_records(self, name: str, *, instants: int = 7) -> Sequence[RunRecord]:
        """The newest instants of a schedule, part by part, newest first, with when their jobs ran."""
        return await self._parts.catalog.timetable.records(name, instants)

    async def run_durations(self, name: str, *, limit: int = 60) -> Sequence[float]:
        """How long its last runs took that ended well, in seconds, newest first."""
        found = await self._parts.catalog.timetable.durations(name, limit)
        return [each.duration_s for each in found if each.duration_s is not None]

    async def skipped_runs(self, since: datetime.datetime, *, limit: int = 200) -> Sequence[ScheduledRun]:
        """What was planned since then, by any schedule, and did not run: missed, paused, or still busy. Newest first."""
        return await self._parts.catalog.timetable.skipped(since, limit)

    async def day_ahead(self, *, hours: float = 24) -> DayAhead:
        """What all schedules will start within so many hours, and where several work at one host at once."""
        from engine.jobs import day_ahead, preview

        now = self._parts.clock.now()
        ahead = await preview.look_ahead(self._parts.catalog, now)
        return await asyncio.to_thread(day_ahead.day_ahead, ahead, now, now + datetime.timedelta(hours=hours))

    async def keep_ahead(self, name: str, *, is_after_next: bool = True) -> KeepAhead:
        """What the rules of a schedule will make of the backups there are, by the catalog alone; `is_after_next` counts the backups of its next
        run in. Raises: UnknownNameError; UsageError for rules that cannot be understood.
        """
        from engine.jobs import keeping_ahead

        status = await self._parts.catalog.timetable.get(name)
        return await keeping_ahead.look_ahead(
            self._parts.catalog, self._parts.clock, status, is_after_next=is_after_next
        )

    async def keep_by(
        self, options: Mapping[str, OptionValue], *, source: str = "", storage: str = ""
    ) -> KeepAhead:
        """What rules that no schedule has would make of the backups of a source, or of all sources in a storage, by the catalog alone; `options`
        as a schedule's. Raises: UnknownNameError; UsageError for rules that cannot be understood, and for none.
        """
        from engine.jobs import keeping_ahead

        return await keeping_ahead.by_rules(
            self._parts.catalog, self._parts.clock, options, source=source, storage=storage
        )
