"""An RDB file cut into its keys, as it streams by: what each is named, where it lies, and the bytes of its value. Pure.

The bytes of a value in the file, with its type before them and a version and a checksum behind, are what RESTORE takes: so a file can be
loaded into a running server key by key, without any server that loads it first.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from engine.errors import IncompleteDumpError, SourceError
from engine.sources.redis import values
from engine.sources.redis.rdb import HEADER_BYTES
from engine.sources.redis.values import UnknownTypeError


@dataclass(frozen=True, slots=True)
class Record:
    """One key, or one library of functions, which belongs to no database and has no name of its own."""

    type: int
    """As the file has it; of functions `values.FUNCTION`."""
    database: int = 0
    key: bytes = b""
    expires_ms: int = 0
    """Since 1970; 0 where it lasts."""


class Taker(Protocol):
    """What is done with the keys."""

    def begin(self, record: Record) -> None:
        """The next one."""
        ...

    def piece(self, data: bytes) -> None:
        """Bytes of its value, in order."""
        ...

    def end(self) -> None:
        """Its value is whole."""
        ...


class RecordReader:
    """Reads one file. For one thread at a time, and slow: not for the event loop's."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._window = b""
        self._cursor = 0
        self._value_begin = -1
        """In the window; -1 outside of values."""
        self._is_over = False
        self._reading = self._file()
        self._wanted = next(self._reading)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises: SourceError for a file that cannot be taken apart."""
        if self._is_over:
            return
        window = self._window + data if self._window else data
        self._window, position = window, 0
        try:
            while position + self._wanted <= len(window):
                self._cursor = position + self._wanted
                self._wanted = self._reading.send(window[position : self._cursor])
                position = self._cursor
        except StopIteration:
            self._is_over = True
        except UnknownTypeError as error:
            raise SourceError(
                f"the dump cannot be loaded key by key: {error}",
                hint="restore it into a directory (--to DIR); a server that starts with the file there loads it whole",
            ) from error
        if self._value_begin >= 0:
            self._pass_on(position)
            self._value_begin = 0
        self._window = b"" if self._is_over else window[position:]

    def finish(self) -> None:
        """Called once, after the last byte. Raises: IncompleteDumpError where it is not whole."""
        if not self._is_over:
            raise IncompleteDumpError("the RDB file ends in the middle of its keys")

    def _file(self) -> Generator[int, bytes, None]:
        yield HEADER_BYTES
        database, expires_ms = 0, 0
        while (code := (yield 1)[0]) != values.END:
            if code == values.SELECT:
                database = yield from values.length()
            elif code in (values.SECONDS, values.MILLISECONDS):
                size = 4 if code == values.SECONDS else 8
                expires_ms = int.from_bytes((yield size), "little") * (1000 if size == 4 else 1)
            elif code in values.PASSED_OVER:
                yield from values.PASSED_OVER[code]()
            elif code == values.FUNCTION:
                yield from self._record(Record(code), values.text())
            else:
                key = yield from values.plain_text()
                yield from self._record(Record(code, database, key, expires_ms), values.value(code))
                expires_ms = 0

    def _record(self, record: Record, reading: values.Reading) -> Generator[int, bytes, None]:
        self._taker.begin(record)
        self._value_begin = self._cursor
        yield from reading
        self._pass_on(self._cursor)
        self._value_begin = -1
        self._taker.end()

    def _pass_on(self, end: int) -> None:
        if end > self._value_begin:
            self._taker.piece(self._window[self._value_begin : end])
