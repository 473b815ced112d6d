"""WHEN: an instant as a person writes it. Pure: the present and the zone of this machine come in as arguments.

`2026-11-20`, `2026-11-20 14:05`, `2026-11-20T14:05:30`, each with a zone behind it if one is meant (`Z`, `UTC`, `+02:00`, `Europe/Berlin`);
`14:05`, `14:05:30`: when this machine's clock showed that last; `today 14:05`, `yesterday 14:05:30`; `now`, `today`, `yesterday`; `2h ago`,
`3 days ago`; and for what lies ahead `in 30d`.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable
from typing import Final

from engine.errors import UsageError

OffsetOf = Callable[[datetime.datetime], datetime.timezone]
"""The offset from UTC of this machine's zone at an aware instant: `Clock.local_offset`."""

_HINT: Final = "say 2026-11-20 14:05, with a zone if one is meant, or 2h ago"
_ABSOLUTE: Final = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})(?:[ T](?P<time>\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?))?\s*(?P<zone>Z|[+-]\d{2}:?\d{2}|[A-Za-z][A-Za-z0-9_+/-]*)?",
    re.ASCII,
)
_OF_A_DAY: Final = re.compile(
    r"(?:(?P<day>today|yesterday)(?: +|$))?(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?", re.ASCII
)
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)
_UNITS: Final = {
    name: seconds
    for names, seconds in (
        (("s", "sec", "secs", "second", "seconds"), 1),
        (("m", "min", "mins", "minute", "minutes"), 60),
        (("h", "hour", "hours"), 3600),
        (("d", "day", "days"), 86400),
        (("w", "week", "weeks"), 7 * 86400),
        (("y", "year", "years"), 365 * 86400),
    )
    for name in names
}


def parse(text: str, now: datetime.datetime, offset_of: OffsetOf) -> datetime.datetime:
    """The instant that is meant, aware. `now` is aware. Raises: UsageError."""
    words = text.strip()
    lower = words.lower()
    if lower == "now":
        return now
    of_a_day = _OF_A_DAY.fullmatch(lower)
    if of_a_day is not None and lower:
        return _of_a_day(of_a_day, text, now, offset_of)
    try:
        if lower.endswith("ago"):
            return now - _span(lower.removesuffix("ago"), text)
        if lower.startswith("in "):
            return now + _span(lower.removeprefix("in "), text)
        return _absolute(words, text, offset_of)
    except OverflowError:
        raise UsageError(f"{text!r} is out of all time", hint=_HINT) from None


def parse_ahead(text: str, now: datetime.datetime, offset_of: OffsetOf) -> datetime.datetime:
    """As `parse`, of an instant to come: a span alone, `2d`, counts from now; a time alone is the next one. Raises: UsageError."""
    words = text.strip().lower()
    of_a_day = _OF_A_DAY.fullmatch(words)
    if of_a_day is not None and of_a_day["time"] and not of_a_day["day"]:
        return _of_a_day(of_a_day, text, now, offset_of, is_ahead=True)
    is_span = (
        _SPAN.match(words) is not None
        and _ABSOLUTE.fullmatch(text.strip()) is None
        and not words.endswith("ago")
    )
    try:
        return parse(f"in {words}" if is_span else text, now, offset_of)
    except UsageError as error:
        raise UsageError(f"{text!r} is no instant to come", hint="say 2d, or 2026-11-20 14:05") from error


def _of_a_day(
    found: re.Match[str], text: str, now: datetime.datetime, offset_of: OffsetOf, *, is_ahead: bool = False
) -> datetime.datetime:
    """A time of today or yesterday; of a time alone the last one that is over, or the next one. Raises: UsageError."""
    today = now.astimezone(offset_of(now)).date()
    day = today - datetime.timedelta(days=found["day"] == "yesterday")
    try:
        time = _time(found["time"] or "00:00")
    except ValueError as error:
        raise UsageError(f"{text!r} is no instant: {error}", hint=_HINT) from error
    at = _on_the_wall(datetime.datetime.combine(day, time), offset_of)
    if found["day"] or (at > now) == is_ahead:
        return at
    other = today + datetime.timedelta(days=1 if is_ahead else -1)
    return _on_the_wall(datetime.datetime.combine(other, time), offset_of)


def _time(said: str) -> datetime.time:
    """Raises: ValueError."""
    return datetime.time.fromisoformat(said.replace(",", ".").rjust(len(said) + (said[1] == ":"), "0"))


def _span(words: str, text: str) -> datetime.timedelta:
    total, end = 0.0, 0
    words = words.strip()
    for found in _SPAN.finditer(words):
        if words[end : found.start()].strip() or found[2] not in _UNITS:
            raise UsageError(f"{text!r} is no instant", hint=_HINT)
        total += float(found[1]) * _UNITS[found[2]]
        end = found.end()
    if not end or words[end:].strip():
        raise UsageError(f"{text!r} is no instant", hint=_HINT)
    return datetime.timedelta(seconds=total)


def _absolute(words: str, text: str, offset_of: OffsetOf) -> datetime.datetime:
    found = _ABSOLUTE.fullmatch(words)
    if found is None:
        raise UsageError(f"{text!r} is no instant", hint=_HINT)
    try:
        time = _time(found["time"] or "00:00")
        wall = datetime.datetime.combine(datetime.date.fromisoformat(found["date"]), time)
    except ValueError as error:
        raise UsageError(f"{text!r} is no instant: {error}", hint=_HINT) from error
    zone = found["zone"]
    if zone is None:
        return _on_the_wall(wall, offset_of)
    if zone in ("Z", "z", "UTC", "utc"):
        return wall.replace(tzinfo=datetime.UTC)
    if zone[0] in "+-":
        return wall.replace(tzinfo=_offset(zone, text))
    return _in_zone(wall, zone, text)


def _offset(zone: str, text: str) -> datetime.timezone:
    span = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    if span >= datetime.timedelta(hours=24) or int(zone[-2:]) > 59:
        raise UsageError(f"{text!r} has an offset that no zone has", hint=_HINT)
    return datetime.timezone(-span if zone[0] == "-" else span)


def _in_zone(wall: datetime.datetime, zone: str, text: str) -> datetime.datetime:
    try:
        there = wall.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"there is no zone {zone!r}",
            hint="say UTC, an offset such as +02:00, or one such as Europe/Berlin",
        ) from None
    if there.astimezone(datetime.UTC).astimezone(there.tzinfo).replace(tzinfo=None) != wall:
        raise UsageError(f"{text!r} is passed over by that zone's clocks", hint="say an hour later")
    return there


def _on_the_wall(wall: datetime.datetime, offset_of: OffsetOf) -> datetime.datetime:
    """The instant at which this machine's clock shows `wall`; the first one where it does so twice.

    Raises: UsageError where it never does, for the clocks are put forward over it.
    """
    guess = wall.replace(tzinfo=datetime.UTC)
    day = datetime.timedelta(days=1)
    found = []
    for offset in (offset_of(guess - day), offset_of(guess + day)):
        there = wall.replace(tzinfo=offset)
        if offset_of(there).utcoffset(None) == offset.utcoffset(None):
            found.append(there)
    if not found:
        raise UsageError(
            f"{wall:%Y-%m-%d %H:%M} is passed over by this machine's clock",
            hint="say an hour later, or a zone",
        )
    return min(found)
