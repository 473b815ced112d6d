"""Reading JSON that nobody vouches for: whatever is wrong with it becomes a DamagedError."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from engine.errors import DamagedError
from engine.format.ids import Buffer

_Decoded = TypeVar("_Decoded")

_ESCAPED: re.Pattern[str] = re.compile('["\\\\<>&\x00-\x1f\u2028\u2029\udc80-\udcff]')
_SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_PLAIN_BYTES = bytes(byte for byte in range(0x20, 0x80) if byte not in b'"\\<>&')


def decode(decoder: msgspec.json.Decoder[_Decoded], data: Buffer, what: str) -> _Decoded:
    """Decode `data`; `what` names it in the message.

    Raises:
        DamagedError: not JSON, not of the decoder's type, nested too deep, or not UTF-8.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(f"the JSON of a {what} is damaged: {error}") from error


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return "\\ufffd"
    return _SHORT_ESCAPES.get(character) or f"\\u{code:04x}"


def quote(text: bytes) -> bytes:
    r"""`text` within quotes, byte for byte as Go's encoding/json writes it.

    `<`, `>`, `&`, U+2028 and U+2029 are escaped, each byte that is not UTF-8 becomes the six characters `\ufffd`, and everything else
    beyond ASCII stays as it is. `\b` and `\f` are short since Go 1.22, which builds restic 0.17 and newer.
    """
    if not text.translate(None, _PLAIN_BYTES):
        return b'"%b"' % text
    escaped = _ESCAPED.sub(_escape, text.decode("utf-8", "surrogateescape"))
    return b'"%b"' % escaped.encode()
