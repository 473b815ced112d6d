"""Values as a narrow column shows them. All that comes from hosts and repositories passes `printable` before it is shown."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from typing import Final

from engine.model.amounts import size
from engine.model.backup import Proof
from engine.model.text import columns, padded, printable, shortened

__all__ = [
    "age",
    "bar",
    "clock",
    "columns",
    "differing",
    "fit",
    "fit_end",
    "in_ascii",
    "ladder",
    "levels",
    "moment",
    "padded_ends",
    "parts_in",
    "printable",
    "short_size",
    "size",
    "span",
]

_LEVELS: Final = "_.-=+#"
"""Sizes against their median, lowest first; ASCII."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_OF: Final = {"…": "~", **dict(zip(_BLOCKS, "__.--=+#", strict=True))}
_DAY: Final = datetime.timedelta(days=1)


def fit(text: str, width: int, *, is_right: bool = False) -> str:
    """The text in exactly so many columns."""
    return padded(shortened(text, width), width, is_right=is_right)


def fit_end(text: str, width: int) -> str:
    """The end of a text in exactly so many columns."""
    if columns(text) <= width:
        return padded(text, width)
    while text and columns(text) >= width:
        text = text[max(1, columns(text) - width) :] if text.isascii() else text[1:]
    return padded("…" + text, width)


def padded_ends(left: str, right: str, width: int) -> str:
    """One text on the left and one on the right of so many columns; the right one alone where both do not fit."""
    gap = width - columns(left) - columns(right)
    return left + " " * gap + right if gap > 0 else padded(right, width, is_right=True)


def parts_in(left: Sequence[tuple[str, str]], right: str, width: int) -> list[tuple[str, str]]:
    """A line of texts with their tones, in exactly so many columns: what is on the left is shortened, what is on the right is not."""
    room = max(0, width - columns(right) - (1 if right else 0))
    parts: list[tuple[str, str]] = []
    for text, tone in left:
        part = shortened(text, room) if room else ""
        room -= columns(part)
        parts.append((part, tone))
    gap = max(0, width - sum(columns(text) for text, _ in parts) - columns(right))
    return [*parts, (padded("", gap) + shortened(right, width), "")]


def differing(was: str, now: str, width: int) -> tuple[int, int]:
    """From which column to which, of a line of so many, another text must be drawn over one. Of letters that are not one column wide: all."""
    if not (was.isascii() and now.isascii()):
        return 0, width
    was, now = was.ljust(width), now.ljust(width)
    places = [place for place, (old, new) in enumerate(zip(was, now, strict=False)) if old != new]
    return (places[0], min(places[-1] + 1, width)) if places and places[0] < width else (0, 0)


def short_size(count: float | None) -> str:
    """Bytes in at most five columns: `11.2G`, `310M`."""
    if count is None:
        return "?"
    for unit in ("B", "K", "M", "G", "T"):
        if abs(count) < 1000:
            return f"{count:.0f}{unit}" if unit == "B" or count >= 99.95 else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}P"


def age(since: datetime.datetime | None, now: datetime.datetime) -> str:
    """How long ago, in at most four columns: `11m`, `2h`, `12d`, `3y`."""
    if since is None:
        return "-"
    return span((now - since).total_seconds())


def span(seconds: float | None) -> str:
    """A span in at most four columns, rounded down; a negative one is none."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    for unit, length, least in (("y", 31_536_000, 2), ("d", 86_400, 2), ("h", 3600, 1), ("m", 60, 1)):
        if whole >= length * least:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def clock(seconds: float) -> str:
    """A stopwatch: `6m39s`, `1h02m`."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def moment(when: datetime.datetime | None, now: datetime.datetime) -> str:
    """An instant by the clock on this machine's wall, in at most 14 columns: `02:30:11 today`, `Fri 20:30:09`, `2026-03-01`."""
    if when is None:
        return "-"
    local, today = when.astimezone(), now.astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S} today"
    if abs(today - local) < 6 * _DAY:
        return f"{local:%a %H:%M:%S}"
    return f"{local:%Y-%m-%d}"


def ladder(proof: Proof | None, proven_at: datetime.datetime | None, now: datetime.datetime) -> str:
    """A rung of the ladder of proof, with its age where it was climbed: `drilled 3d`."""
    if proof is None:
        return "-"
    if proof is Proof.TAKEN or proven_at is None:
        return proof.value
    return f"{proof.value} {age(proven_at, now)}"


def levels(values: Sequence[float], *, is_ascii: bool = True) -> str:
    """A small plot, one column a value, oldest first. ASCII: against the median, `-` is usual; else blocks from nothing to the largest."""
    if not values:
        return ""
    if is_ascii:
        middle = statistics.median(values) or 1.0
        return "".join(_level(each / middle) for each in values)
    most = max(values) or 1.0
    return "".join(_BLOCKS[min(7, int(each / most * 7.99))] for each in values)


def in_ascii(text: str) -> str:
    """The same in ASCII, and in as many columns: `~` for `...`, levels for blocks, `?` for each column of all else. Escape sequences stay."""
    return text if text.isascii() else "".join(each if each.isascii() else _replaced(each) for each in text)


def _replaced(character: str) -> str:
    from rich.cells import cell_len  # as Textual counts

    return _ASCII_OF.get(character) or "?" * cell_len(character)


def _level(ratio: float) -> str:
    for index, bound in enumerate((0.25, 0.6, 1.25, 2.0, 4.0)):
        if ratio <= bound:
            return _LEVELS[index]
    return _LEVELS[-1]


def bar(share: float, width: int) -> str:
    """A bar of so many columns, filled to a share from 0 to 1; ASCII."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "#" * filled + "." * (width - filled)
