"""Doubts: what makes a forget stop and ask, for no policy means it. Pure: values in, values out.

Each has a name, by which a person says that it was looked into: `--despite NAME`.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from engine.model.results import Doubt, Fate
from engine.model.spans import days

FUTURE: Final = "future"
CLOCK: Final = "clock"
EMPTYING: Final = "emptying"
UNUSUAL: Final = "unusual"
NAMES: Final = (FUTURE, CLOCK, EMPTYING, UNUSUAL)

_AHEAD: Final = datetime.timedelta(hours=24)
"""A backup from further ahead means that some clock is wrong, and what goes by age with it."""
_STANDSTILL: Final = datetime.timedelta(days=60)
"""Nothing came for so long: more than any usual rhythm, so that the clock may have run ahead and not the time."""
_MANY: Final = 5
"""From so many on it is no handful that a person has in mind."""
_LEAST_UNUSUAL: Final = 10
_TIMES_USUAL: Final = 4
_LEAST_RUNS: Final = 3
"""From so many earlier ones on there is a usual number."""
KEPT_RUNS: Final = 10
"""So many numbers are remembered for each source."""


def doubts(
    storage: str,
    fates: Sequence[Fate],
    now: datetime.datetime,
    newest: datetime.datetime,
    earlier: Mapping[str, Sequence[int]],
) -> list[Doubt]:
    """What is suspicious in what would become of a storage's backups.

    `newest` is when the storage's newest backup was taken, of any source; `earlier` is, by source, how many went in earlier runs, newest
    last.
    """
    going: dict[str, int] = {}
    for fate in fates:
        if not fate.is_kept:
            going[fate.source] = going.get(fate.source, 0) + 1
    found = _from_ahead(storage, fates, now)
    if going and not found and now - newest > _STANDSTILL:
        age = days((now - newest).total_seconds())
        said = f"the newest backup in {storage} is {age} old by this machine's clock, which says {now:%Y-%m-%d %H:%M}: it is wrong, or backups stopped"
        found.append(Doubt(CLOCK, storage, said))
    for source, count in sorted(going.items()):
        if count >= _MANY and not any(each.source == source and each.kept_by == "rule" for each in fates):
            said = f"no rule keeps any of the backups of {source} in {storage}: {count} would go"
            found.append(Doubt(EMPTYING, storage, said))
        usual = _usual(earlier.get(source, ()))
        if usual is not None and count >= max(_LEAST_UNUSUAL, _TIMES_USUAL * usual):
            said = f"{count} backups of {source} in {storage} would go at once, where {usual:g} usually do"
            found.append(Doubt(UNUSUAL, storage, said))
    return found


def _from_ahead(storage: str, fates: Sequence[Fate], now: datetime.datetime) -> list[Doubt]:
    """One in any case: the newest is what spans count from."""
    ahead = [each.created_at for each in fates if each.created_at > now + _AHEAD]
    if not ahead:
        return []
    said = f"{len(ahead)} backups in {storage} are from the future, the first of {min(ahead):%Y-%m-%d %H:%M}: a clock is wrong, here or where they were taken"
    return [Doubt(FUTURE, storage, said)]


def _usual(counts: Sequence[int]) -> float | None:
    return statistics.median(counts) if len(counts) >= _LEAST_RUNS else None


def remembered(earlier: Mapping[str, Sequence[int]], fates: Sequence[Fate]) -> dict[str, list[int]]:
    """The numbers with those of a run added, the oldest ones dropped."""
    kept = {source: list(counts) for source, counts in earlier.items()}
    for source in dict.fromkeys(each.source for each in fates):
        gone = sum(1 for each in fates if each.source == source and not each.is_kept)
        kept[source] = [*kept.get(source, ()), gone][-KEPT_RUNS:]
    return kept
