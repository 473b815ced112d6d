"""Status: what is at risk, over all sources and hosts."""

from __future__ import annotations

import dataclasses
import datetime

from engine.jobs import ticking
from engine.model import status as judging
from engine.model.definitions import Source
from engine.model.health import Health
from engine.service import facts
from engine.service.parts import Methods, Parts


class StatusMethods(Methods):
    """How well everything is looked after."""

    async def source_health(self, name: str) -> Health:
        """How well a source is looked after, part by part. Raises: UnknownNameError."""
        source = await self._parts.catalog.sources.get(name)
        return (await facts.of_source(self._parts, source)).health

    async def status(self, expectations: facts.Expectations | None = None) -> judging.Status:
        """What is at risk, and why. Connects to nothing. `expectations` is what schedules want."""
        found, _ = await overview(self._parts, expectations)
        return found


async def overview(
    parts: Parts, expectations: facts.Expectations | None = None
) -> tuple[judging.Status, facts.Everything]:
    """What is at risk, and what is known of everything."""
    everything = await facts.gather(parts, expectations)
    rows = [_row(source, known) for source, known in everything.sources]
    uncovered = sum(len(each.what) for each in everything.uncovered)
    now = parts.clock.now()
    alerts = await facts.standing_alerts(parts, now)
    silences = [each for each in await facts.silences_at(parts, now) if each.begins_at <= now < each.ends_at]
    found = judging.Status(now, everything.concerns(parts), rows, uncovered, alerts, silences=silences)
    return dataclasses.replace(found, pauses=await _pauses(parts, now)), everything


async def _pauses(parts: Parts, now: datetime.datetime) -> list[judging.Paused]:
    """Those that hold: a pause that everybody forgot is why nothing happens, and nothing else tells it."""
    general = await ticking.general_pause(parts.catalog)
    found = [("", general)] + [
        (each.schedule.name, each.state.pause)
        for each in await parts.catalog.timetable.all()
        if not each.schedule.is_template
    ]
    return [
        judging.Paused(name, pause.since, pause.until, pause.reason)
        for name, pause in found
        if pause is not None and pause.covers(now)
    ]


def _row(source: Source, known: judging.SourceFacts) -> judging.SourceStatus:
    restorable = judging.newest(known.backups)
    return judging.SourceStatus(
        source=source.name,
        host=source.host,
        kind=source.kind,
        score=known.health.score,
        recoverable_to=restorable.created_at if restorable is not None else None,
        last_status=known.backups[0].status if known.backups else None,
        proof=restorable.proof if restorable is not None else None,
        proven_at=restorable.proven_at if restorable is not None else None,
        copies=sum(1 for copy in restorable.copies if copy.snapshot_id) if restorable is not None else 0,
        retired=known.retired,
    )
