"""How often each source is to be backed up, in the words of its schedules; and which schedules miss what goes."""

from __future__ import annotations

import datetime
from typing import Literal

from engine.catalog.catalog import Catalog
from engine.jobs.known import chosen, general_pause, known_of
from engine.model.schedules import Action


async def known(catalog: Catalog, now: datetime.datetime) -> dict[str, str]:
    """By source, of those that a schedule backs up. One that is paused at that instant, alone or with all others, says so."""
    general = await general_pause(catalog)
    sources = await known_of(catalog)
    found: dict[str, list[str]] = {}
    for status in await catalog.timetable.all():
        schedule = status.schedule
        if schedule.is_template or schedule.action is not Action.BACKUP:
            continue
        words = schedule.rhythm or f"after {schedule.after}"
        pauses = (status.state.pause, general)
        words += " (paused)" if any(each is not None and each.covers(now) for each in pauses) else ""
        for source in chosen(schedule.sources, sources):
            found.setdefault(source.name, []).append(words)
    return {name: "; ".join(words) for name, words in found.items()}


async def naming(catalog: Catalog, name: str, noun: Literal["source", "storage"]) -> list[str]:
    """The schedules that name a source or a storage outright, and would go on without it: each run says that it is missing."""
    return [
        each.schedule.name
        for each in await catalog.timetable.all()
        if name in (each.schedule.sources if noun == "source" else each.schedule.storages)
    ]
