"""Names of databases as names of files, for the layout of database backups that the package's docstring describes."""

from __future__ import annotations

import hashlib
import re
from typing import Final

LIMIT_BYTES: Final = 200
"""Of an encoded name; with `.dump` or `.sql` it stays below the 255 bytes of any file system."""

_KEPT_BYTES: Final = 160
"""Of a name that is too long; its hash follows."""

_HASH_DIGITS: Final = 32
_SPECIAL: Final = re.compile("[\x00-\x1f\x7f-\x9f/%\udc80-\udcff]")
_ESCAPE: Final = re.compile("%([0-9A-F]{2})")
_TRUNCATED_ESCAPE: Final = re.compile(rb"%[0-9A-F]?\Z")


def encode_name(name: str) -> str:
    """A file name for the database `name`.

    `/`, `%` and control characters become `%XX` of their UTF-8 bytes, as do bytes that are not UTF-8 (surrogate escapes) and the dots of
    `.` and `..`; the empty name is a lone `%`. What is longer than 200 bytes then is cut and ends in `%~` and 32 digits of its SHA-256.
    """
    if not name:
        return "%"
    encoded = "%2E" * len(name) if name in (".", "..") else _SPECIAL.sub(_escape, name)
    as_bytes = encoded.encode()
    if len(as_bytes) <= LIMIT_BYTES:
        return encoded
    kept = _TRUNCATED_ESCAPE.sub(b"", as_bytes[:_KEPT_BYTES]).decode(errors="ignore")
    return f"{kept}%~{hashlib.sha256(as_bytes).hexdigest()[:_HASH_DIGITS]}"


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def decode_name(encoded: str) -> str | None:
    """The database that `encode_name` named so; None where the name was cut, and only the manifest knows it."""
    if encoded == "%":
        return ""
    if "%~" in encoded:
        return None
    escaped = _ESCAPE.sub(lambda match: chr(0xDC00 | int(match[1], 16)), encoded)
    as_bytes = b"".join(map(_byte_or_text, escaped))
    return as_bytes.decode("utf-8", "surrogateescape")


def _byte_or_text(character: str) -> bytes:
    """An escaped byte, which stands as a lone surrogate for the moment, or the character itself."""
    code = ord(character)
    return bytes((code - 0xDC00,)) if 0xDC00 <= code <= 0xDCFF else character.encode("utf-8", "replace")
