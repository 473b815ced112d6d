"""What a host may forget of its log: each storage has it that was asked for, and each other one that schedules ship it to."""

from __future__ import annotations

from collections.abc import Container, Iterable

from engine.catalog.catalog import Catalog
from engine.jobs.known import chosen, known_of
from engine.model import logs
from engine.model.logs import LogHoldings
from engine.model.schedules import Action
from engine.sources.logs import LogLook, WaitingSegment


async def demanded(catalog: Catalog, source: str) -> tuple[str, ...]:
    """The storages that schedules ship the source's log to, all of which must have a segment before its host forgets it; none where none says."""
    known = await known_of(catalog)
    found = [
        each
        for each in await catalog.schedules.all()
        if each.action is Action.SHIP
        and not each.is_template
        and source in (one.name for one in chosen(each.sources, known))
    ]
    return tuple(
        dict.fromkeys(name for each in found for name in each.storages or (known.default_storage,) if name)
    )


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
