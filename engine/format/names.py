r"""Names in trees: Go's strconv.Quote without the quotes, so that any bytes fit into JSON.

Printable characters stand as they are; `\a \b \f \n \r \t \v \" \\` are short; every other ASCII control and every byte that is not UTF-8
is `\xNN`, every other unprintable character `\uNNNN` or `\UNNNNNNNN`. Printable is what Go calls so: letters, marks, numbers, punctuation,
symbols and the plain space, by the Unicode tables of the Go release; Python's own tables are of another version, and the difference
concerns only characters of the last years, and only whether a tree gets the same identifier as restic would give it.
Source: Go strconv/quote.go.
"""

from __future__ import annotations

import re
from typing import Final

from engine.errors import DamagedError

PLAIN_BYTES: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
"""ASCII that quoting leaves alone."""

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
    return "".join(map(_quote_character, name.decode("utf-8", "surrogateescape"))).encode()


def _quote_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if short := _SHORT.get(character):
        return short
    if character.isprintable():
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
