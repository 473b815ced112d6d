"""Plain words for rhythms: `hourly`, `daily at 02:00`, `weekly on monday at 03:00`, `monthly on the last day`, `every 15 minutes`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from engine.errors import UsageError

EXAMPLES: Final = (
    "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "daily at 02:00", "weekly on monday at 03:00", "monthly on the last day",
    "every 15 minutes", "every 6 hours", "every 2 days", "weekdays at 22:00", "weekends at 04:00", "hourly at :15",
)  # fmt: skip
"""What a mistake is compared with."""

_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAY: Final = "(?:" + "|".join(f"{day[:3]}(?:{day[3:]})?s?" for day in _DAYS) + ")"
_LIST: Final = rf"(?P<days>{_DAY}(?:(?:, ?| and |,? and ){_DAY})*)"
_AT: Final = r"(?: (?:at )?(?P<at>\d{1,2}:\d{2}|midnight|noon))?"
_ALIASES: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""cron's own."""


class Understood(NamedTuple):
    """An expression, and what no expression can say."""

    expression: str
    day_step: int = 1
    step_minutes: int = 0


def understood(written: str) -> Understood | None:
    """What the words mean; None where they are none of these. `written` is in lower case, with single spaces. Raises: UsageError."""
    if written in _ALIASES:
        return Understood(_ALIASES[written])
    for pattern, meaning in _PATTERNS:
        found = re.fullmatch(pattern, written, re.ASCII)
        if found is not None:
            return meaning(found)
    return None


def _time(found: re.Match[str]) -> str:
    """Minute and hour, as fields. Raises: UsageError."""
    at = found["at"] or "midnight"
    hour, minute = {"midnight": (0, 0), "noon": (12, 0)}.get(at) or map(int, at.split(":"))
    if hour > 23 or minute > 59:
        raise UsageError(f"{at!r} is no time of the day", hint="say 02:00, at most 23:59")
    return f"{minute} {hour}"


def _hourly(found: re.Match[str]) -> Understood:
    minute = int(found["minute"] or 0)
    if minute > 59:
        raise UsageError(f"an hour has no minute {minute}", hint="say hourly at :15")
    return Understood(f"{minute} * * * *")


def _weekly(found: re.Match[str]) -> Understood:
    named = re.findall(_DAY, found["days"] or "monday")
    numbers = sorted({next(n for n, day in enumerate(_DAYS) if day[:3] == each[:3]) for each in named})
    return Understood(f"{_time(found)} * * {','.join(map(str, numbers))}")


def _monthly(found: re.Match[str]) -> Understood:
    day = found["day"] or ("L" if found["last"] else "1")
    if day != "L" and not 1 <= int(day) <= 28:
        raise UsageError(
            f"not every month has a day {day}", hint="say a day up to 28, or `monthly on the last day`"
        )
    return Understood(f"{_time(found)} {day} * *")


def _every(found: re.Match[str]) -> Understood:
    count, unit = int(found["count"] or 1), found["unit"]
    if not count:
        raise UsageError(f"{found[0]!r} has no length", hint="say every 15 minutes")
    if unit == "day":
        if count > 366:
            raise UsageError(f"{found[0]!r} is more than a year", hint="say yearly")
        return Understood(f"{_time(found)} * * *", day_step=count)
    if found["at"]:
        raise UsageError(
            f"{found[0]!r} names one time of the day for several",
            hint="leave `at` out, or say `daily at 02:00`",
        )
    if unit == "minute" and 60 % count == 0:
        return Understood(f"*/{count} * * * *" if count < 60 else "0 * * * *")
    if unit == "hour" and 24 % count == 0:
        return Understood(
            f"0 */{count} * * *" if 1 < count < 24 else "0 * * * *" if count == 1 else "0 0 * * *"
        )
    minutes = count if unit == "minute" else count * 60
    if minutes > 366 * 1440:
        raise UsageError(f"{found[0]!r} is more than a year", hint="say yearly")
    return Understood("", step_minutes=minutes)


_PATTERNS: Final[tuple[tuple[str, Callable[[re.Match[str]], Understood]], ...]] = (
    (r"(?:hourly|every hour)(?: at :?(?P<minute>\d{1,2}))?", _hourly),
    (rf"(?:daily|every day|nightly){_AT}", lambda found: Understood(f"{_time(found)} * * *")),
    (rf"(?:every )?(?:weekday|week day)s?{_AT}", lambda found: Understood(f"{_time(found)} * * 1-5")),
    (rf"(?:every )?weekends?{_AT}", lambda found: Understood(f"{_time(found)} * * 0,6")),
    (rf"(?:weekly|every week)(?: on {_LIST})?{_AT}", _weekly),
    (rf"(?:every |on )?{_LIST}{_AT}", _weekly),
    (
        rf"(?:monthly|every month)(?: on (?:the |day )?(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?|(?P<last>last)(?: day)?))?{_AT}",
        _monthly,
    ),
    (rf"(?:quarterly|every quarter){_AT}", lambda found: Understood(f"{_time(found)} 1 1,4,7,10 *")),
    (rf"(?:yearly|every year|annually){_AT}", lambda found: Understood(f"{_time(found)} 1 1 *")),
    (rf"every(?: (?P<count>\d{{1,6}}))? (?P<unit>minute|hour|day)s?{_AT}", _every),
)
"""Compiled when a word is looked for: a rhythm of five fields needs none of them."""
