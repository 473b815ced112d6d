"""Options that many verbs share, and the types of their values."""

from __future__ import annotations

import argparse
import math
import re
from typing import Final

from engine.cli.command import Parser
from engine.model.requests import Limits

_SPANS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
"""restic's endings of sizes, and how far to shift."""
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)


def add_limits(parser: Parser) -> None:
    """Bounds of a job."""
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--wait-lock",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for a locked repository",
    )
    group.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end the job after so long")
    group.add_argument("--limit-upload", type=count, metavar="KIB", help="KiB a second to each storage")
    group.add_argument("--limit-download", type=count, metavar="KIB", help="KiB a second from each storage")


def limits(arguments: argparse.Namespace) -> Limits:
    """What `add_limits` understood."""
    return Limits(arguments.wait_lock, arguments.timeout, arguments.limit_upload, arguments.limit_download)


def add_key(parser: Parser) -> None:
    """The key by which a job is done once."""
    parser.add_argument("--idempotency-key", default="", metavar="KEY", help="the same key twice is one job")


def add_yes(parser: Parser) -> None:
    """The answer to the question of a verb that destroys something."""
    parser.add_argument("--yes", action="store_true", help="answer the question with yes")


def seconds(text: str) -> float:
    """A span in seconds, or with a unit: `90`, `5m`, `2h`."""
    try:
        number = float(text)
    except ValueError:
        return duration(text)
    if not math.isfinite(number) or number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def duration(text: str) -> float:
    """A span with a unit: `30d`, `12h`, `1d12h`. Returns seconds."""
    total, number, rest = 0.0, "", text.strip().lower()
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:].lstrip()
        letters = len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz"))
        unit, rest = rest[:letters], rest[letters:].lstrip()
        try:
            total += float(number) * _SPANS[unit]
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} is no span of time: say 30d or 12h") from None
    if not text.strip():
        raise argparse.ArgumentTypeError("a span of time is missing")
    return total


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def size(text: str) -> int:
    """Bytes, at least 1: `500G`, with restic's endings."""
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not (digits.isascii() and digits.isdigit() and int(digits) and unit in _UNITS):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: say 500M or 2T")
    return int(digits) << _UNITS[unit]


def hours(text: str) -> str:
    """Hours of the day: `08:00-18:00`."""
    if _HOURS.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} are no hours of the day: say 08:00-18:00")
    return text


def number(text: str) -> int:
    """A whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
