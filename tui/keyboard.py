"""What comes from a terminal's keyboard, made safe before it is taken apart: any byte may come, and any number of them."""

from __future__ import annotations

import codecs
import re
from typing import Final

MOST_PASTED: Final = 65_536
"""Bytes of one paste; what is beyond is dropped and told of."""
MOST_TYPED: Final = 200
"""More bytes at once, with no control character among them, were pasted into a terminal that does not say so: as keys they would do who knows what."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PASTE_BEGINS: Final = b"\x1b[200~"
_PASTE_ENDS: Final = b"\x1b[201~"
_CLICK_BEGINS: Final = b"\x1b[M"
_CLICK_BYTES: Final = 3


class Keyboard:
    """Bytes in, text out, whatever the pieces they come in: what is no UTF-8 is replaced, mouse reports of the old kind (X10, with bytes that
    are no text) become those of today (SGR), and what is pasted is bounded.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._tail = b""
        """The escape sequence that has begun, as far as it may be one of ours."""
        self._click: bytearray | None = None
        """What came of an old mouse report."""
        self._is_pasting = False
        self._held = b""
        """What may be the beginning of a paste's end."""
        self._allowance = MOST_PASTED
        self._was_cut = False

    def feed(self, data: bytes) -> str:
        """What the terminal sent, as text."""
        out = bytearray()
        if not self._is_pasting and len(data) > MOST_TYPED and _CONTROL.search(data) is None:
            out += _PASTE_BEGINS + self._allowed(data) + _PASTE_ENDS
            return self._decode(bytes(out))
        if not self._is_pasting:
            self._allowance = MOST_PASTED
        place = 0
        while place < len(data):
            place = self._pasted(data, place, out) if self._is_pasting else self._typed(data, place, out)
        return self._decode(bytes(out))

    def was_cut(self) -> bool:
        """Whether something pasted was too long, since this was asked last."""
        was_cut, self._was_cut = self._was_cut, False
        return was_cut

    def _typed(self, data: bytes, place: int, out: bytearray) -> int:
        """Takes one byte that is not pasted."""
        byte = data[place : place + 1]
        if self._click is not None:
            self._click += byte
            if len(self._click) == _CLICK_BYTES:
                out += _click_of_today(self._click)
                self._click = None
            return place + 1
        tail = self._tail + byte
        if tail == _CLICK_BEGINS:  # its beginning went out already, and what follows completes it
            self._tail, self._click = b"", bytearray()
            return place + 1
        out += byte
        self._tail = next(
            (
                each
                for each in (tail, byte)
                if _PASTE_BEGINS.startswith(each) or _CLICK_BEGINS.startswith(each)
            ),
            b"",
        )
        if tail == _PASTE_BEGINS:
            self._tail, self._is_pasting, self._allowance = b"", True, MOST_PASTED
        return place + 1

    def _pasted(self, data: bytes, place: int, out: bytearray) -> int:
        """Takes what is pasted, up to the paste's end."""
        text = self._held + data[place:]
        end = text.find(_PASTE_ENDS)
        if end < 0:
            held = next(
                size for size in range(len(_PASTE_ENDS) - 1, -1, -1) if text.endswith(_PASTE_ENDS[:size])
            )
            self._held = text[len(text) - held :]
            out += self._allowed(text[: len(text) - held])
            return len(data)
        place += end + len(_PASTE_ENDS) - len(self._held)
        self._held, self._is_pasting = b"", False
        out += self._allowed(text[:end]) + _PASTE_ENDS
        return place

    def _allowed(self, text: bytes) -> bytes:
        """What still may be pasted, without control characters: Textual takes an escape among them for keys."""
        allowed = text[: self._allowance]
        self._was_cut |= len(allowed) < len(text)
        self._allowance -= len(allowed)
        return _CONTROL.sub(b"", allowed)


def _click_of_today(report: bytes | bytearray) -> bytes:
    """An old report's three bytes (button, column, row, each with 32 added) as the rest of a new one, after `ESC [`."""
    button, column, row = (max(0, each - 32) for each in report)
    is_release = button & 3 == 3 and not button & 64
    return b"<%d;%d;%d%s" % (button & ~3 if is_release else button, column, row, b"m" if is_release else b"M")
