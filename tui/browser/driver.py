"""What is repaired in Textual's driver for browsers, as terminal.py does for terminals. Runs in the child."""

from __future__ import annotations

import os
import select
from typing import Final

from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.drivers._byte_stream import ByteStream
from textual.drivers.web_driver import WebDriver, _ExitInput

from tui.keyboard import MOST_PASTED, Keyboard, without_alt
from tui.text import in_ascii

_READ_BYTES: Final = 65536
_LOOK_S: Final = 0.1
"""So often the thread that reads keys looks whether it is to end."""


class BrowserDriver(WebDriver):
    """Between Textual and the server that began this process."""

    def _enable_mouse_support(self) -> None:
        """Clicks and the wheel, where the mouse is wanted at all: without it the page selects text."""
        self.write("\x1b[?1003l" + ("\x1b[?1000h\x1b[?1006h" if self._mouse else ""))

    def start_application_mode(self) -> None:
        """Takes the page; one that is not in front shows its cursor all the same."""
        super().start_application_mode()
        self._enable_mouse_support()
        self._app.call_later(
            self._app.post_message, events.AppFocus()
        )  # Textual said the contrary a line before

    def write(self, data: str) -> None:
        """Hands a text to the server, in ASCII where that is wanted."""
        super().write(in_ascii(data) if getattr(self._app, "is_ascii", False) else data)

    def run_input_thread(self) -> None:
        """Reads packets until told to end, or until the server is gone, which ends the console."""
        keyboard, parser, packets = (
            Keyboard(constants.ESCAPE_DELAY),
            XTermParser(self._debug),
            ByteStream(),
        )
        try:
            while not self.exit_event.is_set():
                data = _read()
                if data == b"":
                    self.on_meta("quit", {})
                    return
                text = keyboard.rest(_LOOK_S) if data is None else ""
                for kind, payload in packets.feed(data) if data else ():
                    if kind == "D":
                        text += keyboard.feed(payload)
                    else:
                        self._on_meta(kind, payload)
                for message in parser.feed(text) if text else parser.tick():
                    for each in without_alt(message):
                        self.process_message(each)
                if keyboard.was_cut():
                    self._tell_cut()
        except _ExitInput:
            return

    def _tell_cut(self) -> None:
        tell = getattr(self._app, "tell", None)
        if tell is not None:
            self._app.call_later(
                tell, f"what was pasted is longer than {MOST_PASTED // 1024} KiB: the rest was left out"
            )


def _read() -> bytes | None:
    """What is there; None where nothing came for a moment, nothing at all when the server is gone."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    return os.read(0, _READ_BYTES) if poll.poll(_LOOK_S * 1000) else None
