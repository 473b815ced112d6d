"""What is said of a slot that keeps much, and which of its segments wait."""

from __future__ import annotations

import pytest

from engine.sources.postgres import wal
from engine.sources.postgres.slot import LARGE_BYTES, Log, warnings

SEGMENT = 1 << 20


@pytest.mark.parametrize(
    ("slot", "retained_bytes", "words"),
    [
        ({"wal_status": "reserved"}, LARGE_BYTES, []),
        (
            {"wal_status": "extended", "keep": "-1"},
            LARGE_BYTES + 1,
            ["keeps 4.0 GiB", "set max_slot_wal_keep_size"],
        ),
        ({"wal_status": "extended", "keep": "99999"}, LARGE_BYTES + 1, ["until all storages have it"]),
        ({"wal_status": "unreserved"}, 0, ["is about to be given up"]),
        ({}, 0, []),
    ],
)
def test_a_slot_that_keeps_much_is_told_of(
    slot: dict[str, object], retained_bytes: int, words: list[str]
) -> None:
    """A consumer that does not keep up fills its server's disk, or loses its slot."""
    said = " ".join(warnings(slot, retained_bytes, "holdfast", "db1"))
    assert all(each in said for each in words)
    assert bool(said) == bool(words)


def test_segments_are_read_in_the_name_of_the_timeline_that_wrote_their_end() -> None:
    """Timeline 2 left in the middle of segment 5, and 3 at the very end of segment 6: what is behind belongs to the next."""
    forks = (wal.Fork(1, 5 * SEGMENT + 100), wal.Fork(2, 7 * SEGMENT))
    log = Log(3, forks, SEGMENT)
    waiting = log.waiting(4 * SEGMENT + 7, 8 * SEGMENT + 9)
    assert [(each.series[-1], each.number, each.size_bytes, each.is_tail) for each in waiting] == [
        ("1", 4, SEGMENT, False),
        ("2", 5, SEGMENT, False),
        ("2", 6, SEGMENT, False),
        ("3", 7, SEGMENT, False),
        ("3", 8, 9, True),
    ]
    assert waiting[-1].name == wal.segment_name(3, 8, SEGMENT) + ".partial"
    assert not any(each.is_tail for each in log.waiting(0, 4 * SEGMENT))
    assert log.waiting(SEGMENT, SEGMENT) == []
