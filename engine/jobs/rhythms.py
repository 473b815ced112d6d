"""How often each source is to be backed up, in the words of its schedules."""

from __future__ import annotations

from engine.catalog.catalog import Catalog
from engine.jobs import scheduled, ticking
from engine.model.schedules import Action


async def known(catalog: Catalog) -> dict[str, str]:
    """By source, of those that a schedule backs up. One that is paused says so."""
    sources = await ticking.known_of(catalog)
    found: dict[str, list[str]] = {}
    for status in await catalog.timetable.all():
        schedule = status.schedule
        if schedule.is_template or schedule.action is not Action.BACKUP:
            continue
        words = schedule.rhythm or f"after {schedule.after}"
        words += " (paused)" if status.state.pause is not None else ""
        for source in scheduled.chosen(schedule.sources, sources):
            found.setdefault(source.name, []).append(words)
    return {name: "; ".join(words) for name, words in found.items()}
