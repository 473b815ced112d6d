"""Rhythms: what a person writes (`0 2 * * 1-5`, `daily at 02:00`, `every 15 minutes`), and the instants that it means in a zone."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import UsageError
from engine.model.names import nearest
from engine.schedule import words
from engine.schedule.zones import first_change, instant_of, offset_at, wall_of

_FIELDS: Final = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31 or L"),
    ("month", "1-12 or jan-dec"),
    ("day of the week", "0-7 or sun-sat"),
)
_RANDOM: Final = re.compile(r"(?i)(?:^|,)[rh](?:[(/,]|$)")
"""Fields of other programs that mean another time on each machine or at each look."""
_SECONDS: Final = re.compile(r"\d ?(?:s|sec|secs|seconds)\b|\bevery second$")
_MOST_YEARS: Final = 10
"""29 February comes after eight years at the latest, about 2100."""
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SECOND: Final = datetime.timedelta(seconds=1)
_EXAMPLES: Final = "say five fields as in `0 2 * * 1-5`, or `hourly`, `daily at 02:00`, `weekly on monday at 03:00`, `monthly`, `every 15 minutes`"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What was written, understood."""

    expression: str
    """Five fields of cron; empty where it is a number of minutes."""
    day_step: int = 1
    """Of the days that the expression names, every so manieth is meant, counted from 1 January of year 1."""
    step_minutes: int = 0
    """In place of an expression: every so many minutes of real time, counted from 1970."""
    is_real_time: bool = False
    """Whether it follows real time: it names no hour."""

    def after(self, instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
        """The first instant of it, in UTC, that is later than `instant`."""
        instant = instant.astimezone(datetime.UTC)
        if self.step_minutes:
            step = datetime.timedelta(minutes=self.step_minutes)
            return _EPOCH + ((instant - _EPOCH) // step + 1) * step
        return self._real_after(instant, zone) if self.is_real_time else self._wall_after(instant, zone)

    def walk(self, instant: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
        """All instants of it after `instant`, without end."""
        while True:
            instant = self.after(instant, zone)
            yield instant

    def _wall_after(self, instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
        wall = wall_of(instant, zone)
        while True:
            wall = self._next_wall(wall)
            # Instants grow with wall times; several of a gap are one instant, and those of the fold's second coming are past.
            found = instant_of(wall, zone)
            if found > instant:
                return found

    def _real_after(self, instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
        while True:
            found = self._next_wall(wall_of(instant, zone)).replace(tzinfo=datetime.UTC) - offset_at(
                instant, zone
            )
            change = first_change(instant, found, zone)
            if change is None:
                return found
            wall = wall_of(change, zone)
            if self._next_wall(wall - _SECOND) == wall:
                return change
            instant = change

    def _next_wall(self, wall: datetime.datetime) -> datetime.datetime:
        """The next wall time that the expression names."""
        walker = _walker(self.expression)
        wall = wall.replace(microsecond=0)
        while True:
            wall = walker.get_next(datetime.datetime, start_time=wall)
            if wall.toordinal() % self.day_step == 0:
                return wall


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Rhythm:
    """What was written, understood. Raises: UsageError where nobody could run by it, with the nearest known words as hint."""
    written = " ".join(text.lower().split())
    if not written:
        raise UsageError("a rhythm is missing", hint=_EXAMPLES)
    found = words.understood(written)
    if found is not None:
        if not found.step_minutes:
            return Rhythm(found.expression, found.day_step, is_real_time=_names_no_hour(found.expression))
        return Rhythm("", step_minutes=found.step_minutes, is_real_time=True)
    if _SECONDS.search(written):
        raise UsageError(f"{text!r} counts seconds: a rhythm counts minutes", hint="say `every minute`")
    if not _is_expression(written):
        near = nearest(written, words.EXAMPLES)
        raise UsageError(
            f"{text!r} is no rhythm", hint=f"did you mean `{near}`? Or {_EXAMPLES}" if near else _EXAMPLES
        )
    _require_fields(written, text)
    _require_possible(written, text)
    return Rhythm(written, is_real_time=_names_no_hour(written))


def _is_expression(written: str) -> bool:
    """Whether it is meant as one: five parts, the first of which is a minute."""
    parts = written.split(" ")
    return len(parts) in (5, 6, 7) and re.fullmatch(r"[0-9*?/,rh().-]+", parts[0]) is not None


def _require_fields(written: str, text: str) -> None:
    from croniter import croniter  # 70 ms that only those pay who look at a schedule

    parts = written.split(" ")
    if len(parts) != len(_FIELDS):
        raise UsageError(
            f"{text!r} has {len(parts)} fields, and five are known here",
            hint="minute, hour, day of the month, month, day of the week",
        )
    for position, (part, (field, range_)) in enumerate(zip(parts, _FIELDS, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[position] = part
        try:
            is_good = not _RANDOM.search(part) and bool(croniter.expand(" ".join(alone)))
        except (ValueError, KeyError):
            is_good = False
        if not is_good:
            raise UsageError(
                f"{part!r} in {text!r} is no {field}",
                hint=f"a {field} is {range_}, `*`, `*/2`, lists and ranges",
            )


def _require_possible(written: str, text: str) -> None:
    from croniter import CroniterError

    try:
        _walker(written).get_next(datetime.datetime, start_time=datetime.datetime(2000, 1, 1))  # noqa: DTZ001 -- a wall time
    except CroniterError:
        raise UsageError(
            f"{text!r} never comes: no such day is in any of those months",
            hint="`L` is the last day of each month",
        ) from None


def _names_no_hour(expression: str) -> bool:
    from croniter import croniter

    hours = croniter.expand(expression)[0][1]
    return hours == ["*"] or len(hours) == 24


@functools.lru_cache(maxsize=4096)
def _walker(expression: str) -> Any:
    """croniter's object for the expression, which every question gives its own start. Not for several threads."""
    from croniter import croniter

    return croniter(expression, datetime.datetime(2000, 1, 1), max_years_between_matches=_MOST_YEARS)  # noqa: DTZ001
