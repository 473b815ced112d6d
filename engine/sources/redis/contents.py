"""What an RDB file holds: of each numbered database how many keys, and a digest of all keys with their values and their times.

Keys lie in no order: they are hashed one by one and added up. How long nobody asked for a key counts for nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents, RowSample
from engine.sources.redis import values
from engine.sources.redis.rdb import HEADER_BYTES
from engine.sources.redis.values import UnknownTypeError
from engine.sources.rows import RowDigest


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
        while (code := (yield 1)[0]) != values.END:
            if code == values.SELECT:
                database = yield from values.length()
                self._databases.setdefault(database, RowDigest())
            elif code in (values.SECONDS, values.MILLISECONDS):
                size = 4 if code == values.SECONDS else 8
                expires = int.from_bytes((yield size), "little") * (1000 if size == 4 else 1)
            elif code in values.PASSED_OVER:
                yield from values.PASSED_OVER[code]()
            elif code == values.FUNCTION:
                self._functions.add([(yield from values.text())])
            else:
                key = yield from values.text()
                value = yield from values.value(code)
                self._databases.setdefault(database, RowDigest()).add([hash((key, code, expires, value))])
                expires = 0
