"""What is defined, as schedules name it, and the pause of everything: what a look at them needs, and no more."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.catalog.catalog import Catalog
from engine.catalog.schedules import SourcePlace
from engine.jobs import values
from engine.model.schedules import Pause

PAUSE_SETTING: Final = "pause"


@dataclass(frozen=True)
class Known:
    """What is defined, as far as schedules name it."""

    sources: Sequence[SourcePlace]
    storages: Sequence[str]
    default_storage: str
    enabled: Sequence[str] = ()
    """The storages that are switched on."""

    @functools.cached_property
    def hosts(self) -> Mapping[str, str]:
        """Source -> host."""
        return {each.name: each.host for each in self.sources}

    @functools.cached_property
    def by_name(self) -> Mapping[str, SourcePlace]:
        """The sources: a fleet has thousands, and as many schedules that name one each."""
        return {each.name: each for each in self.sources}


def chosen(patterns: Sequence[str], known: Known) -> list[SourcePlace]:
    """The sources that the names and patterns stand for, each once, in their order: `site`, `web-*`, `host:db*`, `kind:postgres`."""
    found: dict[str, SourcePlace] = {}
    for pattern in patterns:
        if not is_pattern(pattern):
            found |= {pattern: known.by_name[pattern]} if pattern in known.by_name else {}
            continue
        field, colon, rest = pattern.partition(":")
        field, rest = (field, rest) if colon else ("name", pattern)
        matching = [
            each for each in known.sources if fnmatch.fnmatchcase(str(getattr(each, field, "")), rest)
        ]
        found |= {each.name: each for each in matching}
    return list(found.values())


def is_pattern(text: str) -> bool:
    """Whether it may stand for several sources."""
    return bool(set(text) & set("*?[:"))


async def known_of(catalog: Catalog) -> Known:
    """What is defined, as far as schedules name it."""
    storages = await catalog.storages.all()
    default = next((each.name for each in storages if each.is_default), "")
    names = [each.name for each in storages]
    enabled = [each.name for each in storages if each.is_enabled]
    return Known(await catalog.timetable.source_places(), names, default, enabled)


async def general_pause(catalog: Catalog) -> Pause | None:
    """The pause of everything that was set last; it may be over."""
    kept = await catalog.settings.get(PAUSE_SETTING)
    return values.from_object(Pause, kept) if kept else None
