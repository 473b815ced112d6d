"""What the console sends through a slow line: bytes counted in a pseudo-terminal of 80x24 with sixteen colours, and the screen that they make."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.definitions import Storage
from engine.model.schedules import Schedule
from tests.bench.measure import pss_bytes
from tests.jobs.world import open_world
from tests.tui.homes import copy_home
from tests.tui.terminal import PATIENCE_S, Terminal, open_terminal

pytestmark = pytest.mark.slow

MOVE_LIMIT, SCROLL_LIMIT, TAB_LIMIT, RUNNING_LIMIT_PER_S = 700, 4_000, 22_000, 2_000
MEMORY_LIMIT = 100 << 20
"""Of the whole process, its proportional set size."""
_WINDOW_S = 1.0


@pytest.fixture
def terminal(made_home: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A console that has come to rest, the cursor on the first row."""
    with open_terminal(copy_home(made_home, tmp_path / "home")) as opened:
        opened.sees("> source-00", "filter")
        opened.settle()
        yield opened


def _rows(terminal: Terminal) -> list[str]:
    """The names in the list, from top to bottom; the one under the cursor with its mark."""
    head = next(number for number, line in enumerate(terminal.screen.display) if "SOURCE" in line)
    return [line[:11].rstrip() for line in terminal.screen.display[head + 1 :] if "source-" in line[:11]]


def test_keys_cost_what_a_slow_line_bears(terminal: Terminal) -> None:
    """And idle it sends nothing at all between two minutes."""
    _waits_for_silence(terminal)
    assert terminal.cost("j", "> source-01") <= MOVE_LIMIT
    rows = _rows(terminal)
    assert rows[:3] == ["  source-00", "> source-01", "  source-02"]
    last = len(rows) - 1
    terminal.press("j" * (last - 1))
    terminal.sees(f"> source-{last:02}")
    terminal.settle()
    assert _rows(terminal) == [*(f"  source-{each:02}" for each in range(last)), f"> source-{last:02}"]
    assert terminal.cost("j", f"> source-{last + 1:02}") <= SCROLL_LIMIT
    assert _rows(terminal) == [
        *(f"  source-{each:02}" for each in range(1, last + 1)),
        f"> source-{last + 1:02}",
    ]
    for key, name, shown in (
        ("2", "Schedules", "schedule"),
        ("4", "Storage", "main"),
        ("1", "Backups", "> source-"),
    ):
        assert terminal.cost(key, f"[{key} {name}]", shown) <= TAB_LIMIT, name
    assert _rows(terminal)[-1] == f"> source-{last + 1:02}"
    assert pss_bytes(terminal.process.pid) <= MEMORY_LIMIT


async def _add_more(directory: Path) -> None:
    """Schedules, storages, jobs and alerts, on a home below that folder."""
    async with open_world(directory) as world:
        password = world.engine.home.directory / "password"
        password.write_text("secret")
        for name in ("near", "far"):
            place = {"path": str(directory / name)}
            await world.engine.add_storage(Storage(name, "local", place, f"file:{password}"))
        for name, rhythm in (("nightly", "30 20 * * *"), ("hourly", "5 * * * *"), ("weekly", "0 5 * * sun")):
            await world.engine.add_schedule(
                Schedule(name, rhythm=rhythm, sources=("source-01",), options={"keep_daily": 7})
            )
        for name in ("source-01", "source-02"):
            await world.backup(name)
        await world.engine.evaluate_alerts()


async def test_the_cursor_of_every_list_costs_what_a_slow_line_bears(
    made_home: Path, tmp_path: Path, quick_repositories: None
) -> None:
    """With what is shown below or beside the row that it comes to; and the screen is as if it were drawn whole."""
    home = copy_home(made_home, tmp_path / "home")
    await _add_more(tmp_path)
    with open_terminal(home) as terminal:
        terminal.sees("> source-", "filter")
        for keys, shown in (
            ("a", "CREATED"), ("\x1b\x05", "CONDITION"), ("2", "GOES"), ("3", "LAST DRILL"), ("4", "LACKS"), ("9", "VERB"),
        ):  # fmt: skip
            terminal.press(keys)
            terminal.sees(shown)
            terminal.settle()
            cost, key = sys.maxsize, "k"
            while cost > MOVE_LIMIT:  # a minute that ends in its midst costs its own
                minute, first, key = _minute(terminal), _under_cursor(terminal), "k" if key == "j" else "j"
                cost = terminal.cost(key)
                assert cost <= MOVE_LIMIT or _minute(terminal) != minute, (shown, cost)
            assert _under_cursor(terminal) != first, terminal.text
            was = terminal.text
            terminal.press("\x0c")
            terminal.settle()
            assert terminal.text == was


def _minute(terminal: Terminal) -> str:
    return terminal.screen.display[0].rstrip()[-5:]


def _under_cursor(terminal: Terminal) -> str:
    return [line for line in terminal.screen.display if line.startswith("> ")][-1]


def _waits_for_silence(terminal: Terminal) -> None:
    """Waits for a while without a byte; a machine that is slow to start, and a minute that ends, may break some."""
    ends_at = time.monotonic() + PATIENCE_S
    while terminal.read(_WINDOW_S):
        assert time.monotonic() < ends_at, "it is never still"
        terminal.settle()
    assert f"{datetime.datetime.now():%H:%M}" in terminal.text or terminal.settle()  # noqa: DTZ005, TID251 -- a person's clock


def test_a_running_job_costs_what_a_slow_line_bears(terminal: Terminal, made_home: Path) -> None:
    """In the row of messages, in the drawer with its log, and under a dialog; the figures are those of now."""
    go = made_home.parent / "go"
    terminal.press("b")
    try:
        terminal.sees("run backup source-00")
        for keys, shown in (("", "/s"), ("9", "running"), ("?", "Keys of this place")):
            terminal.press(keys)
            terminal.sees(shown)
            terminal.settle_for_frame()
            assert _rate(terminal) <= RUNNING_LIMIT_PER_S, shown
        terminal.press("\x1b")
        terminal.misses("Keys of this place")
        was = terminal.text
        while terminal.text == was:
            assert terminal.read(PATIENCE_S)
    finally:
        go.touch()
    try:
        terminal.sees("completed")
        terminal.misses("run backup source-00")
    finally:
        go.unlink()


def _rate(terminal: Terminal) -> float:
    """Bytes a second."""
    begun, count = time.monotonic(), len(terminal.raw)
    while (left := begun + _WINDOW_S - time.monotonic()) > 0:
        terminal.read(left)
    return (len(terminal.raw) - count) / _WINDOW_S
