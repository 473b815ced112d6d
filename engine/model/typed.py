"""Values as people type them, on the command line and in the fields of the console, and written again as they would be typed. Pure."""

from __future__ import annotations

import math
import re
from typing import Final

from engine.errors import UsageError
from engine.model.objectives import parse as parse_objectives

_SPANS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
"""restic's endings of sizes, and how far to shift."""
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_REFERENCE: Final = re.compile(r"(env|file|command|vault|systemd):.+", re.DOTALL)
_MOST_DIGITS: Final = 18
"""Of a whole number: more of them is a slip, and Python refuses to read very many."""


def seconds(text: str) -> float:
    """A span in seconds, or with a unit: `90`, `5m`, `2h`. Raises: UsageError."""
    try:
        number = float(text)
    except ValueError:
        return duration(text)
    if not math.isfinite(number) or number < 0:
        raise UsageError(f"{text!r} is no number of seconds")
    return number


def whole_seconds(text: str) -> int:
    """The same, rounded down. Raises: UsageError."""
    return int(seconds(text))


def duration(text: str) -> float:
    """A span with a unit: `30d`, `12h`, `1d12h`. Returns seconds. Raises: UsageError."""
    total, number, rest = 0.0, "", text.strip().lower()
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:].lstrip()
        letters = len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz"))
        unit, rest = rest[:letters], rest[letters:].lstrip()
        try:
            total += float(number) * _SPANS[unit]
        except (KeyError, ValueError):
            raise UsageError(f"{text!r} is no span of time: say 30d or 12h") from None
    if not text.strip():
        raise UsageError("a span of time is missing")
    if not math.isfinite(total):
        raise UsageError(f"{text!r} is no span of time: say 30d or 12h")
    return total


def whole_days(text: str) -> int:
    """`30`, or a span with a unit, as days. Raises: UsageError."""
    return number(text) if text.isdigit() else int(duration(text) // 86400)


def count(text: str) -> int:
    """A whole number of at least 1. Raises: UsageError."""
    if not (_is_number(text) and int(text) > 0):
        raise UsageError(f"{text!r} is no whole number of at least 1")
    return int(text)


def number(text: str) -> int:
    """A whole number of at least 0. Raises: UsageError."""
    if not _is_number(text):
        raise UsageError(f"{text!r} is no whole number")
    return int(text)


def kept(text: str) -> int:
    """How many are kept; `unlimited` and -1 are restic's words for a count that never ends. Raises: UsageError."""
    return -1 if text in ("unlimited", "-1") else number(text)


def size(text: str) -> int:
    """Bytes, at least 1: `500G`, with restic's endings. Raises: UsageError."""
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not (_is_number(digits) and int(digits) and unit in _UNITS):
        raise UsageError(f"{text!r} is no size: say 500M or 2T")
    return int(digits) << _UNITS[unit]


def subset(text: str) -> str:
    """So much of the packs as a schedule keeps it: `1/7`, `10%`, or bytes. Raises: UsageError."""
    if "/" in text or text.endswith("%"):
        return text
    try:
        return str(size(text))
    except UsageError:
        raise UsageError(f"{text!r} is no part of the packs", hint="say 1/7, 10% or 5G") from None


def hours(text: str) -> str:
    """Hours of the day: `08:00-18:00`. Raises: UsageError."""
    if _HOURS.fullmatch(text) is None:
        raise UsageError(f"{text!r} are no hours of the day: say 08:00-18:00")
    return text


def objective(text: str) -> str:
    """`recovery-point=1d` as `recovery-point=86400`. Raises: UsageError."""
    name, _, value = text.partition("=")
    said = value.removesuffix("%") if name == "success" else f"{seconds(value or 'nothing'):g}"
    parse_objectives([f"{name}={said}"])
    return f"{name}={said}"


def is_reference(text: str) -> bool:
    """Whether it says where a secret is kept, and is none itself."""
    return _REFERENCE.fullmatch(text) is not None


def span_word(seconds: float) -> str:
    """A span as it is typed, in one unit: `36h`, `90s`."""
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _SPANS[unit] == 0:
            return f"{seconds / _SPANS[unit]:.0f}{unit}"
    return f"{seconds:.15g}s"


def size_word(size_bytes: int) -> str:
    """Bytes as they are typed: `500G`."""
    for unit in ("T", "G", "M", "K"):
        if size_bytes % (1 << _UNITS[unit]) == 0:
            return f"{size_bytes >> _UNITS[unit]}{unit}"
    return str(size_bytes)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
