"""The queue of what came from a host: nothing is lost, doubled or moved, however it comes and is taken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.hosts.base import READ_BYTES
from engine.hosts.ssh.unread import FIRST_BYTES, Unread

SIZES = st.integers(1, 300) | st.sampled_from([FIRST_BYTES - 1, FIRST_BYTES, READ_BYTES + FIRST_BYTES + 1])


@given(st.lists(SIZES | st.none(), max_size=12))
@settings(deadline=None)
def test_what_was_put_is_taken_in_order(steps: list[int | None]) -> None:
    """Two bytes changed about would spoil a dump."""
    unread, given_bytes, taken = Unread(), bytearray(), bytearray()
    for number, size in enumerate(steps):
        if size is None:
            taken += unread.take()
        else:
            data = bytearray([number]) * size
            unread.put(memoryview(data))
            given_bytes += data
            data[:] = bytes(size)  # the caller uses its buffer again
        assert unread.held_bytes == len(given_bytes) - len(taken)
    while piece := unread.take():
        assert len(piece) <= READ_BYTES
        taken += piece
    assert taken == given_bytes
