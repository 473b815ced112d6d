"""The command line on a terminal, with a person at it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios

from tests.jobs.command_line import TIMEOUT_S, CommandLine


class Terminal:
    """A command on a terminal of 80 columns, and a person at it."""

    def __init__(self, line: CommandLine, *words: str, **environment: str) -> None:
        self.shown = b""
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            command = line.words(*words)
            os.execve(command[0], command, line.environment({"TERM": "xterm", **environment}))  # noqa: S606
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def wait_for(self, text: str) -> None:
        """Reads until that was shown."""
        while text.encode() not in self.shown:
            self._read()

    def type(self, text: str) -> None:
        """Types."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Reads to the end; the exit code."""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while True:
                self._read()
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], TIMEOUT_S)
        assert ready, f"nothing more was shown after {self.shown!r}"
        data = os.read(self._master, 65536)
        if not data:
            raise OSError(5, "the end")
        self.shown += data
