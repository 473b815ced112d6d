"""Of a compliance report: to which instants each source with a log can be brought back, and what drills to such instants took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.jobs.context import JobContext
from engine.model import log_watch
from engine.model.log_watch import LogFacts
from engine.model.objectives import objectives_of
from engine.model.reports import PointLine

LEVEL = "point-in-time"


class Drill(Protocol):
    """What a drill's job says of itself."""

    source: str
    status: str
    level: str
    rto_s: float
    rpo_s: float


async def lines(context: JobContext, drills: Sequence[Drill]) -> tuple[PointLine, ...]:
    """Of every source whose log is to be shipped, or is kept, by name. Raises: CatalogError."""
    watched = {each.source: each for each in await context.catalog.logs.watched()}
    to_instants: dict[str, list[Drill]] = {}
    for each in drills:
        if each.level == LEVEL:
            to_instants.setdefault(each.source, []).append(each)
    found = []
    for source in await context.catalog.sources.all():
        if source.name not in watched and not log_watch.is_logged(source):
            continue
        known = log_watch.facts_of(watched[source.name]) if source.name in watched else LogFacts()
        rehearsed = to_instants.get(source.name, [])
        passed = [each for each in rehearsed if each.status == "passed"]
        found.append(
            PointLine(
                source=source.name,
                recoverable_from=known.recoverable_from,
                recoverable_to=known.recoverable_to,
                lost_s=known.lost_s(context.clock.now()),
                goal_s=objectives_of(source).recovery_point_s,
                gaps=known.gaps,
                drills=len(rehearsed),
                passed=len(passed),
                longest_rto_s=max((each.rto_s for each in passed), default=None),
                longest_rpo_s=max((each.rpo_s for each in passed), default=None),
            )
        )
    return tuple(sorted(found, key=lambda each: each.source))
