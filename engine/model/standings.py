"""How each storage stands, and what would be left if it were lost."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.definitions import Storage
from engine.model.storage_results import LogUsage


@dataclass(frozen=True, slots=True)
class StorageStanding:
    """A storage as the catalog and the last look know it; None is not known."""

    storage: Storage
    backups: int
    """That it holds."""
    missing: int
    """That it was meant to take, and lacks."""
    newest_at: datetime.datetime | None
    """Of its newest backup."""
    lag_s: float
    """How far that is behind the newest backup of the sources that it holds, wherever that lies."""
    proved_at: datetime.datetime | None
    """When anything of it was last proved, and passed."""
    used_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    growth_bytes_per_day: float | None = None
    days_until_full: float | None = None
    seen_at: datetime.datetime | None = None
    """When it was last looked at."""
    error: str = ""
    """Why it did not answer then."""
    locks: Sequence[tuple[str, datetime.datetime]] = ()
    """Who held it then, and since when."""
    logs: Sequence[LogUsage] = ()
    """That it holds, by source, as the catalog knows it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be left of the sources that a storage holds, if it were lost."""

    storage: str
    sources: int
    """That it holds."""
    lost: Sequence[str]
    """Sources of which no other storage has anything."""
    older: Sequence[tuple[str, datetime.datetime]]
    """Sources that others have in an older state, and of when; the oldest first."""
    best: str
    """The storage that holds most of the rest; empty where none does."""
    recoverable_to: datetime.datetime | None
    """To which instant everything that is not lost can be brought back; None where all is lost, or there is nothing."""


def loss_of(storage: str, newest: Mapping[str, Mapping[str, datetime.datetime]]) -> Loss:
    """`newest` is by source and storage the instant of the newest backup of all of it that can be restored from there."""
    lost: list[str] = []
    older: list[tuple[str, datetime.datetime]] = []
    counts: dict[str, int] = {}
    others: list[datetime.datetime] = []
    held = {source: places for source, places in newest.items() if storage in places}
    for source, places in held.items():
        rest = {place: at for place, at in places.items() if place != storage}
        if not rest:
            lost.append(source)
            continue
        best_at = max(rest.values())
        others.append(best_at)
        if best_at < places[storage]:
            older.append((source, best_at))
        for place, at in rest.items():
            counts[place] = counts.get(place, 0) + (at == best_at)
    best = max(counts, key=lambda place: (counts[place], place), default="")
    older.sort(key=lambda pair: pair[1])
    return Loss(storage, len(held), sorted(lost), older, best, min(others, default=None))


def lag_s(storage: str, newest: Mapping[str, Mapping[str, datetime.datetime]]) -> float:
    """By how much a storage is behind with the source that it is behind with most; 0 where it is with none."""
    spans = [
        (max(places.values()) - places[storage]).total_seconds()
        for places in newest.values()
        if storage in places
    ]
    return max(spans, default=0.0)
