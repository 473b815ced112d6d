"""Slices of an oplog, joined and cut at an instant: what goes on is what was done between the dump and then, or nothing goes on."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.sources.mongodb import entries
from engine.sources.mongodb.replaying import OplogCut

FIRST = 29_000_000


def _entry(seconds: int, increment: int, more: int = 0) -> bytes:
    body = (
        b"\x05x\0"
        + struct.pack("<i", more)
        + b"\0"
        + bytes(more)
        + b"\x11ts\0"
        + struct.pack("<II", increment, seconds)
    )
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _archive(slices: Sequence[tuple[int, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, content in [
            (".begin", b""),
            *((entries.name_of(number), content) for number, content in slices),
            (".end", b""),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _passed(data: bytes, cut: OplogCut, size: int) -> bytes:
    return b"".join([*(cut.feed(data[at : at + size]) for at in range(0, len(data), size)), cut.end()])


TIMES = st.lists(
    st.tuples(st.integers(0, 239), st.integers(1, 3), st.integers(0, 2000)), unique_by=lambda each: each[:2]
).map(sorted)


@settings(max_examples=40)
@given(TIMES, st.integers(0, 4), st.none() | st.integers(-10, 250), st.integers(1, 3000))
def test_all_before_the_second_goes_on_in_order_however_it_comes(
    times: list[tuple[int, int, int]], early: int, before: int | None, size: int
) -> None:
    """Slices that the dump has already go no further; a minute in which nothing was done is a slice too."""
    begin_s = FIRST * entries.SLICE_S
    found: list[tuple[int, bytes]] = [(FIRST + number, b"") for number in range(4)]
    for seconds, increment, more in times:
        number = seconds // entries.SLICE_S
        found[number] = (found[number][0], found[number][1] + _entry(begin_s + seconds, increment, more))
    cut = OplogCut(FIRST + early, None if before is None else begin_s + before)
    out = _passed(_archive(found), cut, size)
    limit = 240 if before is None else before
    wanted = [each for each in times if early * entries.SLICE_S <= each[0] < limit]
    assert out == b"".join(_entry(begin_s + seconds, increment, more) for seconds, increment, more in wanted)
    assert cut.size_bytes == len(out)


S = entries.SLICE_S
ONE, TWO = _entry(FIRST * S + 1, 1), _entry(FIRST * S + S + 1, 1)


@pytest.mark.parametrize(
    "slices",
    [
        [(FIRST, ONE), (FIRST + 2, b"")],
        [(FIRST + 1, TWO)],
        [(FIRST, ONE), (FIRST, ONE)],
        [(FIRST, ONE + ONE)],
        [(FIRST, TWO)],
        [(FIRST, ONE[:-1]), (FIRST + 1, TWO)],
        [(FIRST, b"\0\0\0\0")],
        [(FIRST, _entry(FIRST * S + 1, 1).replace(b"\x11ts", b"\x12ts"))],
    ],
    ids=["gap", "begins late", "twice", "no order", "of another", "cut", "no document", "no time"],
)
def test_what_is_no_whole_oplog_from_the_dump_on_is_refused(slices: Sequence[tuple[int, bytes]]) -> None:
    """A repository is untrusted; what is replayed out of order or with a gap is another database."""
    with pytest.raises(IncompleteDumpError):
        _passed(_archive(slices), OplogCut(FIRST, None), 1000)


def test_an_archive_that_is_cut_short_ends_no_oplog() -> None:
    """Its last slice could be any."""
    with pytest.raises(IncompleteDumpError):
        _passed(_archive([(FIRST, ONE)])[:1200], OplogCut(FIRST, None), 1000)
