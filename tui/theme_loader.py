"""Themes are data: one TOML file each; see theme_files.py for where. A mistake is told by file and line.

A theme has `[colours]` (Textual's names: primary, success, warning, error, foreground, background …), `[title]` for the topmost row, `is_dark`,
and `is_ansi` where its colours are the terminal's own sixteen.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

from engine.model.names import nearest
from engine.model.toml_lines import line_of
from tui.theme_files import SUFFIX, folders, usual

COLOURS: Final = (
    "primary", "secondary", "success", "warning", "error", "accent", "foreground", "background", "surface", "panel",
)  # fmt: skip
_TITLE: Final = ("foreground", "background")
_SWITCHES: Final = ("is_dark", "is_ansi")
_TABLES: Final = ("colours", "title")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Themes, and what was wrong with some."""

    themes: Mapping[str, Theme]
    mistakes: Sequence[str]
    """One sentence each, with file and line; that theme, or that colour, is left out."""

    def choose(self, wanted: str, environment: Mapping[str, str]) -> tuple[str, Sequence[str]]:
        """The theme of that name, or the usual one; and all mistakes."""
        if not wanted or wanted in self.themes:
            return wanted or usual(environment), self.mistakes
        missing = f"there is no theme {wanted}; there are {', '.join(sorted(self.themes))}"
        return usual(environment), [*self.mistakes, missing]


def load(home: Path) -> Loaded:
    """All themes. Reads files."""
    themes: dict[str, Theme] = {}
    mistakes: list[str] = []
    for folder in folders(home):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                text = path.read_bytes().decode("utf-8")
                document = tomllib.loads(text)
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                mistakes.append(f"theme {path.name} is not used: {error}")
                continue
            theme, found = read(path.stem, text, document)
            themes[path.stem] = theme
            mistakes += [f"theme {path.name}, {each}" for each in found]
    return Loaded(themes, mistakes)


def read(name: str, text: str, document: Mapping[str, Any]) -> tuple[Theme, Sequence[str]]:
    """A theme of a document, `text` being what it was parsed from, and what is wrong in it: `line 3: ...`. What is wrong is left at its default."""
    mistakes = [
        f"line {line_of(text, '', key)}: there is no {key}{_meant(key, (*_SWITCHES, *_TABLES))}"
        for key in document
        if key not in (*_SWITCHES, *_TABLES)
    ]
    colours = _colours(text, "colours", document.get("colours", {}), COLOURS, mistakes)
    title = _colours(text, "title", document.get("title", {}), _TITLE, mistakes)
    switches = {}
    for key in _SWITCHES:
        value = document.get(key, key == "is_dark")
        if not isinstance(value, bool):
            mistakes.append(f"line {line_of(text, '', key)}: {key} is true or false")
            value = key == "is_dark"
        switches[key] = value
    theme = Theme(
        name=name,
        dark=switches["is_dark"],
        ansi=switches["is_ansi"],
        variables={**_base(**switches), **{f"title-{key}": value for key, value in title.items()}},
        **{"primary": "ansi_blue" if switches["is_ansi"] else "#4ea1ff", **colours},
    )
    return theme, mistakes


def _base(*, is_dark: bool, is_ansi: bool) -> Mapping[str, str]:
    """What Textual's own widgets ask for besides, where the colours are the terminal's."""
    return BUILTIN_THEMES["ansi-dark" if is_dark else "ansi-light"].variables if is_ansi else {}


def _colours(
    text: str, table: str, given: object, known: Sequence[str], mistakes: list[str]
) -> dict[str, Any]:
    if not isinstance(given, dict):
        mistakes.append(f"line {line_of(text, '', table)}: {table} is a table")
        return {}
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in known and isinstance(value, str) and _is_colour(value):
            found[key] = value
            continue
        said = (
            f"{table}.{key} is no colour: #rrggbb, or a name as ansi_red"
            if key in known
            else f"there is no colour {table}.{key}{_meant(key, known)}"
        )
        mistakes.append(f"line {line_of(text, table, key)}: {said}")
    return found


def _is_colour(value: str) -> bool:
    try:
        Color.parse(value)
    except ColorParseError:
        return False
    return True


def _meant(key: str, known: Sequence[str]) -> str:
    near = nearest(key, list(known))
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"
