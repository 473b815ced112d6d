"""Whom schedules name: destinations that are told of a schedule's jobs and of what it looks after, besides all else that they are told.

What a schedule looks after are the sources of a backup, drill or forget with their hosts, and the storages of a verify, prune or copy: an alert
of one of these is its affair, whether or not a job of it showed what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from engine.catalog.catalog import Catalog
from engine.jobs.known import Known, chosen, known_of
from engine.model.alerts import Message
from engine.model.schedules import OF_SOURCES, Action, Schedule


@dataclass(frozen=True, slots=True)
class Named:
    """Destinations, by schedule, and by the subjects of alerts."""

    by_schedule: Mapping[str, Set[str]] = field(default_factory=dict)
    by_subject: Mapping[str, Set[str]] = field(default_factory=dict)

    def of(self, message: Message) -> Set[str]:
        """Who is named for this message, of a job or an alert."""
        if message.facts.get("verb"):
            return self.by_schedule.get(message.facts.get("schedule", ""), frozenset())
        return self.by_subject.get(message.facts.get("subject", ""), frozenset())


async def read(catalog: Catalog) -> Named:
    """Raises: CatalogError."""
    naming = [each for each in await catalog.schedules.all() if each.notify and not each.is_template]
    if not naming:
        return Named()
    known = await known_of(catalog)
    by_subject: dict[str, set[str]] = {}
    for each in naming:
        for subject in subjects_of(each, known):
            by_subject.setdefault(subject, set()).update(each.notify)
    return Named({each.name: frozenset(each.notify) for each in naming}, by_subject)


def subjects_of(schedule: Schedule, known: Known) -> Set[str]:
    """What it looks after, as alerts call it."""
    if schedule.action in OF_SOURCES:
        found = chosen(schedule.sources, known)
        return {f"source {each.name}" for each in found} | {f"host {each.host}" for each in found}
    if schedule.action is Action.REPORT:
        return frozenset()
    storages = schedule.storages or ((known.default_storage,) if known.default_storage else ())
    return {f"storage {each}" for each in storages}
