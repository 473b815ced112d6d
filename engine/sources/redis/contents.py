"""What an RDB file holds: of each numbered database how many keys, and a digest of all keys with their values and their times.

Keys lie in no order, nor do members of sets, hashes and sorted sets: they are hashed one by one and added up. A value that Redis encodes
another way than before (a long list in place of a short one) counts as another; how long nobody asked for a key counts for nothing.
Source: Redis, src/rdb.h and src/rdb.c, up to version 12 of the format (Redis 7.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Final

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents, RowSample
from engine.sources.redis.rdb import HEADER_BYTES
from engine.sources.rows import LONGEST_HELD_BYTES, RowDigest, hash_of

_Reading = Generator[int, bytes, int]
"""Asks for so many bytes at a time; its value is a number that was read, or the hash of what was."""
_END: Final = 0xFF
_SELECT, _SECONDS, _MILLISECONDS, _RESIZE, _AUX = 0xFE, 0xFD, 0xFC, 0xFB, 0xFA
_FREQUENCY, _IDLE, _MODULE_AUX, _FUNCTION, _SLOT = 0xF9, 0xF8, 0xF7, 0xF5, 0xF4
_INTEGERS: Final[Mapping[int, int]] = {0: 1, 1: 2, 2: 4}
"""Bytes of a text that is kept as a number, by its encoding."""
_COMPRESSED: Final = 3


class UnknownTypeError(Exception):
    """A value whose type, or a part whose meaning, nobody here knows."""


class RedisContents:
    """See `base.DumpReader`."""

    def __init__(self, samples: Mapping[str, RowSample], folder: Path | None = None) -> None:
        """Rows of Redis are never sampled."""
        del samples, folder
        self._databases: dict[int, RowDigest] = {}
        self._functions = RowDigest()
        self._held = b""
        self._reading = self._file()
        self._wanted = next(self._reading)
        self._is_over = False
        self._unknown = ""

    def feed(self, data: bytes) -> None:
        """See `base.DumpReader.feed`."""
        if self._is_over:
            return
        held = self._held + data if self._held else data
        position = 0
        try:
            while position + self._wanted <= len(held):
                end = position + self._wanted
                self._wanted = self._reading.send(held[position:end])
                position = end
        except StopIteration:
            self._is_over = True
        except UnknownTypeError as error:
            self._is_over, self._unknown = True, str(error)
        self._held = b"" if self._is_over else held[position:]

    def finish(self) -> DumpContents:
        """See `base.DumpReader.finish`."""
        if not self._is_over:
            raise IncompleteDumpError("the RDB file ends in the middle of its keys")
        names = {f"db{number}": digest for number, digest in self._databases.items()}
        if self._unknown:
            return DumpContents(unread=dict.fromkeys(names, self._unknown))
        functions = {"functions": repr(self._functions.content).encode()} if self._functions.rows else {}
        return DumpContents(functions, {name: digest.content for name, digest in names.items()})

    def close(self) -> None:
        """See `base.DumpReader.close`. Nothing is kept."""

    def _file(self) -> Generator[int, bytes, None]:
        yield HEADER_BYTES
        database, expires = 0, 0
        while (code := (yield 1)[0]) != _END:
            if code == _SELECT:
                database = yield from _length()
                self._databases.setdefault(database, RowDigest())
            elif code in (_SECONDS, _MILLISECONDS):
                size = 4 if code == _SECONDS else 8
                expires = int.from_bytes((yield size), "little") * (1000 if size == 4 else 1)
            elif code in _PASSED_OVER:
                yield from _PASSED_OVER[code]()
            elif code == _FUNCTION:
                self._functions.add([(yield from _text())])
            else:
                key = yield from _text()
                value = yield from _value(code)
                self._databases.setdefault(database, RowDigest()).add([hash((key, code, expires, value))])
                expires = 0


def _length() -> _Reading:
    length, is_encoded = yield from _length_or_encoding()
    if is_encoded:
        raise UnknownTypeError("a length of its RDB file is none")
    return length


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


def _text() -> _Reading:
    """A text's hash. Compressed it is another than plain, and the same as compressed before."""
    length, is_encoded = yield from _length_or_encoding()
    if not is_encoded:
        return (yield from _bytes(length))
    if length in _INTEGERS:
        return hash_of(b"i" + (yield _INTEGERS[length]))
    if length != _COMPRESSED:
        raise UnknownTypeError("a text of its RDB file is of a form that nobody knows")
    size = yield from _length()
    plain = yield from _length()
    return hash((plain, (yield from _bytes(size))))


def _bytes(size: int) -> _Reading:
    if size <= LONGEST_HELD_BYTES:
        return hash_of((yield size) if size else b"")
    hashed = hashlib.blake2b(digest_size=8)
    while size:
        step = min(size, LONGEST_HELD_BYTES)
        hashed.update((yield step))
        size -= step
    return int.from_bytes(hashed.digest())


def _raw(size: int) -> Callable[[], _Reading]:
    def read() -> _Reading:
        return hash_of((yield size))

    return read


def _score() -> _Reading:
    """A number as text, as versions before 5 wrote it."""
    (size,) = yield 1
    return size if size >= 253 else (yield from _bytes(size))


def _of(*parts: Callable[[], _Reading]) -> Callable[[], _Reading]:
    """One after the other."""

    def read() -> _Reading:
        found = []
        for part in parts:
            found.append((yield from part()))  # noqa: PERF401 -- a comprehension cannot yield
        return hash(tuple(found))

    return read


def _many(part: Callable[[], _Reading], *, is_ordered: bool) -> Callable[[], _Reading]:
    """A count, and so many of that part."""

    def read() -> _Reading:
        count = yield from _length()
        found = count
        for _each in range(count):
            each = yield from part()
            found = hash((found, each)) if is_ordered else found + each
        return found

    return read


def _module() -> _Reading:
    """The fields of a module's value, each behind a number that says what it is, until a 0."""
    found = 0
    while code := (yield from _length()):
        field = _MODULE_FIELDS.get(code)
        if field is None:
            raise UnknownTypeError("a module's value is of a form that nobody knows")
        found = hash((found, code, (yield from field())))
    return found


def _stream(version: int) -> Callable[[], _Reading]:
    later = version >= 2
    pending = _many(_of(_raw(16), _raw(8), _length), is_ordered=True)
    seen = (_raw(8), _raw(8)) if version >= 3 else (_raw(8),)
    consumers = _many(_of(_text, *seen, _many(_raw(16), is_ordered=True)), is_ordered=True)
    group = _of(_text, _length, _length, *([_length] if later else []), pending, consumers)
    numbers = [_length] * (8 if later else 3)
    return _of(_many(_of(_text, _text), is_ordered=True), *numbers, _many(group, is_ordered=True))


_MODULE_FIELDS: Final[Mapping[int, Callable[[], _Reading]]] = {
    1: _length,
    2: _length,
    3: _raw(4),
    4: _raw(8),
    5: _text,
}
_VALUES: Final[Mapping[int, Callable[[], _Reading]]] = {
    0: _text,
    1: _many(_text, is_ordered=True),
    2: _many(_text, is_ordered=False),
    3: _many(_of(_text, _score), is_ordered=False),
    4: _many(_of(_text, _text), is_ordered=False),
    5: _many(_of(_text, _raw(8)), is_ordered=False),
    7: _of(_length, _module),
    **dict.fromkeys(range(9, 14), _text),
    14: _many(_text, is_ordered=True),
    15: _stream(1),
    16: _text,
    17: _text,
    18: _many(_of(_length, _text), is_ordered=True),
    19: _stream(2),
    20: _text,
    21: _stream(3),
    24: _of(_raw(8), _many(_of(_length, _text, _text), is_ordered=False)),
    25: _of(_raw(8), _text),
}
_PASSED_OVER: Final[Mapping[int, Callable[[], _Reading]]] = {
    _RESIZE: _of(_length, _length),
    _AUX: _of(_text, _text),
    _FREQUENCY: _raw(1),
    _IDLE: _length,
    _MODULE_AUX: _of(_length, _length, _length, _module),
    _SLOT: _of(_length, _length, _length),
}


def _value(kind: int) -> _Reading:
    read = _VALUES.get(kind)
    if read is None:
        raise UnknownTypeError(f"its RDB file has values of type {kind}, which nobody here knows")
    return (yield from read())
