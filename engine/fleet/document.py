"""A document and where each of its keys stands: tomllib reads the values and forgets the lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from engine.errors import ConfigurationError
from engine.model.names import nearest

Path = tuple[str | int, ...]
"""Keys from the top on; a number is the place in an array."""

_PART: Final = r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+'
_KEY: Final = re.compile(rf"\s*((?:{_PART})(?:\s*\.\s*(?:{_PART}))*)\s*=")
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*((?:{_PART})(?:\s*\.\s*(?:{_PART}))*)\s*\]")
_PIECE: Final = re.compile(
    r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|\\.|[^"\'#\[\]{}\\]+|.', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Document:
    """A file of definitions, parsed."""

    file: str
    """As messages name it."""
    tables: Mapping[str, Any]
    lines: Mapping[Path, int]
    mistakes: list[ConfigurationError] = field(default_factory=list)
    """Those that were noted so far."""
    unsettled: set[str] = field(default_factory=set)
    """Tables of which a mistake leaves open what they define."""

    @classmethod
    def parse(cls, text: str, file: str) -> Document:
        """Raises: ConfigurationError."""
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{file} is no TOML: {error}") from error
        lines: dict[Path, int] = {}
        for path, number in lines_of(text):
            for depth in range(1, len(path) + 1):
                lines.setdefault(path[:depth], number)
        return cls(file, tables, lines)

    def line(self, path: Path) -> int:
        """Where the key stands, or the nearest one above it that has a line of its own."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def mistake(self, path: Path, said: str, hint: str | None = None) -> ConfigurationError:
        """An error that says file and line."""
        line = self.line(path)
        return ConfigurationError(f"{self.file}, line {line}: {said}", hint=hint, line=line)

    @contextmanager
    def noting(self, table: str = "") -> Iterator[None]:
        """A mistake ends the body, is noted, and hides none that is found later. `table` is the one that it leaves open, if any."""
        try:
            yield
        except ConfigurationError as error:
            self.mistakes.append(error)
            self.unsettled.update({table} - {""})

    def require_none(self, since: int = 0) -> None:
        """Raises: ConfigurationError with the mistakes that were noted, from that many on: the first by its line, which tells the others."""
        found = {each.message: each for each in sorted(self.mistakes[since:], key=lambda each: each.line)}
        if found:
            first, *others = found.values()
            raise ConfigurationError(first.message, hint=first.hint, line=first.line, others=others)

    def unknown(self, path: Path, what: str, known: Sequence[str]) -> ConfigurationError:
        """There is no such key, and which was most likely meant."""
        name = str(path[-1])
        near = nearest(name, known)
        return self.mistake(
            path,
            f"there is no {what} {name!r}",
            f"did you mean {near}?" if near else f"there are: {', '.join(known)}",
        )

    def table(self, path: Path, value: object) -> Mapping[str, Any]:
        """The value where it is a table. Raises: ConfigurationError."""
        if not isinstance(value, dict):
            raise self.mistake(path, f"{dotted(path)} is a table")
        return value


def dotted(path: Path) -> str:
    """Keys as a person would write them."""
    return ".".join(f"{each + 1}" if isinstance(each, int) else each for each in path)


def lines_of(text: str) -> Iterator[tuple[Path, int]]:
    """Each key of a document that is TOML, with its line. Keys of an inline table have that of their table."""
    current: Path = ()
    counts: dict[Path, int] = {}
    nesting = _Nesting()
    for number, line in enumerate(text.split("\n"), 1):
        rest = line
        if nesting.is_free:
            if header := _HEADER.match(line):
                current = _resolved(_parts(header[2]), counts)
                if header[1] == "[[":
                    counts[current] = counts.get(current, -1) + 1
                    current = (*current, counts[current])
                yield current, number
                continue
            if key := _KEY.match(line):
                yield (*current, *_parts(key[1])), number
                rest = line[key.end() :]
        nesting.read(f"{rest}\n")


def _resolved(parts: Path, counts: Mapping[Path, int]) -> Path:
    """A header's keys below arrays of tables: the last one of each is meant, but for the last key itself."""
    path: Path = ()
    for place, each in enumerate(parts):
        path = (*path, each)
        if path in counts and place < len(parts) - 1:
            path = (*path, counts[path])
    return path


def _parts(key: str) -> Path:
    found = re.findall(_PART, key)
    return tuple(next(iter(tomllib.loads(f"{each} = 0"))) for each in found)


class _Nesting:
    """How deep a value that goes on over lines still is."""

    def __init__(self) -> None:
        self._depth = 0
        self._quotes = ""

    @property
    def is_free(self) -> bool:
        return not self._depth and not self._quotes

    def read(self, text: str) -> None:
        for found in _PIECE.finditer(text):
            piece = found[0]
            if self._quotes:
                if piece.endswith(self._quotes) or self._quotes in piece:
                    self._quotes = ""
            elif piece in ('"""', "'''"):
                self._quotes = piece
            elif piece in "[{":
                self._depth += 1
            elif piece in "]}":
                self._depth -= 1
