"""What find and tar say on standard error, in the C locale, and what it means for the backup. Pure.

Source: GNU findutils 4.9 and GNU tar 1.34 as they speak; tar is run with `--quoting-style=escape`.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from engine.model.entry import Failure

_TAR = re.compile(
    rb"tar: (?P<path>.+): (?P<words>Cannot [a-z_]+: .*|File removed before we read it|file changed as we read it"
    rb"|File shrank by \d+ bytes?; padding with zeros|Read error at byte .*|Unknown file type; file ignored)",
    re.DOTALL,
)
# Only about attributes that a file system has none of; "Warning: " ahead of other words is the end of a file's name.
_TAR_WARNING = re.compile(
    rb"tar: .+: Warning: Cannot (?:l{0,2}istxattr|l?getxattr|acl_|l?getfilecon)[a-z_]*: .*", re.DOTALL
)
_TAR_LAST = b"tar: Exiting with failure status due to previous errors"
_FIND = re.compile(rb"find: '(?P<path>(?:[^'\\]|\\.)*)': (?P<words>.*)", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_VANISHED = (
    b"No such file or directory", b"Not a directory", b"Stale file handle", b"No such process", b"File removed before we read it",
)  # fmt: skip
_CHANGED = (b"file changed as we read it", b"File shrank by ")
# tar fills with zeros what it did not get. A disk that fails in the middle of a file it takes for the file's end.
_SPOILED = (b"Read error at ", b"File shrank by ")


class Message(NamedTuple):
    """One line, understood."""

    meaning: Literal["failure", "warning", "last", "unknown"]
    """`last` closes the list of failures; `unknown` is no line that an exit status can be explained with."""
    failure: Failure | None
    text: str
    """The line itself, printable."""


def parse_tar(line: bytes) -> Message:
    """Understands a line of tar's. Paths lose the `./` that they were asked for with."""
    if line == _TAR_LAST:
        return Message("last", None, _text(line))
    if _TAR_WARNING.fullmatch(line):
        return Message("warning", None, _text(line))
    found = _TAR.fullmatch(line)
    if not found:
        return Message("unknown", None, _text(line))
    return _failure(line, _unescape(found["path"]).removeprefix(b"./"), found["words"])


def parse_find(line: bytes) -> Message:
    """Understands a line of find's."""
    found = _FIND.fullmatch(line)
    if not found:
        return Message("warning" if line.startswith(b"find: WARNING: ") else "unknown", None, _text(line))
    return _failure(line, _unescape(found["path"]), found["words"])


def _failure(line: bytes, path: bytes, words: bytes) -> Message:
    reason: Literal["vanished", "unreadable", "changed"] = "unreadable"
    if words.endswith(_VANISHED):
        reason = "vanished"
    elif words.startswith(_CHANGED):
        reason = "changed"
    is_spoiled = words.startswith(_SPOILED)
    return Message("failure", Failure(path.strip(b"/"), reason, _text(line), is_spoiled), _text(line))


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(_unescape_one, text)


def _unescape_one(found: re.Match[bytes]) -> bytes:
    code: bytes = found[1]
    if len(code) == 3:
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPES.get(code, code)


def _text(line: bytes) -> str:
    return ascii(line[:4096].decode("utf-8", "surrogateescape"))[1:-1]
