"""Themes: data, read with care."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.color import Color

from tui import theme_loader

_NAMES = ("colour-blind", "contrast", "dark", "light", "production", "sixteen")


def _read(text: str) -> tuple[object, list[str]]:
    theme, mistakes = theme_loader.read("mine", text, tomllib.loads(text))
    return theme, list(mistakes)


def test_all_themes_of_the_program_are_without_a_mistake(tmp_path: Path) -> None:
    """What is shipped works."""
    loaded = theme_loader.load(tmp_path)
    assert (sorted(loaded.themes), list(loaded.mistakes)) == (list(_NAMES), [])


@pytest.mark.parametrize("name", [each for each in _NAMES if each != "sixteen"])
@pytest.mark.parametrize("colour", ["foreground", "success", "warning", "error"])
def test_a_theme_is_legible(tmp_path: Path, name: str, colour: str) -> None:
    """4.5 to 1 is what WCAG 2 (1.4.3) asks of text."""
    theme = theme_loader.load(tmp_path).themes[name]
    assert theme.background is not None
    text, ground = Color.parse(str(getattr(theme, colour))), Color.parse(theme.background)
    assert _contrast(text, ground) >= 4.5


def test_production_has_a_red_bar(tmp_path: Path) -> None:
    """Nobody must take it for the test machine."""
    bar = Color.parse(theme_loader.load(tmp_path).themes["production"].variables["title-background"])
    assert bar.r > 2 * max(bar.g, bar.b)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[colours]\nprimari = '#fff'\n",
            "line 2: there is no colour colours.primari; did you mean primary?",
        ),
        (
            "[colours]\nerror = 'reddish'\n",
            "line 2: colours.error is no colour: #rrggbb, or a name as ansi_red",
        ),
        ("is_dark = 'yes'\n", "line 1: is_dark is true or false"),
        ("colors = 1\n", "line 1: there is no colors; did you mean colours?"),
        ("title = 3\n", "line 1: title is a table"),
    ],
)
def test_a_mistake_is_named_by_its_line_and_the_rest_is_used(text: str, said: str) -> None:
    """A typing error in a colour must not take the console away."""
    _, mistakes = _read(text)
    assert mistakes == [said]


def test_a_theme_of_the_home_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Whoever wants another red gets it without a fork."""
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "dark.toml").write_text("[colours]\nerror = '#ff0000'\n")
    (tmp_path / "themes" / "broken.toml").write_text("[colours\n")
    loaded = theme_loader.load(tmp_path)
    assert loaded.themes["dark"].error == "#ff0000"
    assert len(loaded.mistakes) == 1
    assert "broken.toml is not used" in loaded.mistakes[0]


def _contrast(one: Color, other: Color) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    parts = [
        each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in colour.normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
