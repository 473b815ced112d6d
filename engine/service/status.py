"""Status: what is at risk, over all sources and hosts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from engine.model import status as judging
from engine.model.backup import BackupStatus
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

    async def recent_sizes(self) -> Mapping[str, Sequence[int]]:
        """By source: the sizes of its last backups that can be restored, at most SIZES of them, oldest first. Of those of all of it."""
        return await self._parts.catalog.standing.recent_sizes(judging.SIZES)


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
    return dataclasses.replace(found, pauses=everything.home.pauses), everything


def _row(source: Source, known: judging.SourceFacts) -> judging.SourceStatus:
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
    )
    taken = [each for each in known.backups if each.status is not BackupStatus.FAILED]
    if not taken:
        return row
    return dataclasses.replace(
        row,
        recoverable_to=taken[0].created_at,
        proof=taken[0].proof,
        proven_at=taken[0].proven_at,
        copies=sum(1 for copy in taken[0].copies if copy.snapshot_id),
        backup_id=taken[0].backup_id,
        backup_kind=taken[0].kind,
        size_bytes=taken[0].size_bytes,
        added_bytes=taken[0].added_bytes,
    )
