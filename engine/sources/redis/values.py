"""What stands in an RDB file: texts, numbers, and values of each type, read as they stream by.

Each reader is a generator that asks for so many bytes at a time, and comes out with a number that it read or the hash of what it read.
Members of sets, hashes and sorted sets lie in no order: they are hashed one by one and added up. A value that Redis encodes another way than
before (a long list in place of a short one) counts as another.
Source: Redis, src/rdb.h and src/rdb.c, up to version 12 of the format (Redis 7.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from typing import Final, TypeVar

from engine.sources.redis import lzf
from engine.sources.rows import LONGEST_HELD_BYTES, hash_of

_Read = TypeVar("_Read")
Reading = Generator[int, bytes, int]
"""Asks for so many bytes at a time; its value is a number that was read, or the hash of what was."""
END: Final = 0xFF
SELECT, SECONDS, MILLISECONDS, FUNCTION = 0xFE, 0xFD, 0xFC, 0xF5
_RESIZE, _AUX, _FREQUENCY, _IDLE, _MODULE_AUX, _SLOT = 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF4
_INTEGERS: Final[Mapping[int, int]] = {0: 1, 1: 2, 2: 4}
"""Bytes of a text that is kept as a number, by its encoding."""
_COMPRESSED: Final = 3


class UnknownTypeError(Exception):
    """A value whose type, or a part whose meaning, nobody here knows."""


def length() -> Reading:
    """A number as it stands before what it counts."""
    number, is_encoded = yield from _length_or_encoding()
    if is_encoded:
        raise UnknownTypeError("a length of its RDB file is none")
    return number


def _length_or_encoding() -> Generator[int, bytes, tuple[int, bool]]:
    (first,) = yield 1
    kind = first >> 6
    if kind == 0:
        return first & 63, False
    if kind == 1:
        return (first & 63) << 8 | (yield 1)[0], False
    if kind == 3:
        return first & 63, True
    if first not in (0x80, 0x81):
        raise UnknownTypeError("a length of its RDB file is of a form that nobody knows")
    return int.from_bytes((yield 4 if first == 0x80 else 8), "big"), False


def text() -> Reading:
    """A text's hash. Compressed it is another than plain, and the same as compressed before."""
    size, is_encoded = yield from _length_or_encoding()
    if not is_encoded:
        return (yield from _bytes(size))
    if size in _INTEGERS:
        return hash_of(b"i" + (yield _INTEGERS[size]))
    if size != _COMPRESSED:
        raise UnknownTypeError("a text of its RDB file is of a form that nobody knows")
    size = yield from length()
    plain = yield from length()
    return hash((plain, (yield from _bytes(size))))


def plain_text() -> Generator[int, bytes, bytes]:
    """A text itself. Raises: UnknownTypeError."""
    size, is_encoded = yield from _length_or_encoding()
    if not is_encoded:
        return (yield size) if size else b""
    if size in _INTEGERS:
        return b"%d" % int.from_bytes((yield _INTEGERS[size]), "little", signed=True)
    if size != _COMPRESSED:
        raise UnknownTypeError("a text of its RDB file is of a form that nobody knows")
    size = yield from length()
    plain = yield from length()
    compressed = yield size
    try:
        return lzf.decompress(compressed, plain)
    except ValueError as error:
        raise UnknownTypeError(f"a compressed text of its RDB file is none: {error}") from error


def _bytes(size: int) -> Reading:
    if size <= LONGEST_HELD_BYTES:
        return hash_of((yield size) if size else b"")
    hashed = hashlib.blake2b(digest_size=8)
    while size:
        step = min(size, LONGEST_HELD_BYTES)
        hashed.update((yield step))
        size -= step
    return int.from_bytes(hashed.digest())


def _raw(size: int) -> Callable[[], Reading]:
    def read() -> Reading:
        return hash_of((yield size))

    return read


def _score() -> Reading:
    """A number as text, as versions before 5 wrote it."""
    (size,) = yield 1
    return size if size >= 253 else (yield from _bytes(size))


def _of(*parts: Callable[[], Reading]) -> Callable[[], Reading]:
    """One after the other."""

    def read() -> Reading:
        found = []
        for part in parts:
            found.append((yield from part()))  # noqa: PERF401 -- a comprehension cannot yield
        return hash(tuple(found))

    return read


def _many(part: Callable[[], Reading], *, is_ordered: bool) -> Callable[[], Reading]:
    """A count, and so many of that part."""

    def read() -> Reading:
        count = yield from length()
        found = count
        for _each in range(count):
            each = yield from part()
            found = hash((found, each)) if is_ordered else found + each
        return found

    return read


def _module() -> Reading:
    """The fields of a module's value, each behind a number that says what it is, until a 0."""
    found = 0
    while code := (yield from length()):
        field = _MODULE_FIELDS.get(code)
        if field is None:
            raise UnknownTypeError("a module's value is of a form that nobody knows")
        found = hash((found, code, (yield from field())))
    return found


def _stream(version: int) -> Callable[[], Reading]:
    later = version >= 2
    pending = _many(_of(_raw(16), _raw(8), length), is_ordered=True)
    seen = (_raw(8), _raw(8)) if version >= 3 else (_raw(8),)
    consumers = _many(_of(text, *seen, _many(_raw(16), is_ordered=True)), is_ordered=True)
    group = _of(text, length, length, *([length] if later else []), pending, consumers)
    numbers = [length] * (8 if later else 3)
    return _of(_many(_of(text, text), is_ordered=True), *numbers, _many(group, is_ordered=True))


_MODULE_FIELDS: Final[Mapping[int, Callable[[], Reading]]] = {
    1: length,
    2: length,
    3: _raw(4),
    4: _raw(8),
    5: text,
}
_VALUES: Final[Mapping[int, Callable[[], Reading]]] = {
    0: text,
    1: _many(text, is_ordered=True),
    2: _many(text, is_ordered=False),
    3: _many(_of(text, _score), is_ordered=False),
    4: _many(_of(text, text), is_ordered=False),
    5: _many(_of(text, _raw(8)), is_ordered=False),
    7: _of(length, _module),
    **dict.fromkeys(range(9, 14), text),
    14: _many(text, is_ordered=True),
    15: _stream(1),
    16: text,
    17: text,
    18: _many(_of(length, text), is_ordered=True),
    19: _stream(2),
    20: text,
    21: _stream(3),
    24: _of(_raw(8), _many(_of(length, text, text), is_ordered=False)),
    25: _of(_raw(8), text),
}
PASSED_OVER: Final[Mapping[int, Callable[[], Reading]]] = {
    _RESIZE: _of(length, length),
    _AUX: _of(text, text),
    _FREQUENCY: _raw(1),
    _IDLE: length,
    _MODULE_AUX: _of(length, length, length, _module),
    _SLOT: _of(length, length, length),
}


def value(kind: int) -> Reading:
    """The hash of a value of that type. Raises: UnknownTypeError."""
    read = _VALUES.get(kind)
    if read is None:
        raise UnknownTypeError(f"its RDB file has values of type {kind}, which nobody here knows")
    return (yield from read())


def hash_of_value(data: bytes) -> int | None:
    """Of one value with its type before it, as DUMP and RESTORE have them; None where it is none that anybody here knows."""
    try:
        return _read_whole(value(data[0]), data[1:])
    except (UnknownTypeError, IndexError):
        return None


def plain_string(data: bytes) -> bytes | None:
    """What a value holds that is a plain string, its type before it; None for any other."""
    try:
        return _read_whole(plain_text(), data[1:]) if data[:1] == b"\0" else None
    except UnknownTypeError:
        return None


def _read_whole(reading: Generator[int, bytes, _Read], data: bytes) -> _Read:
    position = 0
    try:
        wanted = next(reading)
        while position + wanted <= len(data):
            position += wanted
            wanted = reading.send(data[position - wanted : position])
    except StopIteration as end:
        result: _Read = end.value
        return result
    raise UnknownTypeError("it ends in the middle")
