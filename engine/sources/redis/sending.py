"""The keys of an RDB file as commands for a running server: counted first, then written. Pure.

RESTORE wants to know how long a value is before its first byte. Short ones are held until they are whole; how long the others are was
found when the file was counted, so that memory does not grow with them.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.model.manifest import TableFacts
from engine.sources.redis import values
from engine.sources.redis.checksum import Checksum
from engine.sources.redis.records import Record

LONGEST_HELD_BYTES: Final = 1 << 20
"""Values up to this are held whole."""
_FOOTER_BYTES: Final = 10
_SAMPLES: Final = 200
_LONGEST_SAMPLE_BYTES: Final = 16 << 10
_BEHIND: Final = b"\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"


@dataclass(slots=True)
class Count:
    """See `records.Taker`: what a file holds."""

    keys: dict[int, int] = field(default_factory=dict)
    """By the number of their database."""
    expiring: dict[int, int] = field(default_factory=dict)
    functions: int = 0
    longest_bytes: int = 0
    """Of one value."""
    long: dict[int, int] = field(default_factory=dict)
    """How long the values are that are not held, by how many records came before them."""
    _records: int = -1
    _size_bytes: int = 0

    def begin(self, record: Record) -> None:
        """See `records.Taker.begin`."""
        self._records += 1
        self._size_bytes = 0
        if record.type == values.FUNCTION:
            self.functions += 1
            return
        self.keys[record.database] = self.keys.get(record.database, 0) + 1
        if record.expires_ms:
            self.expiring[record.database] = self.expiring.get(record.database, 0) + 1

    def piece(self, data: bytes) -> None:
        """See `records.Taker.piece`."""
        self._size_bytes += len(data)

    def end(self) -> None:
        """See `records.Taker.end`."""
        self.longest_bytes = max(self.longest_bytes, self._size_bytes)
        if self._size_bytes > LONGEST_HELD_BYTES:
            self.long[self._records] = self._size_bytes

    def tables(self, databases: Collection[int]) -> list[TableFacts]:
        """The numbered databases that hold keys, of those or of all, as a manifest has them."""
        return [
            TableFacts(f"db{number}", count, expiring=self.expiring.get(number, 0))
            for number, count in sorted(self.keys.items())
            if not databases or number in databases
        ]


@dataclass(frozen=True, slots=True)
class Sample:
    """A key that was sent, with its value: the type first, and no footer."""

    record: Record
    value: bytes


class Sender:
    """See `records.Taker`: writes the commands that make the keys of some databases, or of all and the functions."""

    def __init__(self, version: int, long: Mapping[int, int], databases: Collection[int], seed: int) -> None:
        """`version` is the file's own."""
        self.commands = 0
        """So many were written."""
        self._footer = version.to_bytes(2, "little")
        self._long = long
        self._databases = databases
        self._random = random.Random(seed)  # noqa: S311 -- chooses samples
        self._samples: list[Sample] = []
        self._sampled_of = 0
        self._out = bytearray()
        self._selected = -1
        self._records = -1
        self._record: Record | None = None
        self._checksum: Checksum | None = None
        self._held = bytearray()

    @property
    def samples(self) -> Sequence[Sample]:
        """Some of the keys that were sent, at random."""
        return self._samples

    def taken(self) -> bytes:
        """What was written since the last time."""
        written = bytes(self._out)
        self._out.clear()
        return written

    def begin(self, record: Record) -> None:
        """See `records.Taker.begin`."""
        self._records += 1
        is_function = record.type == values.FUNCTION
        if self._databases and (is_function or record.database not in self._databases):
            self._record = None
            return
        self._record = record
        if not is_function and record.database != self._selected:
            self._selected = record.database
            self.commands += 1
            self._out += b"*2\r\n$6\r\nSELECT\r\n" + _bulk(b"%d" % record.database)
        size_bytes = self._long.get(self._records)
        if size_bytes is None:
            self._held = bytearray((record.type,))
            return
        self._out += _before(record, size_bytes + 1) + bytes((record.type,))
        self._checksum = Checksum()
        self._checksum.update(bytes((record.type,)))

    def piece(self, data: bytes) -> None:
        """See `records.Taker.piece`."""
        if self._record is None:
            return
        if self._checksum is None:
            self._held += data
            return
        self._checksum.update(data)
        self._out += data

    def end(self) -> None:
        """See `records.Taker.end`."""
        record = self._record
        if record is None:
            return
        if self._checksum is None:
            checksum = Checksum()
            checksum.update(bytes(self._held))
            self._sample(record)
            self._out += _before(record, len(self._held)) + self._held
        else:
            checksum, self._checksum = self._checksum, None
        checksum.update(self._footer)
        self._out += self._footer + checksum.value().to_bytes(8, "little")
        self._out += b"\r\n$7\r\nREPLACE\r\n" if record.type == values.FUNCTION else _BEHIND
        self.commands += 1

    def _sample(self, record: Record) -> None:
        if record.type == values.FUNCTION or len(self._held) > _LONGEST_SAMPLE_BYTES:
            return
        self._sampled_of += 1
        if len(self._samples) < _SAMPLES:
            self._samples.append(Sample(record, bytes(self._held)))
            return
        place = self._random.randrange(self._sampled_of)
        if place < _SAMPLES:
            self._samples[place] = Sample(record, bytes(self._held))


def payload(value: bytes, version: int) -> bytes:
    """What RESTORE takes for a value with its type before it."""
    whole = value + version.to_bytes(2, "little")
    checksum = Checksum()
    checksum.update(whole)
    return whole + checksum.value().to_bytes(8, "little")


def quoted(text: bytes) -> str:
    """As a line of redis-cli's standard input has it, whatever bytes they are."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text) + '"'


def _before(record: Record, size_bytes: int) -> bytes:
    """The command up to its payload, which is so long without its footer."""
    length = b"$%d\r\n" % (size_bytes + _FOOTER_BYTES)
    if record.type == values.FUNCTION:
        return b"*4\r\n$8\r\nFUNCTION\r\n$7\r\nRESTORE\r\n" + length
    times = b"%d" % record.expires_ms
    return b"*6\r\n$7\r\nRESTORE\r\n" + _bulk(record.key) + _bulk(times) + length


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)
