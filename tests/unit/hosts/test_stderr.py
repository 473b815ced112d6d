"""Standard error is kept within bounds, whatever a command says."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from engine.hosts.stderr import KEPT_BYTES, KEPT_LINES, LONGEST_LINE_BYTES, TAIL_BYTES, StandardError


async def all_lines(error: StandardError) -> list[bytes]:
    """Every line that is still there."""
    return [line async for line in error.lines()]


@given(some.binary(max_size=300), some.lists(some.integers(0, 300), max_size=6))
async def test_lines_do_not_depend_on_how_they_come(data: bytes, cuts: list[int]) -> None:
    """A line that comes in two packets is one line."""
    error = StandardError()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(places):
        error.feed(data[begin:end])
    error.finish()
    expected = data.split(b"\n")
    assert await all_lines(error) == (expected if expected[-1] else expected[:-1])
    assert error.tail == data


async def test_the_newest_lines_are_kept() -> None:
    """The error stands at the end."""
    error = StandardError()
    for number in range(KEPT_LINES + 5):
        error.feed(b"%d\n" % number)
    error.finish()
    lines = await all_lines(error)
    assert (len(lines), lines[0], lines[-1]) == (KEPT_LINES, b"5", b"%d" % (KEPT_LINES + 4))


async def test_a_line_without_end_is_cut() -> None:
    """A binary stream on standard error must not fill the memory."""
    error = StandardError()
    for _ in range(100):
        error.feed(b"x" * 65536)
    error.finish()
    assert [len(line) for line in await all_lines(error)] == [LONGEST_LINE_BYTES]
    assert len(error.tail) == TAIL_BYTES


async def test_long_lines_are_bounded_together() -> None:
    """Ten thousand long ones would be 160 MB."""
    error = StandardError()
    for _ in range(1000):
        error.feed(b"x" * LONGEST_LINE_BYTES + b"\n")
    error.finish()
    assert sum(len(line) for line in await all_lines(error)) <= KEPT_BYTES
