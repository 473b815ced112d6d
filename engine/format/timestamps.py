"""Instants as text: Go's RFC3339Nano, which trims the zeros at the end of the fraction and writes UTC as `Z`."""

from __future__ import annotations

import datetime
import re
from typing import Final

from engine.errors import DamagedError

_PATTERN: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def to_text(instant: datetime.datetime) -> str:
    """An aware instant with its own offset."""
    fraction = f"{instant.microsecond:06d}".rstrip("0")
    offset = instant.strftime("%z")
    zone = "Z" if not instant.utcoffset() else f"{offset[:3]}:{offset[3:5]}"
    seconds = instant.replace(microsecond=0, tzinfo=None).isoformat()
    return f"{seconds}.{fraction}{zone}" if fraction else f"{seconds}{zone}"


def from_text(text: str) -> datetime.datetime:
    """The instant, aware, cut to microseconds.

    Raises:
        DamagedError: not RFC 3339, or before the year 1.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise DamagedError(f"not a time: {text[:60]!r}")
    seconds, fraction, zone = match.groups()
    try:
        return datetime.datetime.fromisoformat(
            f"{seconds}.{(fraction or '')[:6]:0<6}{zone.replace('Z', '+00:00')}"
        )
    except ValueError as error:
        raise DamagedError(f"not a time: {text[:60]!r}") from error
