"""The console in a pseudo-terminal: its first screen on a large catalog against that of an empty Textual app, its first key, and keys in a list of
a million rows.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import catalog_scale
from tests.bench.large_catalog import Fleet, fill
from tests.bench.measure import pss_bytes
from tests.bench.programs import HOLDFAST
from tests.bench.report import Figure
from tests.tui.terminal import Terminal, open_terminal

FLEET = Fleet(sources=100, backups=100_000)
ROWS = 15
RATIO_LIMIT, LIMIT_S = 1.5, 0.6
"""Of the first screen; the second also of a key that is pressed at once."""
SCROLLED = 1_000_000
KEY_LIMIT_MS, MEMORY_LIMIT_MIB = 50.0, 100.0
_ROUNDS = 7
_BASE = 1_000
_PRESSED = 60
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
        while sum(map(_is_row, terminal.screen.display)) < ROWS:
            assert terminal.read(30), terminal.text
        return time.perf_counter() - begun


def _first_key_s(home: Path) -> float:
    """Seconds until the cursor stands on the second row, where `j` is pressed at once."""
    begun = time.perf_counter()
    with open_terminal(home, command=(str(HOLDFAST),)) as terminal:
        terminal.press("j")
        while [line[0] for line in terminal.screen.display if _is_row(line)][:2] != [" ", ">"]:
            assert terminal.read(30), terminal.text
        return time.perf_counter() - begun


def _is_row(line: str) -> bool:
    """Whether a source stands there, and nothing that is at risk of it."""
    return "host-" in line and "-files" in line and line[2] not in "!-"


def first_screen(place: Path) -> Iterator[Figure]:
    """Both in turn."""
    home = place / "home"
    home.mkdir(mode=0o700)
    fill(home / "catalog.db", FLEET)
    ours, empty, key = [], [], []
    for _round in range(_ROUNDS):
        ours.append(_first_screen_s(home, (str(HOLDFAST),)))
        empty.append(_first_screen_s(home, (sys.executable, "-c", _EMPTY)))
        key.append(_first_key_s(home))
    name = f"first screen of the console on {FLEET.backups} backups"
    yield Figure(name, statistics.median(ours), "s", LIMIT_S)
    yield Figure(
        f"{name} over an empty app's",
        statistics.median(ours) / statistics.median(empty),
        "times",
        RATIO_LIMIT,
    )
    yield Figure(
        f"first key of the console answered, {FLEET.backups} backups", statistics.median(key), "s", LIMIT_S
    )


def scrolling(place: Path) -> Iterator[Figure]:
    """The history of all: from a key to the row that it leads to, read and drawn; and so many keys at once, as one that is held down."""
    home = place / "home"
    catalog_scale.fill(home, _BASE)
    catalog_scale.multiply(home, _BASE, SCROLLED // _BASE)
    with open_terminal(home, "--read-only", command=(str(HOLDFAST),)) as terminal:
        terminal.sees("filter")
        terminal.press("a")
        terminal.sees(f"1/{SCROLLED}")
        terminal.settle()
        rows = sum(line.startswith(("  20", "> 20")) for line in terminal.screen.display)
        kinds: Mapping[str, Sequence[tuple[str, int]]] = {
            "one row down": [("j", 2 + turn) for turn in range(_PRESSED)],
            "one page down": [("\x1b[6~", 1 + _PRESSED + (rows - 1) * turn) for turn in range(1, _PRESSED)],
            "to the end, and back": [("G", SCROLLED), ("g", 1)] * (_PRESSED // 4),
            "half a page down": [("\x04", 1 + (rows // 2) * turn) for turn in range(1, _PRESSED)],
        }
        for kind, keys in kinds.items():
            spans = [_reach_s(terminal, key, target) for key, target in keys]
            yield Figure(
                f"{kind} in {SCROLLED} backups", statistics.median(spans) * 1000, "ms a key", KEY_LIMIT_MS
            )
        last = kinds["half a page down"][-1][1]
        held = _reach_s(terminal, "\x1b[6~" * _PRESSED, last + _PRESSED * (rows - 1))
        yield Figure(
            f"a held page-down in {SCROLLED} backups", held / _PRESSED * 1000, "ms a key", KEY_LIMIT_MS
        )
        memory = pss_bytes(terminal.process.pid) / (1 << 20)
        yield Figure(f"memory of the console after that, {SCROLLED} backups", memory, "MiB", MEMORY_LIMIT_MIB)


def _reach_s(terminal: Terminal, keys: str, target: int) -> float:
    """Seconds until the cursor stands on that row, and shows what was read."""
    begun = time.perf_counter()
    terminal.press(keys)
    while not _is_at(terminal.screen.display, target):
        assert terminal.read(30), terminal.text
    return time.perf_counter() - begun


def _is_at(lines: Sequence[str], target: int) -> bool:
    return any(f" {target}/{SCROLLED} " in f"{line} " for line in lines) and any(
        line.startswith("> 20") for line in lines
    )
