"""Maintenance windows that come again, and when they hold. Pure.

A window begins by the clock of its zone, as a schedule does, and holds for a span of real time: one of four hours that begins before the clocks
change ends four hours later. One whose beginning falls into the hour that is passed over begins at its end.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from engine.errors import UsageError
from engine.model.alerts import MaintenanceWindow, Silence
from engine.schedule import rhythm
from engine.schedule.zones import zone_of

_LOOKED_AHEAD: Final = 32
"""Beginnings whose gaps are looked at: of a list of days or months, more than a round."""
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


def check(window: MaintenanceWindow, now: datetime.datetime) -> None:
    """Raises: UsageError where it never comes, or is never over."""
    found, zone = rhythm.parse(window.every), zone_of(window.timezone)
    if window.duration_s <= 0:
        raise UsageError("a maintenance window needs a length", hint="--for 4h")
    begins = list(itertools.islice(found.walk(now, zone), _LOOKED_AHEAD))
    shortest = min(later - earlier for earlier, later in itertools.pairwise(begins))
    if datetime.timedelta(seconds=window.duration_s) >= shortest:
        raise UsageError(
            f"the window {window.name} would begin again before it is over, and nobody would ever be told",
            hint="let it be shorter, or come less often",
        )
    if window.ends_at is not None and window.begins_at is not None and window.ends_at <= window.begins_at:
        raise UsageError(f"the window {window.name} ends before it begins", hint="--until 2026-12-31")


def occurrence(window: MaintenanceWindow, instant: datetime.datetime) -> Silence | None:
    """The silence that the window makes at that instant; None where it does not hold then."""
    span = datetime.timedelta(seconds=window.duration_s)
    begins = rhythm.parse(window.every).after(instant - span, zone_of(window.timezone))
    ends = begins + span
    begins = max(begins, window.begins_at or begins)
    ends = min(ends, window.ends_at or ends)
    if not begins <= instant < ends:
        return None
    return Silence(window.name, window.subject, window.condition, begins, ends, window.reason, window.made_by)


def upcoming(window: MaintenanceWindow, now: datetime.datetime) -> datetime.datetime | None:
    """When it holds next, with the offset of its zone: now where it does; None where it is over for good."""
    zone = zone_of(window.timezone)
    present = occurrence(window, now)
    if present is not None:
        return present.begins_at.astimezone(zone)
    found = rhythm.parse(window.every).after(max(now, (window.begins_at or now) - _MICROSECOND), zone)
    is_over = window.ends_at is not None and found >= window.ends_at
    return None if is_over else found.astimezone(zone)


def holding(
    silences: Sequence[Silence], windows: Iterable[MaintenanceWindow], instant: datetime.datetime
) -> list[Silence]:
    """The silences with those that windows make at that instant."""
    made = [occurrence(each, instant) for each in windows]
    return [*silences, *(each for each in made if each is not None)]
