r"""Patterns of what is left out, with restic's meaning. Pure.

A pattern is matched against whole parts of a path, anywhere in it unless it begins with `/`; what lies below a match is left out too.
`*`, `?`, `[...]` and `\` are those of Go's filepath.Match and never match a slash (restic lets a lone `[^a]` match the root); a part `**` stands for any number of parts, also none.
A pattern that begins with `!` takes back what the patterns before it left out, though nothing comes back out of a directory left out.
Source: restic, internal/filter/filter.go; Go, path/filepath.Match.

The decision is always made here; find is told to pass over what can be said to it exactly, so that it does not walk there.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Sequence

from engine.errors import ConfigurationError
from engine.model.entry import Entry

_TAIL = rb"[\x80-\xbf]"
_RUNE = (
    rb"(?>[\x00-\x2e\x30-\x7f]|[\xc2-\xdf]T|\xe0[\xa0-\xbf]T|[\xe1-\xec\xee\xef]TT|\xed[\x80-\x9f]T"
    rb"|\xf0[\x90-\xbf]TT|[\xf1-\xf3]TTT|\xf4[\x80-\x8f]TT|[\x80-\xff])"
).replace(b"T", _TAIL)
"""One character but the slash: UTF-8 (RFC 3629), or a single byte where it is none. Atomic: no character is taken for two."""
_ANY = re.compile(rb"[^/]+")
_PLAIN_FOR_FIND = re.compile(r"[A-Za-z0-9_ @%+=:,~#-]+|[.*]")
"""What a part may be made of to be said to find exactly: `?` and brackets depend on the host's character set."""


class Excludes:
    """Decides entry by entry; they must come in the listing's order, a directory before what is in it. One per listing."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises: ConfigurationError for a pattern that is malformed."""
        self._rules: list[tuple[bool, Callable[[bytes], object]]] = []
        """Whether it takes back, and what answers for an absolute path."""
        self._left_out = b"\0"
        """The directory that was left out last, with a slash at its end."""
        if not any(pattern.startswith("!") for pattern in patterns):
            simple = [pattern for pattern in patterns if _split(pattern).count(b"**") < 2]
            if simple:
                joined = b"|".join(b"(?:%b)" % _expression(_split(pattern), pattern) for pattern in simple)
                self._rules.append((False, re.compile(joined, re.DOTALL).search))
            patterns = [pattern for pattern in patterns if pattern not in simple]
        for pattern in patterns:
            is_negated = pattern.startswith("!")
            self._rules.append((is_negated, _rule(pattern[1:] if is_negated else pattern)))

    def keep(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those of a batch that are not left out."""
        if not self._rules:
            return entries
        return [entry for entry in entries if not self._is_left_out(entry)]

    def leaves_out(self, path: bytes) -> bool:
        """Whether a path, or a directory above it, is left out; in no order."""
        parts = path.split(b"/")
        return bool(self._rules) and any(
            self._matches(b"/".join(parts[: count + 1])) for count in range(len(parts))
        )

    def _is_left_out(self, entry: Entry) -> bool:
        if entry.path.startswith(self._left_out):
            return True
        is_out = self._matches(entry.path)
        if is_out and entry.type == "d":
            self._left_out = entry.path + b"/"
        return is_out

    def _matches(self, path: bytes) -> bool:
        path = b"/" + path
        is_out = False
        for is_negated, rule in self._rules:
            if is_out == is_negated and rule(path):
                is_out = not is_negated
        return is_out


def find_words(patterns: Sequence[str]) -> list[str | bytes]:
    """What makes find pass over what `Excludes` leaves out anyway, as far as it can be said exactly: words of its expression, maybe none."""
    if any(pattern.startswith("!") for pattern in patterns):
        return []
    words: list[str | bytes] = []
    for pattern in patterns:
        expression = _find_expression(_split(pattern))
        if expression:
            words += ["-o", "-regex", expression] if words else ["-regex", expression]
    return ["-regextype", "posix-extended", "(", *words, ")", "-prune", "-o"] if words else []


def _split(pattern: str) -> list[bytes]:
    r"""Parts of the cleaned pattern; the first is empty where it is absolute. Raises: ConfigurationError."""
    if not pattern or "\0" in pattern:
        raise ConfigurationError(f"source option exclude holds a pattern that matches nothing: {pattern!a}")
    cleaned = posixpath.normpath(os.fsencode(pattern))
    if cleaned.startswith(b"//"):
        cleaned = cleaned[1:]
    return [b""] if cleaned == b"/" else cleaned.split(b"/")


def _rule(pattern: str) -> Callable[[bytes], object]:
    parts = _split(pattern)
    if parts.count(b"**") < 2:
        return re.compile(_expression(parts, pattern), re.DOTALL).search
    compiled = [None if part == b"**" else re.compile(_part(part, pattern), re.DOTALL) for part in parts]
    is_absolute = parts[0] == b""
    if is_absolute:
        compiled = compiled[1:]
    return lambda path: _matches_expanded(compiled, path.split(b"/")[1:], is_absolute=is_absolute)


def _matches_expanded(
    pattern: Sequence[re.Pattern[bytes] | None], parts: Sequence[bytes], *, is_absolute: bool
) -> bool:
    """restic's way with several `**`: it tries each in turn for no more parts than the path has over the pattern, the other `**` counted
    as one part each, so that together they must stand for some. No regular expression says that.
    """
    if None in pattern:
        place = list(pattern).index(None)
        return any(
            _matches_expanded(
                [*pattern[:place], *[_ANY] * count, *pattern[place + 1 :]], parts, is_absolute=is_absolute
            )
            for count in range(len(parts) - len(pattern) + (2 if is_absolute else 3))
        )
    offsets = range(len(parts) - len(pattern) + 1)
    return any(
        all(one and one.fullmatch(part) for one, part in zip(pattern, parts[offset:], strict=False))
        for offset in (offsets[:1] if is_absolute else offsets)
    )


def _expression(parts: Sequence[bytes], pattern: str) -> bytes:
    """A regular expression to be searched in an absolute path, for a pattern with at most one `**`."""
    is_absolute = parts[0] == b""
    if is_absolute:
        parts = parts[1:]
    if all(part == b"**" for part in parts):
        return b"/"
    # A walk over groups of a slash and a part; `**` is any number of them.
    body = b"".join(rb"(?:/[^/]+)*" if part == b"**" else b"/" + _part(part, pattern) for part in parts)
    return (rb"\A" if is_absolute else b"") + body + rb"(?:/|\Z)"


def _part(part: bytes, pattern: str) -> bytes:
    """Go's filepath.Match for one part, as a regular expression over bytes. Raises: ConfigurationError."""
    expression: list[bytes] = []
    position = 0
    while position < len(part):
        letter = part[position : position + 1]
        position += 1
        if letter == b"*":
            expression.append(b"[^/]*")
        elif letter == b"?":
            expression.append(_RUNE)
        elif letter == b"[":
            bracket, position = _bracket(part, position, pattern)
            expression.append(bracket)
        elif letter == b"\\":
            if position >= len(part):
                raise _malformed(pattern)
            expression.append(re.escape(part[position : position + 1]))
            position += 1
        else:
            expression.append(re.escape(letter))
    return b"".join(expression)


def _bracket(part: bytes, position: int, pattern: str) -> tuple[bytes, int]:
    """A set of characters, `position` behind its opening bracket; also where it ended."""
    is_negated = part[position : position + 1] == b"^"
    position += is_negated
    choices: list[bytes] = []
    while True:
        if position < len(part) and part[position : position + 1] == b"]" and choices:
            break
        low, position = _character(part, position, pattern)
        high = low
        if part[position : position + 1] == b"-":
            high, position = _character(part, position + 1, pattern)
        if low <= high:
            choices.append(_characters_between(low, high))
        else:
            choices.append(b"(?!)")
    either = b"(?:%b)" % b"|".join(choices)
    return (b"(?!%b)%b" % (either, _RUNE) if is_negated else either), position + 1


def _character(part: bytes, position: int, pattern: str) -> tuple[int, int]:
    """One character of a set, as its code point, and where it ended."""
    if position < len(part) and part[position : position + 1] == b"\\":
        position += 1
    elif part[position : position + 1] in (b"-", b"]"):
        raise _malformed(pattern)
    found = re.compile(_RUNE, re.DOTALL).match(part, position)
    if not found:
        raise _malformed(pattern)
    try:
        return ord(found[0].decode()), found.end()
    except UnicodeDecodeError:
        raise _malformed(pattern) from None


def _characters_between(low: int, high: int) -> bytes:
    """An expression for every character from `low` to `high`, by their UTF-8 forms."""
    if high < 0x80:
        return b"(?!/)[%b-%b]" % (re.escape(bytes([low])), re.escape(bytes([high])))
    if high - low > 0x1000:
        raise ConfigurationError("source option exclude holds a set of more than 4096 characters")
    letters = (chr(code).encode("utf-8", "surrogatepass") for code in range(low, high + 1))
    return b"|".join(map(re.escape, letters))


def _find_expression(parts: Sequence[bytes]) -> bytes | None:
    if not all(_is_plain(part) for part in parts if part) or b"**" in parts:
        return None
    body = b"/".join(_part_for_find(part) for part in parts)
    return body if parts[0] == b"" else b".*/" + body


def _is_plain(part: bytes) -> bool:
    text = part.decode("ascii", "replace")
    return "".join(found[0] for found in _PLAIN_FOR_FIND.finditer(text)) == text


def _part_for_find(part: bytes) -> bytes:
    return part.replace(b".", rb"\.").replace(b"+", rb"\+").replace(b"*", b"[^/]*")


def _malformed(pattern: str) -> ConfigurationError:
    return ConfigurationError(f"source option exclude holds a malformed pattern: {pattern!a}")
