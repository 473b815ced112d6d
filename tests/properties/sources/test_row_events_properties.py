"""The rows of a row event are counted whatever their columns are, and nothing worse comes of an event that is not as it was written."""

from __future__ import annotations

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from engine.sources.mariadb.row_events import ROW_KINDS, MappedTable, counted, mapped

COLUMNS: dict[int, tuple[bytes, int]] = {
    3: (b"", 4), 8: (b"", 8), 5: (b"\x08", 8), 246: (b"\x1e\x07", 15), 18: (b"\x06", 8), 16: (b"\x05\x01", 2),
    254: (b"\xf7\x01", 1), 15: (b"\xff\x00", -1), 252: (b"\x02", -2), 253: (b"\x00\x10", -2), 140: (b"\x03", -3),
}  # fmt: skip
"""By the number of a type: what a table map says of such a column, and its width."""
kinds = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=20)


def _map(types: list[int]) -> bytes:
    more = b"".join(COLUMNS[each][0] for each in types)
    head = struct.pack("<QB4sBB6sBB", 7, 4, b"shop", 0, 6, b"orders", 0, len(types))
    return head + bytes(types) + bytes([len(more)]) + more + bytes((len(types) + 7) // 8)


@st.composite
def _events(draw: st.DrawFn) -> tuple[int, list[int], int, bytes]:
    """The type of an event of rows, its columns, how many rows it has, and its body."""
    kind, types = draw(st.sampled_from(sorted(ROW_KINDS))), draw(kinds)
    images = 2 if ROW_KINDS[kind] == "updated" else 1
    count = draw(st.integers(1, 5))
    bitmap = bytes([0xFF]) * ((len(types) + 7) // 8)
    rows = b""
    for _ in range(count * images):
        nulls = draw(st.integers(0, (1 << len(types)) - 1))
        rows += nulls.to_bytes(len(bitmap), "little")
        for place, each in enumerate(types):
            width = COLUMNS[each][1]
            if nulls >> place & 1:
                continue
            value = draw(st.binary(min_size=max(width, 0), max_size=max(width, 0) or 200))
            rows += (b"" if width >= 0 else len(value).to_bytes(-width, "little")) + value
    head = (7).to_bytes(6, "little") + b"\0\0" + (b"\x02\0" if kind in (30, 31, 32, 169, 170, 171) else b"")
    if kind >= 166:
        rows = b"\x82" + len(rows).to_bytes(2, "big") + zlib.compress(rows)
    return kind, types, count, head + bytes([len(types)]) + bitmap * images + rows


def _table(types: list[int]) -> MappedTable:
    found = mapped(memoryview(_map(types)))
    assert found is not None
    return found


@given(_events())
def test_rows_are_counted_by_the_widths_that_their_table_has(
    event: tuple[int, list[int], int, bytes],
) -> None:
    """Whole or compressed, with nulls anywhere."""
    kind, types, count, body = event
    table = _table(types)
    found = counted(kind, memoryview(body), {7: table})
    assert found is not None
    assert (table.database, table.name) == ("shop", "orders")
    assert (found.kind, found.count) == (ROW_KINDS[kind], count)


@given(_events(), st.integers(0, 400), st.integers(1, 255), st.booleans())
def test_an_event_that_is_damaged_counts_for_something_and_ends(
    event: tuple[int, list[int], int, bytes], at: int, change: int, is_cut: bool
) -> None:
    """A checksum finds it elsewhere; here nothing is raised, and no memory filled."""
    kind, types, _count, body = event
    spoiled = bytearray(body)
    spoiled[at % len(body)] ^= change
    found = counted(kind, memoryview(bytes(spoiled[: at if is_cut else None])), {7: _table(types)})
    assert found is None or found.count >= 1
    table = bytearray(_map(types))
    table[at % len(table)] ^= change
    mapped(memoryview(bytes(table)))
    mapped(memoryview(bytes(table[:at])))
