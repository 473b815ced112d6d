"""What is found in segments of a write-ahead log, made by hand to the letter of the format."""

from __future__ import annotations

import datetime
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.logs import WantedChanges
from engine.sources.postgres.wal_search import WalReading
from tests.unit.sources.postgres.test_wal import EPOCH, PAGE, commit, record, segment

_AT = EPOCH + datetime.timedelta(days=9000)


def _numbered(made: bytes, transaction: int) -> bytes:
    return made[:4] + struct.pack("<I", transaction) + made[8:]


def _dropping(transaction: int, files: list[int], parts: list[int], prepared: int = 0) -> bytes:
    """A commit that says all that one may say; of a prepared transaction where that is named."""
    flags = 1 | 2 | 4 | 8 | 256 | (16 if prepared else 0)
    data = struct.pack("<QIII", (_AT - EPOCH) // datetime.timedelta(microseconds=1), flags, 5, 1663)
    data += struct.pack(f"<I{len(parts)}I", len(parts), *parts)
    data += struct.pack("<I", len(files)) + b"".join(struct.pack("<III", 1663, 5, each) for each in files)
    data += struct.pack("<I", 1) + bytes(12)
    data += struct.pack("<I", 2) + bytes(32)
    data += struct.pack("<I", prepared) if prepared else b""
    whole = bytes([254]) + struct.pack("<I", len(data)) + data
    info = 0x80 | (0x30 if prepared else 0)
    return _numbered(record(24 + len(whole), info, 1, whole), transaction)


def _delete(transaction: int, file: int) -> bytes:
    block = bytes([0, 0, 0, 0]) + struct.pack("<IIII", 1663, 5, file, 0)
    return _numbered(record(60, 0x10, 10, block + bytes([255, 8])), transaction)


@pytest.mark.slow
@given(st.integers(0, PAGE), st.integers(1, 900))
def test_what_a_transaction_dropped_and_deleted_is_found_wherever_its_records_lie(
    shift: int, count: int
) -> None:
    """Over the borders of pages, and over the end of the segment; with what its parts did."""
    files = list(range(20_000, 20_000 + count))
    ending = _dropping(77, files, [78, 79])
    made = [
        record(24 + shift),
        *[_delete(78, 30_000)] * 5,
        *[_delete(90, 30_000)] * 5,
        _delete(79, 1259),
        ending,
    ]
    reading = WalReading()
    (dropped, deleted) = reading.changes(WantedChanges(5)).feed("", segment(made), b"")
    assert (dropped.transaction, dropped.kind, dropped.at) == ("77", "dropped", _AT)
    assert dropped.relations == tuple(map(str, files))
    assert (deleted.kind, deleted.relations, deleted.rows) == ("deleted", ("30000",), 5)
    (mark,) = (reading.mark(segment(made), b"", "77", ""),)
    assert mark is not None
    assert (mark.transaction, mark.position) == ("77", dropped.position)
    assert reading.mark(segment(made), b"", "78", "") is None


def test_a_record_that_ends_in_the_next_segment_is_put_together() -> None:
    """And without that one it is not there."""
    ending = _dropping(77, list(range(20_000, 20_100)), [])
    room = (1 << 20) - 128 * 24 - 16
    content = segment([record(room - 400), ending])
    reading = WalReading()
    assert reading.mark(content, b"", "77", "") is None
    assert reading.mark(content, ending[400:], "77", "") is not None


def test_a_prepared_transaction_is_known_by_its_own_number() -> None:
    """Not by that of the one that committed it, which is none."""
    content = segment([_dropping(0, [20_000], [], prepared=4242)])
    assert WalReading().mark(content, b"", "4242", "") is not None
    (found,) = WalReading().changes(WantedChanges(1)).feed("", content, b"")
    assert found.transaction == "4242"


@pytest.mark.slow
@given(st.binary(max_size=3 * PAGE), st.integers(0, 20))
def test_no_content_whatever_makes_the_search_stumble(noise: bytes, place: int) -> None:
    """What a repository holds is anybody's: there is an answer, and an end."""
    content = bytearray(segment([_delete(77, 20_000)] * 50 + [_dropping(77, [20_000], [78]), commit(_AT)]))
    content[place * 500 : place * 500 + len(noise)] = noise
    reading = WalReading()
    for held in (content, content[: place * 700]):
        reading.changes(WantedChanges(1)).feed("", held, noise)
        reading.mark(held, noise, "77", "")
        reading.endings(held, b"")
        reading.points(held, b"")
        reading.continuation(held)
