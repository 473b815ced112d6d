"""A zone's clock: which instant it shows a wall time at, and where it is put forward or back."""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.errors import UsageError
from engine.model.names import nearest

_ZONES: Final = Path("/usr/share/zoneinfo")
_SECOND = datetime.timedelta(seconds=1)
_DAY = datetime.timedelta(days=1)


@functools.lru_cache(maxsize=256)
def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """The zone of that IANA name. Raises: UsageError, with the nearest known one as hint."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name!r}", hint=_hint(name)) from None


def _hint(name: str) -> str:
    known = zoneinfo.available_timezones()
    lower = {each.lower(): each for each in known}
    if found := lower.get(name.lower().replace(" ", "_")):
        return f"did you mean {found}?"
    cities = {each.rpartition("/")[2].lower(): each for each in sorted(known, reverse=True)}
    word = name.lower().replace(" ", "_")
    near = nearest(word, lower) or nearest(word.rpartition("/")[2], cities)
    return (
        f"did you mean {lower.get(near) or cities[near]}?"
        if near
        else "say UTC, or one such as Europe/Berlin"
    )


def wall_of(instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """What the zone's clock shows then, without a zone."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def offset_at(instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.timedelta:
    """The zone's offset from UTC then."""
    return instant.astimezone(zone).utcoffset() or datetime.timedelta()


def instant_of(wall: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """The first instant, in UTC, at which the zone's clock shows `wall`; where it never does, the one at which it is put forward over it."""
    found = wall.replace(tzinfo=zone, fold=0).astimezone(datetime.UTC)
    if wall_of(found, zone) == wall:
        return found
    # In the gap, fold=1 reckons with the offset after it: an instant before it (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(datetime.UTC)
    return _change_between(before, found, zone)


def first_change(
    after: datetime.datetime, until: datetime.datetime, zone: datetime.tzinfo
) -> datetime.datetime | None:
    """The first instant in (after, until] at which the zone's clock is put forward or back. No zone does both within a day."""
    low = after
    while low < until:
        high = min(low + _DAY, until)
        if offset_at(low, zone) != offset_at(high, zone):
            return _change_between(low, high, zone)
        low = high
    return None


def _change_between(
    low: datetime.datetime, high: datetime.datetime, zone: datetime.tzinfo
) -> datetime.datetime:
    """The first second of the offset that holds at `high`; at `low` another one does."""
    offset = offset_at(high, zone)
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        if offset_at(middle, zone) == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def machine_zone(environment: Mapping[str, str]) -> str:
    """The IANA name of this machine's zone; UTC where it has none."""
    named = environment.get("TZ", "").removeprefix(":")
    if named and (_ZONES / named).is_file():
        return named
    linked = Path("/etc/localtime").resolve()
    if linked.is_relative_to(_ZONES):
        name = str(linked.relative_to(_ZONES)).removeprefix("posix/")
        return "UTC" if name in ("Etc/UTC", "UCT", "Universal", "Zulu") else name
    return "UTC"
