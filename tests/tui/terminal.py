"""The console as a program of its own in a pseudo-terminal: bytes are counted, and pyte says what a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyte

from tests.tui.pressed import DONE
from tui.actions import ACTIONS

PATIENCE_S = 60.0
"""More than anything that a test waits for takes on a busy machine."""
SETTLED_S = 0.35
"""Longer than four frames: what is to be drawn for one key was drawn."""


class Terminal:
    """One console, one terminal. Closed by `close`, which kills what still runs."""

    def __init__(
        self,
        home: Path,
        *words: str,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "tui"),
    ) -> None:
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        """All that was sent."""
        self._stage = 0
        """0: nothing was drawn yet, or the first picture alone; 1: the driver has the terminal; 2: it drew."""
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*command, "--home", str(home), *words],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509 -- its own terminal
            env={**_ENVIRONMENT} | {"HOME": str(home)} | dict(environment or {}),
        )  # fmt: skip

    # What a person does.

    def press(self, keys: str | bytes) -> None:
        """Types, as a terminal sends it."""
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def do(self, action_id: str) -> None:
        """Presses the first key of an action; see pressed.py."""
        key = ACTIONS[action_id].keys[0]
        self.press(chr(ord(key[-1]) & 0x1F) if key.startswith("ctrl+") else key)
        DONE.add(action_id)

    def resize(self, columns: int, rows: int) -> None:
        """Makes the window larger or smaller."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def hang_up(self) -> None:
        """The terminal goes, as a line that breaks."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    # What a person sees.

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, patience_s: float) -> bytes:
        """What is sent within that time, and shows it; nothing where nothing comes."""
        if not select.select([self.master], [], [], patience_s)[0]:
            return b""
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return b""
        self.raw += data
        self._look_for_stage()
        self._stream.feed(_for_pyte(data))
        return data

    def _look_for_stage(self) -> None:
        for mark in (b"\x1b[?2004h", b"\x1b[1;1H")[self._stage :]:
            begun = self.raw.rfind(b"\x1b[?2004h") if self._stage else 0
            if self.raw.find(mark, max(0, begun)) >= 0:
                self._stage += 1

    def sees(self, *texts: str) -> str:
        """Waits until the console shows all these texts; gives the screen. Raises: AssertionError with the screen as it is.

        What the first picture shows is not the console's yet.
        """
        return self._until(
            lambda: (self._stage == 2 or b"\x1b[?1049h" not in self.raw) and self._shows(texts),
            f"never seen: {texts}",
        )

    def sees_picture(self, *texts: str) -> str:
        """Waits until they stand there, whoever drew them; gives the screen. Raises: as `sees`."""
        return self._until(lambda: self._shows(texts), f"never seen: {texts}")

    def _shows(self, texts: Sequence[str]) -> bool:
        return all(each in self.text for each in texts)

    def misses(self, text: str) -> str:
        """Waits until a text is gone. Raises: AssertionError with the screen as it is."""
        return self._until(lambda: text not in self.text, f"never gone: {text}")

    def _until(self, is_reached: Callable[[], bool], otherwise: str) -> str:
        ends_at = time.monotonic() + PATIENCE_S
        while not is_reached():
            left = ends_at - time.monotonic()
            assert left > 0, f"{otherwise}\n{self.text}"
            assert self.read(min(left, 1.0)) or self.process.poll() is None, (
                f"{otherwise}; it ended\n{self.text}"
            )
        return self.text

    def settle(self) -> int:
        """Reads until nothing comes any more; gives the bytes."""
        count = 0
        while data := self.read(SETTLED_S):
            count += len(data)
        return count

    def settle_for_frame(self) -> None:
        """Reads what is drawn at once; something that moves goes on."""
        ends_at = time.monotonic() + SETTLED_S
        while (left := ends_at - time.monotonic()) > 0:
            self.read(left)

    def cost(self, keys: str | bytes, *texts: str) -> int:
        """The bytes that keys cost, until the screen shows these texts and has come to rest; it must be at rest before."""
        begun = len(self.raw)
        self.press(keys)
        self.sees(*texts)
        self.settle()
        return len(self.raw) - begun

    # Its end.

    def wait(self) -> int:
        """Waits for the program's end, reading what it still sends; gives its exit code."""
        ends_at = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_at, f"it does not end\n{self.text}"
            if self.master >= 0:
                self.read(0.05)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.05)
        while self.master >= 0 and self.read(0):
            pass
        return self.process.returncode

    def wait_state(self, letter: str) -> None:
        """Waits until the program is in that state of Linux's, reading what it still sends: `T` is stopped."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        self._until(lambda: stat.read_text().rpartition(")")[2].split()[0] == letter, f"never {letter}")
        while self.read(0):
            pass

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was: its lines are its kernel's again, the screen is the shell's, the cursor is seen."""
        return (
            termios.tcgetattr(self.slave)[:4] == self.before[:4]
            and self.raw.rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h")
            and self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        )

    def close(self) -> None:
        """Kills what still runs."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.master >= 0:
            self.hang_up()


_ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2]),
}  # fmt: skip


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _for_pyte(data: bytes) -> bytes:
    """Without what pyte takes for text: the keyboard protocol's sequences, and questions for modes."""
    for sequence in (b"\x1b[>25u", b"\x1b[<u", b"\x1b[?2026$p", b"\x1b[?2048$p"):
        data = data.replace(sequence, b"")
    return data


@contextlib.contextmanager
def open_terminal(home: Path, *words: str, **options: object) -> Iterator[Terminal]:
    """A console in a terminal of its own, killed at the end."""
    terminal = Terminal(home, *words, **options)  # type: ignore[arg-type]
    try:
        yield terminal
    finally:
        terminal.close()
