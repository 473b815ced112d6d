"""What a host may forget of its log: each storage has it that was asked for, and each other one that schedules ship it to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from engine.catalog.catalog import Catalog
from engine.jobs.known import chosen, known_of
from engine.model import logs
from engine.model.logs import LogHoldings
from engine.model.schedules import Action, Schedule
from engine.sources.logs import LogLook, WaitingSegment


async def demanded(catalog: Catalog, source: str) -> tuple[str, ...]:
    """The storages that schedules ship the source's log to, all of which must have a segment before its host forgets it; none where none says."""
    default = (await known_of(catalog)).default_storage
    found = await shipping(catalog, source)
    return tuple(dict.fromkeys(name for each in found for name in each.storages or (default,) if name))


async def shipping(catalog: Catalog, source: str) -> Sequence[Schedule]:
    """The schedules that ship the source's log; templates do not."""
    known = await known_of(catalog)
    return [
        each
        for each in await catalog.schedules.all()
        if each.action is Action.SHIP
        and not each.is_template
        and source in (one.name for one in chosen(each.sources, known))
    ]


async def lacking(
    catalog: Catalog, source: str, asked: Container[str], look: LogLook, left: Iterable[WaitingSegment]
) -> dict[str, set[str]]:
    """By storage that schedules ship to and this shipment did not: the names that must stay on the host for it. Asks the catalog alone."""
    enabled = {each.name for each in await catalog.storages.all() if each.is_enabled}
    others = [each for each in await demanded(catalog, source) if each not in asked and each in enabled]
    if not others:
        return {}
    held = {each.storage: each for each in await catalog.logs.holdings(source)}
    return {name: _missing(held.get(name, LogHoldings(name)), look, left) for name in others}


def _missing(held: LogHoldings, look: LogLook, left: Iterable[WaitingSegment]) -> set[str]:
    """What belongs to a series stays as well: whether it is there the catalog does not say."""
    return {
        each.name
        for each in left
        if each.is_extra or not logs.holds(held.runs, look.identity, each.series, each.number)
    }
