"""Any file, any increment of it, however the one before was cut: what is stored is what pg_combinebackup would make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.sources.postgres import increments
from engine.sources.postgres.increments import Increment

_BLOCK = 4


@given(st.data())
def test_what_is_kept_and_made_is_the_whole_file(data: st.DataObject) -> None:
    """Each byte comes once, from where it must: those sent in their order, those before from the same place, others zero."""
    before = data.draw(st.binary(max_size=60))
    numbers = sorted(data.draw(st.sets(st.integers(0, 20), max_size=8)))
    found = Increment(numbers, data.draw(st.integers(0, 20)), _BLOCK)
    sent = {number: bytes([0x80 + number]) * _BLOCK for number in numbers}
    blocks = [before[at : at + _BLOCK] for at in range(0, len(before) // _BLOCK * _BLOCK, _BLOCK)]
    expected = b"".join(
        sent.get(number, blocks[number] if number < len(blocks) else bytes(_BLOCK))
        for number in range(found.size_bytes // _BLOCK)
    )
    made = bytearray()
    stream = b"".join(sent.values())
    spans = increments.spans(found, len(before))
    for span in spans:
        length = span.end - span.begin
        if span.origin == "sent":
            made += stream[:length]
            stream = stream[length:]
        else:
            made += before[span.begin : span.end] if span.origin == "before" else bytes(length)
    assert (bytes(made), stream) == (expected, b"")

    pieces, at = [], 0
    while at < len(before):
        length = data.draw(st.integers(1, len(before) - at))
        pieces.append((length, data.draw(st.booleans())))
        at += length
    begins = [sum(length for length, _ in pieces[:number]) for number in range(len(pieces))]
    stored = bytearray()
    for step in increments.steps(spans, pieces):
        assert step.begin == len(stored)
        if step.pieces:
            assert all(may for _, may in pieces[step.first : step.first + step.pieces])
            begin = begins[step.first]
            assert begin == step.begin
            stored += before[begin : begin + step.end - step.begin]
        else:
            stored += made[step.begin : step.end]
    assert bytes(stored) == expected
