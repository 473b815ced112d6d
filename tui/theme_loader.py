"""Themes are data: one TOML file each, in `themes/` beside the program and in `themes/` of the home. A mistake is told by file and line.

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

from engine.errors import UsageError
from engine.model.names import nearest
from engine.model.toml_lines import line_of

BUILT_IN: Final = Path(__file__).parents[1] / "themes"
SUFFIX: Final = ".toml"
SIXTEEN: Final = "sixteen"
"""The theme of a terminal that is not known to show more."""
DEFAULT: Final = "dark"
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


def require_theme(home: Path, name: str) -> None:
    """Raises: UsageError where there is no theme of that name; an empty one is no name."""
    names = sorted({path.stem for folder in folders(home) for path in folder.glob(f"*{SUFFIX}")})
    if name and name not in names:
        raise UsageError(f"there is no theme {name}", hint=f"there are {', '.join(names)}")


def folders(home: Path) -> Sequence[Path]:
    """Where themes lie; one of a later folder takes the place of one of the same name."""
    return (BUILT_IN, home / "themes")


def stamp(home: Path) -> Sequence[tuple[str, int]]:
    """Changes when a theme's file or the preferences do: a few looks at files."""
    found = [
        home / "console.toml",
        *(path for folder in folders(home) for path in sorted(folder.glob(f"*{SUFFIX}"))),
    ]
    return [(str(path), _changed_at(path)) for path in found]


def _changed_at(path: Path) -> int:
    """Nanoseconds; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


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
