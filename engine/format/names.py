r"""Names in trees: Go's strconv.Quote without the quotes, so that any bytes fit into JSON.

Printable characters stand as they are; `\a \b \f \n \r \t \v \" \\` are short; every other ASCII control and every byte that is not UTF-8
is `\xNN`, every other unprintable character `\uNNNN` or `\UNNNNNNNN`. Printable is what Go calls so: letters, marks, numbers, punctuation,
symbols and the plain space, by the tables of Unicode 15, which restic 0.17 to 0.19 are built with (all characters tried). Under a Python of
newer tables characters younger than those stand as they are; that is read just as well, only restic's trees get other identifiers.
Source: Go strconv/quote.go.
"""

from __future__ import annotations

import re
from typing import Final

from engine.errors import DamagedError

PLAIN_BYTES: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
"""ASCII that quoting leaves alone."""

_ADDED_IN_UNICODE_15: Final = re.compile(
    "["
    "\u0cf3\u0ece\U00010efd-\U00010eff\U0001123f-\U00011241\U00011b00-\U00011b09"
    "\U00011f00-\U00011f10\U00011f12-\U00011f3a\U00011f3e-\U00011f59\U0001342f"
    "\U00013440-\U00013455\U0001b132\U0001b155\U0001d2c0-\U0001d2d3\U0001df25-\U0001df2a"
    "\U0001e030-\U0001e06d\U0001e08f\U0001e4d0-\U0001e4f9\U0001f6dc\U0001f774-\U0001f776"
    "\U0001f77b-\U0001f77f\U0001f7d9\U0001fa75-\U0001fa77\U0001fa87-\U0001fa88"
    "\U0001faad-\U0001faaf\U0001fabb-\U0001fabd\U0001fabf\U0001face-\U0001facf"
    "\U0001fada-\U0001fadb\U0001fae8\U0001faf7-\U0001faf8\U0002b739\U00031350-\U000323af"
    "]"
)
"""Printable characters that Python 3.11 (Unicode 14) does not know and that Go 1.21 to 1.26 (Unicode 15) does."""

_SHORT: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}
_LONG: Final = {short[1]: ord(character) for character, short in _SHORT.items()} | {"'": 0x27}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv\\\"']))|(\\)"
)


def quote(name: bytes) -> bytes:
    """The quoted form, in UTF-8."""
    if not name.translate(None, PLAIN_BYTES):
        return name
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and '"' not in text and "\\" not in text:
        return name
    return "".join(map(_quote_character, text)).encode()


def _quote_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if short := _SHORT.get(character):
        return short
    if character.isprintable() or _ADDED_IN_UNICODE_15.match(character):
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote(text: str) -> bytes:
    r"""The bytes that were quoted.

    Raises:
        DamagedError: a backslash with nothing after it that Go's Unquote knows.
    """
    if "\\" not in text:
        return _encode(text)
    parts = []
    position = 0
    for match in _ESCAPE.finditer(text):
        parts.append(_encode(text[position : match.start()]))
        parts.append(_unescape(match))
        position = match.end()
    parts.append(_encode(text[position:]))
    return b"".join(parts)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DamagedError(f"a name in a tree is not Unicode: {text[:80]!r}") from error


def _unescape(match: re.Match[str]) -> bytes:
    byte, short, long, octal, character, _ = match.groups()
    if byte:
        return bytes((int(byte, 16),))
    if octal and int(octal, 8) < 0x100:
        return bytes((int(octal, 8),))
    if character:
        return chr(_LONG[character]).encode()
    code = int(short or long or "110000", 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise DamagedError(f"a name in a tree has an escape that means nothing: {match.string[:80]!r}")
    return chr(code).encode()
