"""The console's first screen on a large catalog, in a pseudo-terminal, against that of an empty Textual app."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.large_catalog import Fleet, fill
from tests.bench.programs import HOLDFAST
from tests.bench.report import Figure
from tests.tui.terminal import open_terminal

FLEET = Fleet(sources=100, backups=100_000)
ROWS = 15
RATIO_LIMIT, LIMIT_S = 1.5, 0.6
_ROUNDS = 7
_EMPTY = f"""
import os
os.environ["TEXTUAL_ANIMATIONS"] = "none"
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        for number in range({ROWS}):
            yield Static(f"  host-{{number:03d}}-files")
Empty().run(mouse=False)
"""


def _first_screen_s(home: Path, command: Sequence[str]) -> float:
    """Seconds until that many rows stand there."""
    begun = time.perf_counter()
    with open_terminal(home, command=command) as terminal:
        while sum("host-" in line and "-files" in line for line in terminal.screen.display) < ROWS:
            assert terminal.read(30), terminal.text
        return time.perf_counter() - begun


def first_screen(place: Path) -> Iterator[Figure]:
    """Both in turn."""
    home = place / "home"
    home.mkdir(mode=0o700)
    fill(home / "catalog.db", FLEET)
    ours, empty = [], []
    for _round in range(_ROUNDS):
        ours.append(_first_screen_s(home, (str(HOLDFAST),)))
        empty.append(_first_screen_s(home, (sys.executable, "-c", _EMPTY)))
    name = f"first screen of the console on {FLEET.backups} backups"
    yield Figure(name, statistics.median(ours), "s", LIMIT_S)
    yield Figure(
        f"{name} over an empty app's",
        statistics.median(ours) / statistics.median(empty),
        "times",
        RATIO_LIMIT,
    )
