"""The queue of what came from a host: nothing is lost, doubled or moved, however it comes and is taken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.hosts.base import READ_BYTES
from engine.hosts.ssh.unread import FIRST_BYTES, Unread

SIZES = st.integers(1, 300) | st.sampled_from([FIRST_BYTES - 1, FIRST_BYTES, READ_BYTES + FIRST_BYTES + 1])


ROOMS = st.sampled_from([1, 100, FIRST_BYTES, READ_BYTES, 3 * READ_BYTES])


@given(st.lists(SIZES | st.none() | ROOMS.map(bytearray), max_size=12))
@settings(deadline=None)
def test_what_was_put_is_taken_in_order(steps: list[int | bytearray | None]) -> None:
    """Two bytes changed about would spoil a dump. A number is a piece that comes, None a reader, an array one with its own memory."""
    unread, given_bytes, taken = Unread(), bytearray(), bytearray()
    for number, step in enumerate(steps):
        if step is None:
            taken += unread.take()
        elif isinstance(step, bytearray):
            held_bytes = unread.held_bytes
            count = unread.take_into(memoryview(step))
            assert count == min(held_bytes, len(step))
            taken += step[:count]
        else:
            data = bytearray([number]) * step
            unread.put(memoryview(data))
            given_bytes += data
            data[:] = bytes(step)  # the caller uses its buffer again
        assert unread.held_bytes == len(given_bytes) - len(taken)
    while piece := unread.take():
        assert len(piece) <= READ_BYTES
        taken += piece
    assert taken == given_bytes
