"""What comes from a terminal's keyboard, made safe before it is taken apart: any byte may come, and any number of them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

from textual.events import Key
from textual.keys import _character_to_key
from textual.message import Message

MOST_PASTED: Final = 65_536
"""Bytes of one paste; what is beyond is dropped and told of."""
MOST_TYPED: Final = 200
"""More bytes at once, with no control character among them, were pasted into a terminal that does not say so: as keys they would do who knows what."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PASTE_BEGINS: Final = b"\x1b[200~"
_PASTE_ENDS: Final = b"\x1b[201~"
_CLICK_BEGINS: Final = b"\x1b[M"
_CLICK_BYTES: Final = 3
_ESCAPE: Final = b"\x1b"
_ESCAPE_KEY: Final = b"\x1b[27u"
"""The key, said so that nothing that follows can make something else of it."""
_IN_SEQUENCES: Final = frozenset(b"[OP]_bf") | frozenset(range(0x1B)) | {0x7F}
"""What makes a sequence with an escape before it: what terminals send, and what goes or deletes by words in a field."""


class Keyboard:
    """Bytes in, text out, whatever the pieces they come in: what is no UTF-8 is replaced, mouse reports of the old kind (X10, with bytes that
    are no text) become those of today (SGR), and what is pasted is bounded.

    A terminal says Alt by an escape before the key, and no key here needs Alt: escape and a key typed quickly after it, which a slow line
    brings together, are these two.
    """

    def __init__(self, escape_s: float = 0.1) -> None:
        self._escape_s = escape_s
        """So long after an escape what comes may belong to it."""
        self._held_s = 0.0
        """So long nothing came after the last byte, where that was an escape: it is held back."""
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
            out += self._let_go() + _PASTE_BEGINS + self._allowed(data) + _PASTE_ENDS
            return self._decode(bytes(out))
        if not self._is_pasting:
            self._allowance = MOST_PASTED
        place = 0
        while place < len(data):
            place = self._pasted(data, place, out) if self._is_pasting else self._typed(data, place, out)
        return self._decode(bytes(out))

    def rest(self, waited_s: float) -> str:
        """Nothing came for so long: an escape that was the last thing to come was the key."""
        self._held_s += waited_s
        return self._decode(self._let_go()) if self._held_s >= self._escape_s else ""

    def _let_go(self) -> bytes:
        """The escape that is held back, where there is one."""
        if self._tail != _ESCAPE:
            return b""
        self._tail = b""
        return _ESCAPE_KEY

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
        if data[place] not in _IN_SEQUENCES:
            out += self._let_go()
        tail = self._tail + byte
        if tail == _CLICK_BEGINS:  # its beginning went out already, and what follows completes it
            self._tail, self._click = b"", bytearray()
            return place + 1
        if byte == _ESCAPE:
            self._held_s = 0.0
        else:
            out += self._tail + byte if self._tail == _ESCAPE else byte
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


def without_alt(message: Message) -> Iterator[Message]:
    """A key with Alt as escape and that key, where it is a letter, digit or sign; all else as it is."""
    plain = message.key.removeprefix("alt+") if isinstance(message, Key) else ""
    if isinstance(message, Key) and plain != message.key and (letter := _letter_of(plain)):
        yield Key("escape", "\x1b")
        yield Key(plain, letter)
    else:
        yield message


_LETTERS: Final = {_character_to_key(chr(code)): chr(code) for code in range(0x20, 0x7F)}
"""Names of keys, and what they type."""


def _letter_of(key: str) -> str:
    """What a key types; empty for one that types nothing, as `up` or `ctrl+b`."""
    return key if len(key) == 1 else _LETTERS.get(key, "")
