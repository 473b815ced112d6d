"""What is repaired in Textual's driver for Linux, all in one place.

A terminal that stops reading must not stop the console; bytes that are no text must not end it; signals restore the terminal and end it; a
terminal that hung up ends it at once. Each repair leans on names of Textual that are its own affair: the tests beside each fail when they move,
and pyproject.toml takes no other minor version.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import termios
import threading
from collections.abc import Callable
from queue import Empty, Full
from typing import IO, Final

from textual import constants
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.events import MouseEvent
from textual.message import Message

from tui.keyboard import MOST_PASTED, Keyboard, without_alt
from tui.opening import Opening
from tui.picture.standing import ENTER
from tui.text import in_ascii

HUNG_UP: Final = 128 + signal.SIGHUP
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
_READ_BYTES: Final = 4096
_LOOK_S: Final = 0.1
"""So often the thread that reads keys looks whether it is to end."""
_STALLED_S: Final = 1.0
"""So long the end waits for a terminal that does not read."""
_ENDING_S: Final = 5.0
"""So long after a signal the process goes, whatever still holds it up."""
_MODES: Final = (
    "\x1b(B\x0f\x1b[0m\x1b[r"  # characters and colours as they were meant, the whole screen to scroll
    "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h\x1b[?1004l\x1b[2J"
)
"""For ctrl+l: what another program, or a terminal that was attached anew, may have set otherwise."""


class PatientWriter(WriterThread):
    """Writes in a thread, and never lets the console wait: what a terminal does not take is dropped, all of it, and once it reads again
    `drained` is called, so that the whole screen is sent as it is then. `lost` is called when it is gone. Both in this thread.
    """

    def __init__(self, file: IO[str], drained: Callable[[], None], lost: Callable[[], None]) -> None:
        super().__init__(file)
        self._drained, self._lost = drained, lost
        self._has_dropped = False
        self._is_lost = False

    def write(self, text: str) -> None:
        """Hands a text to the thread; returns at once."""
        if self._is_lost:
            return
        try:
            self._queue.put_nowait(text)
        except Full:
            self._has_dropped = True

    def run(self) -> None:
        """Writes what comes, until it is stopped or the terminal is gone."""
        descriptor = self.fileno()
        while (text := self._queue.get()) is not None:
            try:
                _write_all(descriptor, text.encode("utf-8", "replace"))
            except OSError:
                self._is_lost = True
                self._lost()
                return
            if self._has_dropped:
                self.discard()
                self._drained()

    def discard(self) -> None:
        """Drops what waits, where something was dropped before it: the whole screen comes anyway."""
        if self._has_dropped:
            self._has_dropped = False
            with contextlib.suppress(Empty):
                while True:
                    if self._queue.get_nowait() is None:
                        self._queue.put_nowait(None)
                        return

    def stop(self) -> None:
        """Ends the thread; one that hangs in a terminal that does not read is left behind after a second."""
        with contextlib.suppress(Full):
            self._queue.put_nowait(None)
        self.join(_STALLED_S)


class ConsoleDriver(LinuxDriver):
    """Between Textual and the terminal."""

    _writer: PatientWriter | None = None
    _is_asleep = False
    _is_ending = False
    _is_entered = False
    """Whether the alternate screen was entered already."""

    @property
    def _writer_thread(self) -> PatientWriter | None:
        return self._writer

    @_writer_thread.setter
    def _writer_thread(self, thread: WriterThread | None) -> None:
        """Textual makes a writer of its own when it starts; ours takes its place before it runs."""
        self._writer = (
            None if thread is None else PatientWriter(self._file, self._when_drained, self._when_lost)  # type: ignore[arg-type]
        )

    # Life.

    def start_application_mode(self) -> None:
        """Takes the terminal, from the first picture where one stands there, and the signals that end a program."""
        opening: Opening | None = getattr(self._app, "opening", None)
        standing = opening.standing if opening is not None else None
        if standing is not None:
            standing.wait_drawn()
            self._is_entered = True
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write("\x1b[?1004l")  # a window that lost the focus shows its cursor all the same
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._end, 128 + number)
        if standing is not None:
            self.attrs_before = standing.hand_over() or self.attrs_before

    def stop_application_mode(self) -> None:
        """Gives the terminal back; a terminal that does not read gets nothing old before it."""
        if self._writer is not None:
            self._writer.discard()
        super().stop_application_mode()

    def _sigtstp_application(self, *_: object) -> None:
        if self._writer is None:  # nothing was taken yet that could be given back
            return
        self._is_asleep = self._auto_restart
        super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        """Woken: takes the terminal again where it was given back, else sets what another program may have changed meanwhile."""
        if self._is_asleep:
            self._is_asleep = False
            super()._sigcont_application()
            self._app.call_later(self._app.refresh, layout=True)
        elif self._auto_restart:
            self._app.call_later(self.assert_again)

    def _end(self, code: int) -> None:
        """Ends the app; whatever holds it up is cut off some seconds later, or by the next signal."""
        if self._is_ending:
            self._cut_off(code)
        self._is_ending = True
        watch = threading.Timer(_ENDING_S, self._cut_off, [code])
        watch.daemon = True
        watch.start()
        self._app.exit(return_code=code)

    def _cut_off(self, code: int) -> None:
        with contextlib.suppress(Exception):
            self.stop_application_mode()
            self.close()
        os._exit(code)

    # Writing.

    def write(self, data: str) -> None:
        """Hands a text to the writer, in ASCII where that is wanted."""
        if self._is_entered and data == ENTER:
            self._is_entered = False
            return
        super().write(in_ascii(data) if getattr(self._app, "is_ascii", False) else data)

    def assert_again(self) -> None:
        """Sets all modes of the terminal again, and sends every cell."""
        attributes = self.attrs_before
        if attributes is not None:
            with contextlib.suppress(termios.error):
                now = termios.tcgetattr(self.fileno)
                now[3], now[0] = self._patch_lflag(now[3]), self._patch_iflag(now[0])
                termios.tcsetattr(self.fileno, termios.TCSANOW, now)
        self.write(_MODES)
        self._enable_mouse_support()
        self._app.refresh(layout=True)

    def _when_drained(self) -> None:
        self._app_soon(self.assert_again)

    def _when_lost(self) -> None:
        self._app_soon(self._end, HUNG_UP)

    def _app_soon(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: so has the console
            self._loop.call_soon_threadsafe(call, *arguments)

    def _query_in_band_window_resize(self) -> None:
        """Left out: the signal for it says the same."""

    # The mouse.

    @property
    def has_mouse(self) -> bool:
        """Whether the mouse works in the console."""
        return self._mouse

    def take_mouse(self, *, is_wanted: bool) -> None:
        """The mouse works in the console, or selects text in the terminal."""
        self._disable_mouse_support()
        self._mouse = is_wanted
        self._enable_mouse_support()

    def _enable_mouse_support(self) -> None:
        """Clicks and the wheel alone: a report of each motion is more than a slow line bears."""
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1006l\x1b[?1000l")

    # Reading.

    def process_message(self, message: Message) -> None:
        """Takes what was read; a click beyond the screen is noise."""
        if not isinstance(message, MouseEvent) or self._app.size.contains(int(message.x), int(message.y)):
            super().process_message(message)

    def run_input_thread(self) -> None:
        """Reads keys until told to end, or until the terminal is gone."""
        keyboard, parser = Keyboard(constants.ESCAPE_DELAY), XTermParser(self._debug)
        try:
            while not self.exit_event.is_set():
                data = _read(self.fileno)
                if data == b"":
                    self._when_lost()
                    return
                text = keyboard.rest(_LOOK_S) if data is None else keyboard.feed(data)
                for message in parser.feed(text) if text else parser.tick():
                    for each in without_alt(message):
                        self.process_message(each)
                if keyboard.was_cut():
                    self._app_soon(self._tell_cut)
        finally:
            with contextlib.suppress(EOFError, ParseError):
                for _ in parser.feed(""):
                    pass

    def _tell_cut(self) -> None:
        tell = getattr(self._app, "tell", None)
        if tell is not None:
            tell(f"what was pasted is longer than {MOST_PASTED // 1024} KiB: the rest was left out")


def _read(descriptor: int) -> bytes | None:
    """What is there; None where nothing came for a moment, nothing at all when the terminal is gone."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        return os.read(descriptor, _READ_BYTES) if poll.poll(_LOOK_S * 1000) else None
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _write_all(descriptor: int, data: bytes) -> None:
    """Writes a whole piece, so that no escape sequence is ever cut. Raises: OSError when the terminal is gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody who shares the terminal set it so
            select.select([], [descriptor], [])
