"""Segments of a write-ahead log, made by hand to the letter of the format: names, what is no whole segment, and when transactions ended."""

from __future__ import annotations

import datetime
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.sources.postgres import wal

SEGMENT, PAGE = 1 << 20, 8192
SYSTEM = 7301234567890123456
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def record(length: int, info: int = 0, manager: int = 10, data: bytes = b"") -> bytes:
    """One record, as long as is said."""
    head = struct.pack("<IIQBB2xI", length, 7, 0, info, manager, 0)
    return (head + data).ljust(length, b"\x5a")


def commit(at: datetime.datetime, *, info: int = 0, before: bytes = b"") -> bytes:
    """The end of a transaction; `before` stands ahead of its data, as an origin does."""
    microseconds = (at - EPOCH) // datetime.timedelta(microseconds=1)
    data = before + bytes([255, 8]) + microseconds.to_bytes(8, "little")
    return record(24 + len(data), info, 1, data)


def segment(records: list[bytes], number: int = 5, timeline: int = 1) -> bytes:
    """They in a segment, with the headers of its pages; a record that does not fit goes on on the next page."""
    log = b"".join(each + bytes(-len(each) % 8) for each in records)
    ends = [0]
    for each in records:
        ends.append(ends[-1] + len(each) + -len(each) % 8)
    content = bytearray()
    position = 0
    for page in range(SEGMENT // PAGE):
        begins = next((end for end in ends if end >= position), len(log))
        left = begins - position if position < len(log) else 0
        flags = (2 if page == 0 else 0) | (1 if left else 0)
        address = number * SEGMENT + page * PAGE
        head = struct.pack("<HHIQI4x", 0xD110, flags, timeline, address, left)
        head += struct.pack("<QII", SYSTEM, SEGMENT, PAGE) if page == 0 else b""
        room = PAGE - len(head)
        content += head + log[position : position + room].ljust(room, b"\0")
        position += room
    return bytes(content)


@given(st.lists(st.integers(24, 30_000), max_size=30), st.data())
def test_the_first_and_the_last_end_of_a_transaction_are_found_wherever_they_lie(
    lengths: list[int], data: st.DataObject
) -> None:
    """Between records of any length, over the borders of pages, with an origin ahead or not."""
    others = [record(length) for length in lengths]
    ends = data.draw(st.lists(st.integers(0, len(others)), max_size=6))
    ends.sort()
    times = [EPOCH + datetime.timedelta(days=9000, seconds=number) for number in range(len(ends))]
    mixed: list[bytes] = []
    for place in range(len(others) + 1):
        for end, at in zip(ends, times, strict=True):
            if end == place:
                before = data.draw(st.sampled_from((b"", b"\xfd\0\1", b"\xfc\0\0\0\1")))
                mixed.append(commit(at, info=data.draw(st.sampled_from((0, 0x20, 0x80))), before=before))
        mixed += others[place : place + 1]
    content = segment(mixed)
    found = wal.span(content)
    assert (found.first, found.last) == ((times[0], times[-1]) if times else (None, None))
    every = [at for page in range(SEGMENT // PAGE) for at in wal.endings(content, page)]
    assert every == times


def test_a_segment_is_taken_for_whole_only_where_it_is_the_one_of_its_name() -> None:
    """Of that server, of that length, with every page where it belongs."""
    content = segment([record(100), commit(EPOCH)])
    name = wal.segment_name(1, 5, SEGMENT)
    assert wal.require_whole(content, name, str(SYSTEM)) == SEGMENT
    assert wal.require_whole(content, name, "") == SEGMENT
    wrong = bytearray(content)
    wrong[3 * PAGE + 8] ^= 1
    for damaged, called, system, words in (
        (content[:-1], name, "", "has 1048575 bytes"),
        (content[:20], name, "", "cut short"),
        (b"", name, "", "cut short"),
        (bytes(SEGMENT), name, "", "does not begin"),
        (content, name, "42", "of the server"),
        (content, wal.segment_name(1, 6, SEGMENT), "", "holds what belongs at"),
        (bytes(wrong), name, "", "damaged at byte 24576"),
        (content, "archive_status", "", "no name"),
    ):
        with pytest.raises(IncompleteDumpError, match=words):
            wal.require_whole(damaged, called, system)


@given(st.lists(st.integers(24, 9000), max_size=10), st.integers(0, 100_000))
def test_the_beginning_of_a_segment_tells_of_no_transaction_that_it_cuts(
    lengths: list[int], cut: int
) -> None:
    """Cut at any byte: a replay to its end has just the transactions that are said to have ended in it."""
    mixed: list[bytes] = []
    ends: list[int] = []
    for number, length in enumerate(lengths):
        mixed += [record(length), commit(EPOCH + datetime.timedelta(days=9000, seconds=number))]
        ends.append(sum(-(-len(each) // 8) * 8 for each in mixed) - (-len(mixed[-1]) % 8))
    tail = segment(mixed)[:cut]
    pages = [tail[at : at + PAGE] for at in range(0, len(tail), PAGE)]
    payload = sum(max(0, len(page) - (40 if at == 0 else 24)) for at, page in enumerate(pages))
    assert wal.require_tail(tail, wal.segment_name(1, 5, SEGMENT), str(SYSTEM)) == (
        SEGMENT if cut >= 40 else 0
    )
    kept = [number for number, end in enumerate(ends) if end <= payload]
    last = EPOCH + datetime.timedelta(days=9000, seconds=kept[-1]) if kept else None
    assert wal.span(tail).last == last


def test_a_beginning_is_of_its_segment_or_refused() -> None:
    """As a whole one is."""
    content, name = segment([record(100)]), wal.segment_name(1, 5, SEGMENT)
    wrong = bytearray(content[: 4 * PAGE])
    wrong[3 * PAGE + 8] ^= 1
    for damaged, called, words in (
        (content, name, "has 1048576 bytes"),
        (content[:5000], wal.segment_name(1, 6, SEGMENT), "holds what belongs at"),
        (bytes(wrong), name, "damaged at byte 24576"),
    ):
        with pytest.raises(IncompleteDumpError, match=words):
            wal.require_tail(damaged, called, "")


@given(st.binary(max_size=3 * PAGE), st.integers(0, 5))
def test_no_content_whatever_makes_it_stumble(noise: bytes, place: int) -> None:
    """What a host sends is anybody's: there is a sentence, or an answer, and an end."""
    content = bytearray(segment([record(100), commit(EPOCH)]))
    content[place * 1000 : place * 1000 + len(noise)] = noise
    name = wal.segment_name(1, 5, SEGMENT)
    try:
        wal.require_whole(content[:SEGMENT], name, "")
    except IncompleteDumpError:
        return
    wal.span(content[:SEGMENT])
    wal.span(content[: len(noise)])


@given(st.integers(1, 0xFFFFFFFF), st.integers(0, 1 << 30), st.sampled_from((1 << 20, 16 << 20, 1 << 30)))
def test_names_lead_to_their_places_and_back(timeline: int, number: int, size: int) -> None:
    """For every length that segments may have."""
    name = wal.segment_name(timeline, number, size)
    found = wal.parse_name(name)
    assert found is not None
    assert (found.timeline, found.number(size)) == (timeline, number)
    assert wal.parse_name(name + ".partial") is None
    assert wal.history_timeline(f"{timeline:08X}.history") == timeline


def test_a_history_tells_where_each_timeline_left_the_one_before() -> None:
    """Comments and empty lines do not count; what is no history is none."""
    content = b"1\t0/A000198\tno recovery target specified\n\n# a comment\n2\t1/B0000000\tbefore 2026-11-20\n"
    assert wal.parse_history(content) == [wal.Fork(1, 0xA000198), wal.Fork(2, 0x1B0000000)]
    assert wal.format_position(0x1B0000000) == "1/B0000000"
    assert wal.parse_position("1/B0000000") == 0x1B0000000
    with pytest.raises(IncompleteDumpError):
        wal.parse_history(b"garbage")
