"""A person at the keyboard of a terminal that tmux is: keys go in by `send-keys`, screens come out by `capture-pane`."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.servers.tools import require_tool

PATIENCE_S = 60.0
"""More than anything that a test waits for takes on a busy machine."""


class Tmux:
    """One tmux server with one window of 80x24 that runs a command."""

    def __init__(self, directory: Path, command: Sequence[str]) -> None:
        self._socket = directory / "tmux"
        self._command = shlex.join(command)
        self._told = directory / "told"
        os.mkfifo(self._told)
        # Both ways, so that it has a writer as long as this is open.
        self._news = os.open(self._told, os.O_RDWR | os.O_NONBLOCK)
        self._run("new-session", "-d", "-x", "80", "-y", "24", "exec cat")
        self._run("set-option", "-g", "remain-on-exit", "on")
        self.begin()

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [str(require_tool("tmux")), "-S", str(self._socket), "-f", "/dev/null", *words],
            check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        ).stdout  # fmt: skip

    def begin(self) -> None:
        """Runs the command, in place of what runs now."""
        self._run("respawn-pane", "-k", self._command)
        self._run("pipe-pane", f"exec cat >{shlex.quote(str(self._told))}")

    @property
    def pid(self) -> int:
        """Of the command."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    @property
    def screen(self) -> str:
        """What a person sees."""
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Presses keys, as tmux calls them."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Types letters."""
        self._run("send-keys", "-l", text)

    def sees(self, *texts: str) -> str:
        """Waits until all these texts are on the screen; gives it. Raises: AssertionError with the screen as it is."""
        return self._until(lambda screen: all(each in screen for each in texts), f"never seen: {texts}")

    def misses(self, *texts: str) -> str:
        """Waits until none of these texts is on the screen. Raises: AssertionError with the screen as it is."""
        return self._until(lambda screen: not any(each in screen for each in texts), f"never gone: {texts}")

    def finds(self, pattern: str) -> re.Match[str]:
        """Waits until something on the screen is like that. Raises: AssertionError with the screen as it is."""
        screen = self._until(lambda text: re.search(pattern, text) is not None, f"never seen: {pattern}")
        found = re.search(pattern, screen)
        assert found is not None
        return found

    def _until(self, is_reached: Callable[[str], bool], otherwise: str) -> str:
        ends_at = time.monotonic() + PATIENCE_S
        while not is_reached(screen := self.screen):
            assert time.monotonic() < ends_at, f"{otherwise}\n{screen}"
            # What was sent to the terminal wakes this, and nothing else: no time is waited for.
            select.select([self._news], [], [], 1.0)
            with contextlib.suppress(BlockingIOError):
                while os.read(self._news, 65536):
                    pass
        return screen

    def close(self) -> None:
        """Ends the server, and with it what runs in it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("kill-server")
        os.close(self._news)


@contextlib.contextmanager
def open_tmux(command: Sequence[str]) -> Iterator[Tmux]:
    """A terminal in which a command runs, closed at the end."""
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="hf-tmux-", dir="/tmp") as directory:
        terminal = Tmux(Path(directory), command)
        try:
            yield terminal
        finally:
            terminal.close()
