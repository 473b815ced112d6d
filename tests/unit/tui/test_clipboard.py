"""Copying into the terminal's clipboard, through what stands between."""

from __future__ import annotations

import base64
import re

from tui.clipboard import MOST_BYTES, sequence

TEXT = "holdfast restore latest:site --to /tmp/grüße" * 8
CODE = base64.b64encode(TEXT.encode()).decode()


def test_a_terminal_gets_the_text_as_it_is_encoded() -> None:
    """OSC 52."""
    assert sequence(TEXT, {"TERM": "xterm"}) == f"\x1b]52;c;{CODE}\x07"


def test_tmux_passes_it_on() -> None:
    """Each escape within is doubled, as its manual says; also where TERM is that of screen, as tmux has it."""
    assert sequence(TEXT, {"TERM": "screen", "TMUX": "/run/tmux/default,1,0"}) == (
        f"\x1bPtmux;\x1b\x1b]52;c;{CODE}\x07\x1b\\"
    )


def test_screen_passes_it_on_in_pieces() -> None:
    """It cuts what is longer than 768 bytes; without the wrapping it is the sequence again."""
    made = sequence(TEXT, {"TERM": "screen-256color"})
    pieces = re.findall("\x1bP(.*?)\x1b\\\\", made, re.DOTALL)
    assert "".join(f"\x1bP{each}\x1b\\" for each in pieces) == made
    assert "".join(pieces) == f"\x1b]52;c;{CODE}\x07"
    assert max(map(len, pieces)) < 768


def test_what_no_terminal_takes_is_not_sent() -> None:
    """A part of it in the clipboard would be run as if it were whole."""
    assert sequence("x" * MOST_BYTES, {}) == ""
