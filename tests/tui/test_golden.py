"""Ten screens on the fleet, letter by letter: what changes how the console looks shows in a diff.

`pytest tests/tui/test_golden.py --write-golden` writes them anew; look at each line of the difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from rich.style import Style

from tests.tui import scenes
from tests.tui.seat import Seat

pytestmark = pytest.mark.slow

GOLDEN: Final = Path(__file__).with_name("golden")
SMALL: Final = (80, 24)
CASES: Final = (
    ("backups", SMALL, "sixteen"),
    ("schedules", SMALL, "sixteen"),
    ("restore", SMALL, "sixteen"),
    ("storage", SMALL, "sixteen"),
    ("jobs", SMALL, "sixteen"),
    ("drill", SMALL, "sixteen"),
    ("history", SMALL, "sixteen"),
    ("backups", SMALL, "no-color"),
    ("backups", (200, 60), "dark"),
    ("schedules", (200, 60), "dark"),
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; only looked at."""
    return scenes.make_home(tmp_path_factory.mktemp("fleet") / "home")


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """The console shows the machine's time."""
    with scenes.fixed_zone():
        yield


@pytest.mark.parametrize(
    ("name", "size", "look"),
    CASES,
    ids=lambda each: each if isinstance(each, str) else f"{each[0]}x{each[1]}",
)
async def test_the_screen_looks_as_it_did(
    fleet: Path,
    name: str,
    size: tuple[int, int],
    look: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A column that is cut, or a colour that is lost, is seen before it is shipped."""
    theme = look
    if look == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
        theme = "sixteen"
    async with scenes.opened(fleet, name, size, theme) as seat:
        drawn = _drawn(seat)
    file = GOLDEN / f"{name}-{size[0]}x{size[1]}-{look}.txt"
    if request.config.getoption("--write-golden", False):
        file.write_text(drawn, encoding="utf-8")
    assert drawn == file.read_text(encoding="utf-8")


def _drawn(seat: Seat) -> str:
    """The rows, then what of them is not plain: row, first and last column, style."""
    lines, styles = [], []
    for row, strip in enumerate(seat.app.screen._compositor.render_strips()):
        lines.append("".join(segment.text for segment in strip).rstrip())
        column = 0
        runs: list[tuple[int, int, str]] = []
        for segment in strip:
            style = _style(segment.style)
            begin, column = column, column + segment.cell_length
            if runs and runs[-1][2] == style:
                runs[-1] = (runs[-1][0], column, style)
            else:
                runs.append((begin, column, style))
        styles += [f"{row:2} {begin:3}-{end:3} {style}" for begin, end, style in runs if style]
    return "\n".join([*lines, "--", *styles]) + "\n"


def _style(style: Style | None) -> str:
    """Without what is no colour or weight: meta, links."""
    if style is None:
        return ""
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    words += [f"{sign}{color.name}" for sign, color in (("", style.color), ("on ", style.bgcolor)) if color]
    return " ".join(words)
