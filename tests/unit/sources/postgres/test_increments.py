"""Files of an incremental base backup: the header, what the whole file is made of, and how it is stored."""

from __future__ import annotations

import struct

import pytest

from engine.errors import IncompleteDumpError
from engine.sources.postgres import increments
from engine.sources.postgres.increments import Increment, Span, Step

_BLOCK = 8192


def _header(blocks: list[int], least: int, magic: int = 0xD3AE1F0D) -> bytes:
    head = struct.pack("<III", magic, len(blocks), least) + struct.pack(f"<{len(blocks)}I", *blocks)
    return head + bytes(-len(head) % _BLOCK if blocks else 0)


def test_a_header_is_read_as_the_server_writes_it() -> None:
    """Padded to a block where blocks follow, so that they lie aligned; twelve bytes where none do."""
    header = _header([2, 5], 4)
    found = increments.parse(header, _BLOCK, 3 * _BLOCK)
    assert found == Increment((2, 5), 4, _BLOCK)
    assert (found.size_bytes, found.header_bytes, len(header)) == (6 * _BLOCK, _BLOCK, _BLOCK)
    none = increments.parse(_header([], 3), _BLOCK, 12)
    assert (none.size_bytes, none.header_bytes) == (3 * _BLOCK, 12)


@pytest.mark.parametrize(
    ("header", "sent", "said"),
    [
        (_header([1], 1, magic=7), 2 * _BLOCK, "begin"),
        (_header([1], 1), _BLOCK, "as long"),
        (_header([1, 1], 1), 3 * _BLOCK, "order"),
        (_header([3, 1], 1), 3 * _BLOCK, "order"),
        (_header([0xFFFFFFFF], 1), 2 * _BLOCK, "cannot be"),
    ],
    ids=["magic", "length", "twice", "backwards", "too long"],
)
def test_a_header_that_cannot_be_is_refused(header: bytes, sent: int, said: str) -> None:
    """A host's word is not believed where it would have a file made that no server has."""
    with pytest.raises(IncompleteDumpError, match=said):
        increments.parse(header, _BLOCK, sent)


def test_only_relations_have_increments() -> None:
    """Somebody's own file of such a name is a file like any other."""
    names = ("base/5/INCREMENTAL.1259", "global/INCREMENTAL.1261", "pg_tblspc/16/PG_17/5/INCREMENTAL.9")
    plain = ["base/5/1259", "global/1261", "pg_tblspc/16/PG_17/5/9"]
    assert [increments.plain_name(each) for each in names] == plain
    assert [increments.plain_name(each) for each in ("INCREMENTAL.x", "base/5/1259", "notes/INCREMENTAL.1")] == [""] * 3  # fmt: skip


def test_a_file_is_made_of_what_was_sent_what_was_there_and_nothing() -> None:
    """It grew: a block that nobody wrote is zero. It shrank: what was behind its new end does not come back."""
    grown = increments.spans(Increment((1, 4), 2, 10), 25)
    assert grown == [Span(0, 10, "before"), Span(10, 20, "sent"), Span(20, 40, "zero"), Span(40, 50, "sent")]
    assert increments.spans(Increment((), 1, 10), 50) == [Span(0, 10, "before")]
    assert increments.spans(Increment((), 0, 10), 50) == []


def test_pieces_are_kept_where_all_of_them_is_as_before() -> None:
    """A changed block costs the piece that it lies in, not the file."""
    spans = increments.spans(Increment((3,), 12, 10), 120)
    pieces = [(15, True), (10, True), (20, True), (40, True), (35, True)]
    assert increments.steps(spans, pieces) == [Step(0, 25, 0, 2), Step(25, 45), Step(45, 120, 3, 2)]
    pieces[3] = (40, False)
    expected = [Step(0, 25, 0, 2), Step(25, 45), Step(45, 85), Step(85, 120, 4, 1)]
    assert increments.steps(spans, pieces) == expected


def test_a_piece_that_changed_in_part_is_made_again_in_smaller_ones() -> None:
    """Rows that change here and there cost a megabyte each at first, and then an eighth of that; what is new as a whole is cut as any file."""
    block = increments.FINE_BYTES // 2
    spans = increments.spans(Increment((1, 10, 11, 12, 13, 16, 17), 18, block), 16 * block)
    pieces = [(9 * block, True), (block, True), (4 * block, True), (2 * block, False)]
    assert increments.steps(spans, pieces) == [
        *(Step(9 * block * part // 4, 9 * block * (part + 1) // 4) for part in range(4)),
        Step(9 * block, 10 * block, 1, 1),
        Step(10 * block, 14 * block),
        Step(14 * block, 16 * block),
        Step(16 * block, 18 * block),
    ]
    all_new = increments.spans(Increment(tuple(range(8)), 8, block), 4 * block)
    assert increments.steps(all_new, [(3 * block, True), (block, True)]) == [Step(0, 8 * block)]
