"""Identifiers: the SHA-256 of what they name.

In memory an identifier is 32 raw bytes, in JSON and in file names 64 lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from engine.errors import DamagedError

BlobType = Literal["data", "tree"]
"""What a blob holds: a piece of a file, or a directory's tree."""

Buffer = bytes | bytearray | memoryview
"""Bytes that the format reads; a memoryview must be contiguous and of single bytes."""

ID_BYTES = 32


def digest(data: Buffer) -> bytes:
    """The identifier of `data`."""
    return hashlib.sha256(data).digest()


def parse_id(text: str) -> bytes:
    """The identifier written as `text`.

    Raises:
        DamagedError: `text` is not 64 hexadecimal digits.
    """
    try:
        parsed = bytes.fromhex(text) if len(text) == 2 * ID_BYTES else b""
    except ValueError:
        parsed = b""
    if len(parsed) != ID_BYTES:
        raise DamagedError(f"an identifier is not 64 hexadecimal digits: {text[:80]!r}")
    return parsed
