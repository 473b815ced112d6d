"""Values as people read them: sizes, ages, spans, instants, and names that may hold anything."""

from __future__ import annotations

import datetime
from typing import Final

from engine.model.amounts import size as size  # by this name every verb knows it

_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def counted(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def age(since: datetime.datetime, now: datetime.datetime) -> str:
    """How long ago: `5 min`, `3 h`, `12 d`."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length * (2 if unit == "d" else 1):
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def instant(when: datetime.datetime | None) -> str:
    """An instant by the clock on this machine's wall: `2026-11-20 14:05`."""
    return "-" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M")


def printable(name: str) -> str:
    r"""A text of unknown origin such that it cannot drive a terminal: control and format characters are escaped as `\n`, `\x1b`, `\u202e`."""
    if name.isprintable():
        return name
    return "".join(each if each.isprintable() else _escaped(each) for each in name)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as os.fsdecode has it
        return f"\\x{number - 0xDC00:02x}"
    short = _ESCAPES.get(character)
    if short is not None:
        return short
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def columns(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    count = 0
    for each in text:
        if not unicodedata.combining(each):
            count += 2 if unicodedata.east_asian_width(each) in "WF" else 1
    return count


def shortened(text: str, width: int) -> str:
    """The text in at most so many columns; `…` stands for what was left out."""
    if columns(text) <= width:
        return text
    kept = ""
    for each in text:
        if columns(kept + each) > width - 1:
            break
        kept += each
    return kept + "…"


def padded(text: str, width: int, *, is_right: bool = False) -> str:
    """The text in exactly so many columns, where it is not wider."""
    space = " " * (width - columns(text))
    return space + text if is_right else text + space
