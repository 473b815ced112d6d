"""A binary log is taken apart the same however it comes, and anything that is not as it was written is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.sources.mariadb.binlog import (
    GTID,
    HEADER,
    MAGIC,
    BinlogReader,
    Transaction,
    parse_name,
)
from tests.families.binlog import BinlogWriter

_LONG = 70_000


def _log(*, has_checksums: bool = True) -> bytes:
    writer = BinlogWriter(has_checksums=has_checksums)
    writer.commit(1, 1000)
    writer.commit(2, 1007, _LONG)
    writer.commit(3, 1005)
    return writer.close()


LOG = _log()


def _read(pieces: Sequence[bytes], size: int) -> tuple[BinlogReader, list[Transaction]]:
    told: list[Transaction] = []
    reader = BinlogReader("log.000001", told.append)
    for piece in pieces:
        reader.feed(piece)
    reader.require_whole(size)
    return reader, told


@given(st.lists(st.integers(1, len(LOG)), max_size=8), st.booleans())
def test_pieces_of_any_length_tell_the_same(cuts: list[int], has_checksums: bool) -> None:
    """With a checksum behind each event, and without."""
    log = _log(has_checksums=has_checksums)
    places = [0, *sorted(min(each, len(log)) for each in cuts), len(log)]
    pieces = [log[begin:end] for begin, end in itertools.pairwise(places)]
    reader, told = _read(pieces, len(log))
    assert [each.gtid for each in told] == ["0-9-1", "0-9-2", "0-9-3"]
    assert [each.at.timestamp() for each in told] == [1000, 1007, 1005]
    assert reader.begins_at == told[0].at
    assert reader.ends_at == told[1].at
    assert all(log[each.offset + 4] == GTID for each in told)


@given(st.integers(0, len(LOG) - 1))
def test_a_log_that_was_cut_anywhere_is_not_whole(length: int) -> None:
    """Not even where an event ends."""
    with pytest.raises(IncompleteDumpError):
        _read([LOG[:length]], length)


@given(
    st.integers(0, len(LOG) - 1).filter(lambda at: at != len(MAGIC) + HEADER.size - 2), st.integers(1, 255)
)
def test_a_byte_that_is_another_is_found(at: int, change: int) -> None:
    """But for the one that says whether the log is in use."""
    spoiled = bytearray(LOG)
    spoiled[at] ^= change
    with pytest.raises(IncompleteDumpError):
        _read([bytes(spoiled)], len(spoiled))


@given(st.binary(max_size=200), st.booleans())
def test_anything_else_is_refused_and_nothing_worse(junk: bytes, is_behind_head: bool) -> None:
    """As a whole, or behind a good beginning."""
    content = (LOG[:300] if is_behind_head else b"") + junk
    with pytest.raises(IncompleteDumpError):
        _read([content], len(content))


def test_a_log_without_its_end_is_whole_where_the_server_crashed() -> None:
    """Its mark of a log in use stays on it then."""
    writer = BinlogWriter()
    writer.commit(1, 1000)
    content = bytearray(writer.log)
    with pytest.raises(IncompleteDumpError, match="lacks its end"):
        _read([bytes(content)], len(content))
    content[len(MAGIC) + HEADER.size - 2] = 1
    _read([bytes(content)], len(content))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log.000001", ("log", 1)),
        ("my-log.bin.1000000", ("my-log.bin", 1_000_000)),
        ("../log.000001", None),
        ("log.index", None),
        ("log.1", None),
        ("..000001", None),
    ],
)
def test_names_of_logs(name: str, expected: tuple[str, int] | None) -> None:
    """A base name and a number of six digits or more."""
    assert parse_name(name) == expected
