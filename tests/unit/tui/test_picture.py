"""The first picture without a terminal: its colours, its columns, and what it imports."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._ansi_theme import MONOKAI
from textual.color import Color
from textual.filter import ANSIToTruecolor
from textual.strip import Strip

from tui import theme_loader
from tui.colourless import Colourless
from tui.picture.tones import Tones, read_tones, tones_of
from tui.theme_files import BUILT_IN
from tui.widgets import row_layout
from tui.widgets.row_source import Column

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "truecolor": {"TERM": "xterm", "COLORTERM": "truecolor"},
    "256": {"TERM": "screen-256color"},
    "sixteen": {"TERM": "xterm"},
    "none": {"TERM": "xterm-256color", "NO_COLOR": "1"},
}
FEW = '[colours]\nprimary = "#102030"\nforeground = "#000000"\nbackground = "#ffffff"\n[title]\nforeground = "#111111"\nbackground = "#222222"\n'


def _of_textual(text: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """What Textual sends of that theme, tone by tone."""
    theme, mistakes = theme_loader.read("theme", text, tomllib.loads(text))
    assert not mistakes
    known = {**theme.to_color_system().generate(), **theme.variables}
    background = Color.parse(known["background"])

    def codes(
        colour: str, behind: str = "background", *, bold: bool | None = None, dim: bool | None = None
    ) -> str:
        style = Style(color=Color.parse(known[colour]).rich_color, bgcolor=Color.parse(known[behind]).rich_color, bold=bold, dim=dim)  # fmt: skip
        segments = [Segment("x", style)]
        for each in [ANSIToTruecolor(MONOKAI)] if not theme.ansi else []:
            segments = each.apply(segments, background)
        if "NO_COLOR" in environment:
            segments = Colourless().apply(segments, background)
        system = Console(force_terminal=True, _environ=environment)._color_system
        assert system is not None
        return Strip.render_ansi(segments[0].style or Style(), system)

    return {
        "": codes("foreground"), "strong": codes("foreground", bold=True), "dim": codes("foreground", dim=True),
        "good": codes("text-success"), "warning": codes("text-warning"), "risk": codes("text-error"),
        "title": codes("title-foreground", "title-background", bold=True),
    }  # fmt: skip


def _codes(tones: Tones) -> Mapping[str, str]:
    """What comes behind "everything anew"."""
    return {
        tone: each.removeprefix("\x1b[0").removesuffix("m").removeprefix(";")
        for tone, each in tones.items()
        if tone != "cursor"
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("theme", [*sorted(BUILT_IN.glob("*.toml")), None], ids=str)
def test_a_tone_is_sent_as_textual_sends_it(theme: Path | None, environment: Mapping[str, str]) -> None:
    """Else the screen flashes when it takes the picture's place."""
    text = theme.read_text() if theme is not None else FEW
    assert _codes(tones_of(tomllib.loads(text), environment)) == _of_textual(text, environment)


@pytest.mark.parametrize(
    "text",
    [
        "", "colours = 1", "[colours]\nforeground = 7", "is_ansi = true\n[colours]\nerror = 'orange'",
        FEW.replace("#102030", "ansi_blue"), FEW.replace("#111111", "auto 87%"), FEW.replace("#ffffff", "#zzzzzz"), "nonsense",
    ],
)  # fmt: skip
def test_of_colours_that_textual_alone_knows_there_is_no_picture(tmp_path: Path, text: str) -> None:
    """A name of CSS, an alpha, a mistake: what becomes of them is its affair."""
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "mine.toml").write_text(text)
    assert read_tones(tmp_path, "mine", {}) is None
    assert read_tones(tmp_path, "missing", {}) is None
    assert read_tones(tmp_path, "", {}) is not None


@pytest.mark.slow
def test_neither_textual_nor_what_opens_repositories_is_imported_for_it() -> None:
    """Each takes longer than the picture itself."""
    program = "import sys; import tui.picture.first, engine.service; print([each for each in sys.modules if each.startswith(('textual', 'cryptography', 'engine.format', 'engine.repository', 'engine.storages'))])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_columns_of_the_highest_rank_give_way_first() -> None:
    """And what has no rank stays, though it is cut."""
    columns = (
        Column("A", 4),
        Column("B", 4, rank=1),
        Column("C", 4, rank=2),
        Column("D", 4, is_flexible=True),
    )
    titles = [row_layout.lay_out(columns, width).head(width, "")[0].split() for width in (21, 20, 15, 3)]
    assert titles == [["A", "B", "C", "D"], ["A", "B", "D"], ["A", "D"], ["A", "D"]]
    assert row_layout.lay_out(columns, 25).widths[3] == 8
    assert [row_layout.top_for(cursor, 5, 10) for cursor in (0, 5, 14, 15, 40)] == [0, 5, 5, 6, 31]
