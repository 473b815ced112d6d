"""What goes wrong round the console: its terminal, its catalog, its own end while jobs run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.homes import copy_home
from tests.tui.terminal import Terminal, open_terminal

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        ((), {"TERM": "dumb"}, "TERM says that this one cannot"),
        ((), {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "the console needs UTF-8"),
        (("--theme", "nix"), {}, "there is no theme nix"),
        (("--colour",), {}, "the console has no option --colour"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_drawn(
    made_home: Path, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    """And the exit code of a mistake in the words."""
    with open_terminal(made_home, *words, environment=environment) as terminal:
        assert terminal.wait() == 2
        assert said in terminal.text.replace("\n", " ")
        assert b"\x1b[?1049h" not in terminal.raw


def test_a_pipe_is_no_terminal(made_home: Path) -> None:
    """One sentence, and how to have the same in a script."""
    done = subprocess.run(
        [sys.executable, "-m", "tui", "--home", str(made_home)], input=b"", capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"holdfast status" in done.stderr


def _damage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _make_newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999999")


@pytest.mark.parametrize("spoil", [_damage, _make_newer])
def test_a_catalog_that_cannot_be_used_is_a_sentence(
    made_home: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Damaged, or of a later version of the program."""
    home = copy_home(made_home, tmp_path / "home")
    spoil(home / "catalog.db")
    with open_terminal(home) as terminal:
        assert terminal.wait() == 1
        assert "catalog" in terminal.text
        assert "Traceback" not in terminal.text
        assert b"\x1b[?1049h" not in terminal.raw


def test_ascii_alone_and_no_colour_is_sent_where_that_is_wanted(made_home: Path, tmp_path: Path) -> None:
    """A serial line, a terminal of another character set; also in messages, and in what a person types."""
    home = copy_home(made_home, tmp_path / "größe")
    (home / "console.toml").write_text('name = "gr\u00f6\u00dfe"\n', encoding="utf-8")
    environment = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "NO_COLOR": "1"}
    with open_terminal(
        home, "--ascii", "--theme", "dark", environment=environment, size=(60, 24)
    ) as terminal:
        terminal.sees("gr??e > backups", "> source-00", "~")
        for key, seen in (
            ("2", "schedules"),
            ("3", "restore"),
            ("4", "storage"),
            ("H", "hosts"),
            ("9", "JOB"),
        ):
            terminal.press(key)
            terminal.sees(seen)
        terminal.press("9/\u00e9\u4e2d\r")
        terminal.sees("/???")
        terminal.press("q")
        assert terminal.wait() == 0
    assert terminal.raw.isascii()
    colours = re.findall(rb"\x1b\[([0-9;]*)m", bytes(terminal.raw))
    assert {part for each in colours for part in each.split(b";")} <= {b"", b"0", b"1", b"2", b"4", b"7"}
    with open_terminal(tmp_path / "größe" / "catalog.db", "--ascii", environment=environment) as terminal:
        assert terminal.wait() != 0
        assert "\\xc3\\xb6" in terminal.text
    assert terminal.raw.isascii()


def test_a_small_window_and_a_storm_of_sizes_leave_it_readable(made_home: Path) -> None:
    """20x5 on a telephone; a window that is dragged."""
    with open_terminal(made_home, size=(20, 5)) as terminal:
        terminal.sees("backups", "keys")
        terminal.press("2")
        terminal.press("1")
        terminal.press("?")
        terminal.sees("Keys")
        terminal.press("\x1b")
        terminal.misses("Keys")
        for step in range(60):
            terminal.resize(20 + step * 3 % 150, 5 + step % 40)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            terminal.read(0)
        terminal.resize(80, 24)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.sees("> source-00", "keys")
        terminal.press("q")
        assert terminal.wait() == 0


def _leave(terminal: Terminal) -> None:
    terminal.do("app.quit")


def _interrupt(terminal: Terminal) -> None:
    terminal.press("\x03\x03")


def _kill(terminal: Terminal) -> None:
    os.kill(terminal.process.pid, signal.SIGKILL)


def test_a_job_goes_on_without_the_console_and_the_next_one_finds_it(made_home: Path, tmp_path: Path) -> None:
    """Left, interrupted, its line broken, killed."""
    home, go = copy_home(made_home, tmp_path / "home"), made_home.parent / "go"
    go.unlink(missing_ok=True)
    try:
        for number, end in enumerate((_leave, _interrupt, Terminal.hang_up, _kill)):
            with open_terminal(home) as terminal:
                terminal.sees("> source-00", "filter")
                if number == 0:
                    terminal.press("b")
                    terminal.sees("backing up source-00")
                else:
                    terminal.sees("run backup source-00")
                end(terminal)
                terminal.wait()
        with open_terminal(home) as terminal:
            terminal.sees("run backup source-00")
            go.touch()
            terminal.misses("run backup source-00")
            terminal.press("9")
            terminal.sees("completed")
    finally:
        go.touch()
        go.unlink()
