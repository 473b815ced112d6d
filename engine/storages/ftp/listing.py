"""Lines of listings: MLSD (RFC 3659), and what `ls -l` and Windows' `dir` print for LIST. Pure, for names without blanks."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNIX = re.compile(
    rb"(?P<type>[-bcdlpsD])[-rwxsStTl]{9}\S?\s+\d+\s+\S+\s+\S+\s+(?P<size>\d{1,18})\s+\S+\s+\S+\s+\S+\s+\S+\s*"
)
_WINDOWS = re.compile(rb"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d[AP]M\s+(?P<size>\d{1,18}|<DIR>)\s+\S+\s*")
LONGEST_NAME = 200


class Entry(NamedTuple):
    """One line of a listing."""

    name: str
    size_bytes: int | None
    """None where the line does not tell."""
    is_file: bool
    """False for what certainly is none."""


def parse_mlsd(line: bytes) -> Entry | None:
    """`type=file;size=3;modify=…; NAME`; None for what has no name of ours."""
    facts, _, name = line.rstrip(b"\r\n").partition(b" ")
    text = _name(name)
    if text is None:
        return None
    found = dict(fact.lower().partition(b"=")[::2] for fact in facts.split(b";") if b"=" in fact)
    size = found.get(b"size", b"")
    kind = found.get(b"type", b"file")
    return Entry(text, int(size) if size.isdigit() and len(size) <= 18 else None, kind == b"file")


def parse_list(line: bytes) -> Entry | None:
    """The last word is the name; a line of another making has no size, so that the server is asked for it."""
    words = line.split()
    text = _name(words[-1]) if words else None
    if text is None:
        return None
    if found := _UNIX.fullmatch(line.rstrip(b"\r\n")):
        return Entry(text, int(found["size"]), found["type"] == b"-")
    if found := _WINDOWS.fullmatch(line.rstrip(b"\r\n")):
        is_file = found["size"] != b"<DIR>"
        return Entry(text, int(found["size"]) if is_file else None, is_file)
    return Entry(text, None, is_file=not line.startswith(b"d"))


def _name(raw: bytes) -> str | None:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if 0 < len(text) <= LONGEST_NAME else None
