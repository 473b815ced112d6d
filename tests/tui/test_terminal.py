"""What a terminal may do to the console: stop reading, send bytes that are no text, hang up; and what signals do.

Each of these fails with Textual's own driver, or when the names of it that tui/terminal.py leans on move.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.homes import copy_home
from tests.tui.terminal import PATIENCE_S, Terminal, open_terminal

pytestmark = pytest.mark.slow


@pytest.fixture
def terminal(made_home: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A console on a home of its own, its rows drawn."""
    with open_terminal(copy_home(made_home, tmp_path / "home")) as opened:
        opened.sees("> source-00", "filter")
        yield opened


def _wait_for(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_bytes_that_are_no_text_and_megabytes_do_no_harm_and_modes_come_again(terminal: Terminal) -> None:
    """Noise, old mouse reports, another character set, a paste; then ctrl+l over a screen that something else scrambled."""
    terminal.press(b"\xff\xfe\xf1_\x1b[M\x20\xf8\xfa\x1b[999~")
    terminal.press("j")
    terminal.sees("> source-01")
    feeder = _feed(terminal, b"\x1b[200~" + b"q\rq\x1b" * 250_000 + b"\x1b[201~")
    assert "left out" in terminal.sees("was pasted is longer than 64 KiB")
    feeder()
    terminal.press("j")
    terminal.sees("> source-02")
    terminal.settle()
    was = terminal.text
    terminal.screen.reset()
    terminal.raw.clear()
    terminal.do("view.redraw")
    terminal.sees("> source-02", "keys")
    terminal.settle()
    assert terminal.text.splitlines()[:-2] == was.splitlines()[:-2]
    assert b"\x1b[?1049h" in terminal.raw
    assert b"\x1b[?2004h" in terminal.raw


def _feed(terminal: Terminal, data: bytes) -> Callable[[], None]:
    """Sends more than a terminal's buffer holds, while the test goes on reading."""

    def write() -> None:
        with contextlib.suppress(OSError):
            view = memoryview(data)
            while view:
                view = view[os.write(terminal.master, view[:4096]) :]

    thread = threading.Thread(target=write)
    thread.start()
    return thread.join


def test_the_mouse_is_the_terminals_until_it_is_asked_for(terminal: Terminal) -> None:
    """Else nothing on the screen can be selected and copied."""
    assert b"\x1b[?100" not in terminal.raw.replace(b"\x1b[?1004", b"").replace(b"\x1b[?1049", b"")
    terminal.do("view.mouse")
    terminal.sees("the mouse works here")
    assert b"\x1b[?1000h\x1b[?1006h" in terminal.raw
    row = next(number for number, line in enumerate(terminal.screen.display) if "  source-03" in line)
    for button in (0, 3):
        terminal.press(b"\x1b[M" + bytes([32 + button, 40, 33 + row]))
    terminal.sees("> source-03")
    terminal.press("M")
    terminal.sees("the mouse is the terminal's")
    assert b"\x1b[?1006l\x1b[?1000l" in terminal.raw


def test_a_terminal_that_stops_reading_stops_nothing(terminal: Terminal, tmp_path: Path) -> None:
    """A laptop asleep, ctrl+s, a line half dead: what runs behind the screen goes on, and the screen is right when it is read again."""
    for _ in range(200):
        terminal.press("\x0c")
    terminal.press("j" * 5 + "b")
    _wait_for(lambda: _jobs(tmp_path / "home") == 1)
    terminal.sees("> source-05")
    terminal.settle()
    names = [line[:12] for line in terminal.text.splitlines()[2:22]]
    assert sum("source-" in each for each in names) > 10
    terminal.screen.reset()
    terminal.press("\x0c")
    terminal.settle()
    assert [line[:12] for line in terminal.text.splitlines()[2:22]] == names
    for _ in range(200):
        terminal.press("\x0c")
    os.kill(terminal.process.pid, signal.SIGTERM)
    assert terminal.process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def _jobs(home: Path) -> int:
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_restores_the_terminal_and_ends_it(made_home: Path, number: int) -> None:
    """A shell that is usable is left behind, with the code that says what ended it."""
    with open_terminal(made_home) as terminal:
        terminal.sees("> source-00")
        os.kill(terminal.process.pid, number)
        assert terminal.wait() == 128 + number
        assert terminal.is_restored


def test_a_line_that_breaks_ends_it(terminal: Terminal) -> None:
    """It does not spin on a terminal that is gone."""
    terminal.hang_up()
    assert terminal.wait() == 128 + signal.SIGHUP


def test_ctrl_z_gives_the_shell_back_and_fg_the_console(terminal: Terminal) -> None:
    """Also where it was stopped and woken from outside: no key is read twice."""
    terminal.do("app.suspend")
    terminal.wait_state("T")
    terminal.settle()
    assert terminal.is_restored
    terminal.screen.reset()
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.sees("> source-00", "filter")
    os.kill(terminal.process.pid, signal.SIGSTOP)
    terminal.wait_state("T")
    terminal.screen.reset()
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.sees("> source-00")
    terminal.press("jj")
    terminal.sees("> source-02")
    terminal.press("q")
    assert terminal.wait() == 0
    assert terminal.is_restored
