"""Listings of a REST server, taken apart as they arrive: an object of JSON each, which a stranger wrote."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import orjson

from engine import errors
from engine.storages.base import is_name

_ENTRY = struct.Struct(">32sQ")
MOST_ENTRIES = 20_000_000
LONGEST_BYTES = 4096
"""Of one entry."""


class Listing:
    """Fed with pieces of the answer; keeps 40 bytes for each object."""

    def __init__(self) -> None:
        self._found = bytearray()
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Takes the next piece. Raises: StorageError for what is no listing of version 2."""
        *entries, self._rest = (self._rest + piece).split(b"}")
        for entry in entries:
            self._take(entry)
        if len(self._rest) > LONGEST_BYTES or len(self._found) > MOST_ENTRIES * _ENTRY.size:
            raise _strange()

    def end(self) -> None:
        """All has come. Raises: StorageError where it was cut, or is no list."""
        if self._rest.strip() not in (b"]", b"[]", b"null"):
            raise _strange()

    def objects(self) -> Iterator[tuple[str, int]]:
        """Name and size in bytes."""
        for name, size in _ENTRY.iter_unpack(self._found):
            yield name.hex(), size

    def _take(self, entry: bytes) -> None:
        try:
            found = orjson.loads(entry.lstrip(b"[, \t\r\n") + b"}")
            name, size = found["name"], found["size"]
            if isinstance(name, str) and is_name(name):
                self._found += _ENTRY.pack(bytes.fromhex(name), size)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise _strange() from error


def _strange() -> errors.StorageError:
    return errors.StorageError(
        "the server sent a listing that cannot be understood",
        hint="does it speak restic's REST protocol, version 2?",
    )
