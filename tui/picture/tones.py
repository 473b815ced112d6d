"""The tones of lines as escape sequences: what Textual makes of the same theme, and what is made of colours on their way. A test holds one
against the other.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.color import Color, ColorParseError, ColorSystem

from tui.theme_files import SUFFIX, folders, usual

Tones = Mapping[str, str]
"""By tone; `cursor` is to be added to another."""
_BOLD, _DIM, _REVERSE = "1", "2", "7"
_TEXT_SHARE: Final = 0.66
"""Of a theme's colour in a text, the rest is black or white; of a dim text's colour, the rest is the background."""
_ANSI: Final = "ansi_"
_OWN_COLOURS: Final = 16
"""A terminal's."""
_SYSTEMS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}
_OF_TERM: Final = {"256color": ColorSystem.EIGHT_BIT, "kitty": ColorSystem.EIGHT_BIT}
_OTHERWISE: Final = {
    "secondary": "primary",
    "warning": "primary",
    "error": "secondary",
    "success": "secondary",
}
"""What takes the place of a colour that a theme does not name."""


class _UnknownColourError(Exception):
    """Only Textual knows it."""


def read_tones(home: Path, theme: str, environment: Mapping[str, str]) -> Tones | None:
    """The tones of a theme, of the usual one where it is empty; None where Textual alone can tell them. Reads one file."""
    name = f"{theme or usual(environment)}{SUFFIX}"
    path = next((each for folder in reversed(folders(home)) if (each := folder / name).exists()), None)
    if path is None:
        return None
    try:
        return tones_of(tomllib.loads(path.read_bytes().decode("utf-8")), environment)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, _UnknownColourError):
        return None


def tones_of(document: Mapping[str, Any], environment: Mapping[str, str]) -> Tones:
    """The tones of a theme's document. Raises: _UnknownColourError."""
    theme = _Theme(document)
    system = None if "NO_COLOR" in environment else _system_of(environment)
    plain = (theme.foreground, theme.background)
    return {
        "": _sequence(system, *plain),
        "strong": _sequence(system, *plain, _BOLD),
        "dim": _dim(system, *plain, is_native=theme.is_native),
        "good": _sequence(system, theme.text("success"), theme.background),
        "warning": _sequence(system, theme.text("warning"), theme.background),
        "risk": _sequence(system, theme.text("error"), theme.background),
        "title": _sequence(system, theme.of_title("foreground"), theme.of_title("background"), _BOLD),
        "cursor": f"\x1b[{_REVERSE}m",
    }


class _Theme:
    """Colours of a theme's document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._colours, self._title = _table(document, "colours"), _table(document, "title")
        self.is_native = document.get("is_ansi", False) is True
        """Whether the terminal's own colours go to it as they are."""
        self.foreground = self._colour(self._colours, "foreground")
        self.background = self._colour(self._colours, "background")

    def _colour(self, table: Mapping[str, Any], name: str) -> Color:
        value = table.get(name, f"{_ANSI}default")
        found = _parsed(value)
        if found.triplet is None and not self.is_native:
            raise _UnknownColourError(value)
        return found

    def of_title(self, name: str) -> Color:
        """Of the topmost row."""
        return self._colour(self._title, name)

    def text(self, name: str) -> Color:
        """A colour as texts have it."""
        while name not in self._colours:
            if name not in _OTHERWISE:
                raise _UnknownColourError(name)
            name = _OTHERWISE[name]
        colour = self._colour(self._colours, name)
        if self.is_native:
            return colour
        red, green, blue = self.background.get_truecolor()
        is_dark = (299 * red + 587 * green + 114 * blue) / 1000 < 0.5 * 255
        return _blended(Color.from_rgb(*(255, 255, 255) if is_dark else (0, 0, 0)), colour)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise _UnknownColourError(name)
    return table


def _parsed(value: object) -> Color:
    """Raises: _UnknownColourError for what is neither `#rrggbb` nor one of the terminal's own."""
    if isinstance(value, str):
        try:
            found = Color.parse(value.removeprefix(_ANSI))
        except ColorParseError as error:
            raise _UnknownColourError(value) from error
        is_own = found.is_default or (found.number is not None and found.number < _OWN_COLOURS)
        if is_own if value.startswith(_ANSI) else value.startswith("#"):
            return found
    raise _UnknownColourError(value)


def _blended(one: Color, other: Color, share: float = _TEXT_SHARE) -> Color:
    return Color.from_rgb(
        *(int(a + (b - a) * share) for a, b in zip(one.get_truecolor(), other.get_truecolor(), strict=True))
    )


def _dim(system: ColorSystem | None, colour: Color, background: Color, *, is_native: bool) -> str:
    """A terminal dims its own colours as it does; of others a darker one is sent."""
    if is_native:
        return _sequence(system, colour, background, _DIM)
    return _sequence(system, _blended(background, colour), background)


def _sequence(system: ColorSystem | None, colour: Color, background: Color, *attributes: str) -> str:
    """Everything anew; without a system no colour is sent."""
    codes = ["0", *attributes]
    if system is not None:
        codes += colour.downgrade(system).get_ansi_codes()
        codes += background.downgrade(system).get_ansi_codes(foreground=False)
    return f"\x1b[{';'.join(codes)}m"


def _system_of(environment: Mapping[str, str]) -> ColorSystem:
    """How many colours the terminal is known to show, as Textual finds it."""
    wanted = _SYSTEMS.get(environment.get("TEXTUAL_COLOR_SYSTEM", ""))
    if wanted is not None:
        return wanted
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    return _OF_TERM.get(environment.get("TERM", "").strip().lower().rpartition("-")[2], ColorSystem.STANDARD)
