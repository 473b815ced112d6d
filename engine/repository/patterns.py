r"""Patterns for paths, as restic's: what `find`, `--include` and `--exclude` understand.

A pattern is matched part by part. `*`, `?`, `[a-z]` and `[^a-z]` match within a part, `**` matches any number of parts, a backslash takes
the next character as it is. One that begins with a slash is matched from the root, any other at every depth. Who matches a directory
matches everything in it. Source: restic doc/040_backup.rst, "Excluding Files", and Go's filepath.Match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import UsageError

Parts = Sequence[bytes]
"""A path as its parts, from the root: no slashes, none empty."""

_ANY_DEPTH: Final = b"**"
_SPECIAL: Final = re.compile(rb"[*?\[\]\\]")


def split(path: bytes) -> tuple[bytes, ...]:
    """The parts of a path; empty ones are dropped, and so is the difference between `a` and `/a`."""
    return tuple(part for part in path.split(b"/") if part)


def escape(path: bytes) -> bytes:
    """The pattern that matches exactly this path, from the root."""
    return b"/" + b"/".join(_SPECIAL.sub(rb"\\\g<0>", part) for part in split(path))


def _part_expression(part: bytes) -> bytes:
    """The regular expression of one part. Raises: UsageError for a bracket that is not closed, or a backslash at the end."""
    expression = b""
    position = 0
    while position < len(part):
        character = part[position : position + 1]
        position += 1
        if character == b"*":
            expression += b"[^/]*"
        elif character == b"?":
            # One character, not one byte: what is UTF-8 counts as people count.
            expression += rb"(?:[\xc2-\xf4][\x80-\xbf]+|[^/])"
        elif character == b"[":
            position, bracket = _bracket(part, position)
            expression += bracket
        elif character == b"\\":
            if position == len(part):
                raise UsageError(f"the pattern {part!r} ends in a backslash")
            expression += re.escape(part[position : position + 1])
            position += 1
        else:
            expression += re.escape(character)
    return expression


def _bracket(part: bytes, begin: int) -> tuple[int, bytes]:
    """The expression of a bracket whose inside begins at `begin`, and where the rest goes on."""
    end = begin + 1 if part[begin : begin + 1] in (b"^", b"!") else begin
    end += 1
    while end < len(part) and part[end : end + 1] != b"]":
        end += 2 if part[end : end + 1] == b"\\" else 1
    if end >= len(part):
        raise UsageError(f"the pattern {part!r} has a bracket that is not closed")
    inside = part[begin:end]
    sign = b""
    if inside[:1] in (b"^", b"!"):
        sign, inside = b"^", inside[1:]
    quoted = re.sub(
        rb"\\(.)|([\[\]^&~|])", lambda found: b"\\" + (found[1] or found[2]), inside, flags=re.DOTALL
    )
    return end + 1, b"[" + sign + quoted + b"]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern ready to match. Made by `parse`."""

    text: bytes
    is_rooted: bool
    parts: tuple[re.Pattern[bytes] | None, ...] = field(repr=False)
    """One expression a part; None for `**`."""

    @classmethod
    def parse(cls, text: bytes, *, ignores_case: bool = False) -> Pattern:
        """Reads a pattern.

        Raises:
            UsageError: it is empty, or a bracket or backslash in it is not ended.
        """
        parts = [part for part in split(text) if part != b"."]
        if not parts:
            raise UsageError(f"the pattern {text.decode(errors='replace')!r} matches nothing")
        flags = re.DOTALL | (re.IGNORECASE if ignores_case else 0)
        try:
            compiled = tuple(
                None if part == _ANY_DEPTH else re.compile(_part_expression(part), flags) for part in parts
            )
        except re.error as error:
            raise UsageError(
                f"the pattern {text.decode(errors='replace')!r} cannot be read: {error}"
            ) from error
        return cls(text, text.startswith(b"/"), compiled)

    def matches(self, path: Parts) -> bool:
        """Whether it matches the path itself. What lies in a matching directory is the caller's to know."""
        if self.is_rooted:
            return _matches(self.parts, path, is_prefix=False)
        return any(_matches(self.parts, path[begin:], is_prefix=False) for begin in range(len(path)))

    def may_match_below(self, path: Parts) -> bool:
        """Whether something in the directory `path` could match."""
        return not self.is_rooted or _matches(self.parts, path, is_prefix=True)


def _matches(parts: Sequence[re.Pattern[bytes] | None], path: Parts, *, is_prefix: bool) -> bool:
    """Whether the pattern matches the path, or, with `is_prefix`, could match something below it."""
    positions = {0}
    for name in path:
        following: set[int] = set()
        for position in _closure(positions, parts):
            if position == len(parts):
                continue
            part = parts[position]
            if part is None:
                following.add(position)
            elif part.fullmatch(name):
                following.add(position + 1)
        if not following:
            return False
        positions = following
    reached = _closure(positions, parts)
    return any(position < len(parts) for position in reached) if is_prefix else len(parts) in reached


def _closure(positions: Iterable[int], parts: Sequence[re.Pattern[bytes] | None]) -> set[int]:
    """The positions, and those behind each `**`, which may match nothing."""
    reached: set[int] = set()
    waiting = list(positions)
    while waiting:
        position = waiting.pop()
        if position not in reached:
            reached.add(position)
            if position < len(parts) and parts[position] is None:
                waiting.append(position + 1)
    return reached


@dataclass(frozen=True, slots=True)
class Selection:
    """Which paths of a tree are meant: all, or those that an include matches, but never what an exclude matches."""

    includes: tuple[Pattern, ...] = ()
    excludes: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> Selection:
        """Reads patterns as a person typed them. Raises: UsageError."""
        return cls(
            tuple(Pattern.parse(text.encode("utf-8", "surrogateescape")) for text in includes),
            tuple(Pattern.parse(text.encode("utf-8", "surrogateescape")) for text in excludes),
        )

    @property
    def is_everything(self) -> bool:
        """Whether no path is left out."""
        return not self.includes and not self.excludes

    def excludes_path(self, path: Parts) -> bool:
        """Whether the path, and with it all below, is left out."""
        return any(pattern.matches(path) for pattern in self.excludes)

    def includes_path(self, path: Parts, *, parent_is_included: bool) -> bool:
        """Whether the path is meant, given whether its parent is."""
        return (
            parent_is_included or not self.includes or any(pattern.matches(path) for pattern in self.includes)
        )

    def may_include_below(self, path: Parts) -> bool:
        """Whether something in a directory that is itself not meant could be."""
        return any(pattern.may_match_below(path) for pattern in self.includes)

    def selects(self, path: Parts) -> bool:
        """Whether the path is meant, without knowing of its parents."""
        if any(self.excludes_path(path[:length]) for length in range(1, len(path) + 1)):
            return False
        return not self.includes or any(
            pattern.matches(path[:length]) for pattern in self.includes for length in range(1, len(path) + 1)
        )


EVERYTHING: Final = Selection()
