"""The terminal as long as the first picture stands in it: no key is echoed and none is lost, and whatever ends the program gives the terminal back.

What is done here Textual's driver does for the rest of the time. It takes the terminal as it is: what it was before this tells it, and the
alternate screen is entered once, for some terminals clear it each time.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self

ENTER: Final = "\x1b[?1049h"
"""The alternate screen, which is empty then."""
_BEGIN: Final = ENTER + "\x1b[?25l\x1b[?7l"
_END: Final = b"\x1b[0m\x1b[?7h\x1b[?1049l\x1b[?25h"
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STALLED_S: Final = 1.0
"""So long the end waits for a terminal that does not read."""


class Standing:
    """A picture in the terminal of these descriptors, from `with` on. It ends with the `with`, unless Textual's driver has taken it over."""

    def __init__(self, picture: str, keyboard: int, screen: int) -> None:
        self._picture = (_BEGIN + picture).encode()
        self._keyboard, self._screen = keyboard, screen
        self._before: list[Any] | None = None
        """The terminal's attributes, as long as it is ours to give them back."""
        self._handlers: dict[signal.Signals, Any] = {}
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._keyboard)
        for number in _ENDING:
            self._handlers[number] = signal.signal(number, self._end_by)
        self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        self._stand()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def hand_over(self) -> list[Any] | None:
        """The attributes of the terminal as they were before; whoever asks gives them back from now on. He has taken the signals already."""
        before, self._before = self._before, None
        return before

    def wait_drawn(self) -> None:
        """Waits until it was sent, but not for a terminal that does not read."""
        if self._writer is not None and self._writer.is_alive():
            self._writer.join(_STALLED_S)

    def end(self) -> None:
        """Gives the terminal back, unless somebody took it over."""
        before = self.hand_over()
        if before is None:
            return
        self._give_back(before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _give_back(self, before: list[Any]) -> None:
        self.wait_drawn()
        with contextlib.suppress(OSError):
            if self._writer is not None and select.select([], [self._screen], [], 0)[1]:
                os.write(self._screen, _END)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._keyboard, termios.TCSANOW, before)

    def _stand(self) -> None:
        self._keep_keys()
        self._writer = threading.Thread(target=self._write, name="picture", daemon=True)
        self._writer.start()

    def _keep_keys(self) -> None:
        """As the driver does, but that signals are still the kernel's: until it reads, keys wait as they were typed, enter as enter."""
        attributes = termios.tcgetattr(self._keyboard)
        attributes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.IXOFF)
        attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(self._keyboard, termios.TCSANOW, attributes)

    def _write(self) -> None:
        """In a thread of its own: a terminal that does not read holds up nothing."""
        view = memoryview(self._picture)
        with contextlib.suppress(OSError):
            while view:
                view = view[os.write(self._screen, view) :]

    def _end_by(self, number: int, _frame: FrameType | None) -> None:
        """A signal that ends a program."""
        self.end()
        os._exit(128 + number)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.end()
        raise KeyboardInterrupt

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl+z: the shell has the terminal, until it wakes this again."""
        if self._before is not None:
            self._give_back(self._before)
            os.kill(os.getpid(), signal.SIGSTOP)
            self._stand()
