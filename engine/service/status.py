"""Status: what is at risk, over all sources and hosts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from engine.model import status as judging
from engine.model.backup import BackupStatus
from engine.model.definitions import Source
from engine.model.health import Health
from engine.model.log_watch import LogGlance
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

    async def recent_sizes(self) -> Mapping[str, Sequence[int]]:
        """By source: the sizes of its last backups that can be restored, at most SIZES of them, oldest first. Of those of all of it."""
        return await self._parts.catalog.standing.recent_sizes(judging.SIZES)


async def overview(
    parts: Parts, expectations: facts.Expectations | None = None
) -> tuple[judging.Status, facts.Everything]:
    """What is at risk, and what is known of everything."""
    everything = await facts.gather(parts, expectations)
    now = parts.clock.now()
    rows = [_row(source, known, now) for source, known in everything.sources]
    uncovered = sum(len(each.what) for each in everything.uncovered)
    alerts = await facts.standing_alerts(parts, now)
    silences = [each for each in await facts.silences_at(parts, now) if each.begins_at <= now < each.ends_at]
    found = judging.Status(now, everything.concerns(parts), rows, uncovered, alerts, silences=silences)
    return dataclasses.replace(found, pauses=everything.home.pauses), everything


def _row(source: Source, known: judging.SourceFacts, now: datetime.datetime) -> judging.SourceStatus:
    row = judging.SourceStatus(
        source=source.name,
        host=source.host,
        kind=source.kind,
        score=known.health.score,
        recoverable_to=None,
        last_status=known.backups[0].status if known.backups else None,
        proof=None,
        proven_at=None,
        copies=0,
        retired=known.retired,
        recovery_point_goal_s=known.objectives.recovery_point_s,
        log=_glance(known, now) if known.log is not None else None,
    )
    taken = [each for each in known.backups if each.status is not BackupStatus.FAILED]
    if not taken:
        return row
    return dataclasses.replace(
        row,
        recoverable_to=_latest(taken[0].created_at, known),
        recovery_point_s=judging.lost_s(known, taken[0], now),
        proof=taken[0].proof,
        proven_at=taken[0].proven_at,
        copies=sum(1 for copy in taken[0].copies if copy.snapshot_id),
        backup_id=taken[0].backup_id,
        backup_kind=taken[0].kind,
        size_bytes=taken[0].size_bytes,
        added_bytes=taken[0].added_bytes,
    )


def _latest(taken_at: datetime.datetime, known: judging.SourceFacts) -> datetime.datetime:
    by_log = known.log.recoverable_to if known.log is not None else None
    return taken_at if by_log is None else max(taken_at, by_log)


def _glance(known: judging.SourceFacts, now: datetime.datetime) -> LogGlance:
    log = known.log
    assert log is not None
    found = LogGlance(log.recoverable_from, log.recoverable_to, log.lost_s(now), log.gaps, len(log.open_gaps))
    state = log.state
    if state is None:
        return found
    return dataclasses.replace(
        found,
        waiting_segments=state.waiting_segments,
        waiting_bytes=state.waiting_bytes,
        free_bytes=state.free_bytes,
        lasts_s=state.lasts_s,
        looked_at=state.polled_at,
        is_failing=bool(state.error or state.unshipped),
    )
