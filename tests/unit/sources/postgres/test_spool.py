"""What a server must be set to before it fills a spool, and what is taken out of one."""

from __future__ import annotations

import datetime
import struct

import pytest

from engine.errors import IncompleteDumpError
from engine.sources.logs import LogLook, WaitingSegment
from engine.sources.postgres import spool

LOOK = LogLook(
    "7301",
    "spool",
    "00000002",
    5,
    datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
    segment_bytes=1 << 20,
)


@pytest.mark.parametrize(
    ("is_standby", "mode", "missing"),
    [
        (False, "off", "on"),
        (False, "on", ""),
        (False, "always", ""),
        (True, "on", "always"),
        (True, "always", ""),
    ],
)
def test_a_standby_hands_its_log_over_with_another_mode_than_a_primary(
    is_standby: bool, mode: str, missing: str
) -> None:
    """With `on` it waits for its promotion, and nothing comes meanwhile."""
    assert spool.missing_mode({"standby": is_standby, "mode": mode}) == missing


def _begun(system: int) -> bytes:
    """The beginning of segment 4 of timeline 1, in a file that held another one before."""
    page = struct.pack("<HHIQI4xQII", 0xD110, 2, 1, 4 << 20, 0, system, 1 << 20, 8192)
    return page.ljust(8192, b"\0") + b"of another segment".ljust(8192)


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("000000010000000000000004.partial", _begun(7301), ""),
        ("000000010000000000000004.partial", _begun(7302), "of the server 7302"),
        ("000000010000000000000005.partial", _begun(7301), "holds what belongs at"),
        ("000000010000000000000004.partial", b"", "cut short"),
        ("000000010000000000000004.00000028.backup", b"START WAL LOCATION: 0/400028", ""),
        ("000000010000000000000004.00000028.backup", _begun(7301), "no label of a backup"),
    ],
)
def test_what_lies_beside_segments_is_taken_where_it_is_what_its_name_says(
    name: str, content: bytes, wrong: str
) -> None:
    """What is taken is removed from the host, and two servers may fill one folder."""
    waiting = WaitingSegment(name, len(content), is_extra=True)
    if not wrong:
        assert spool.judged(waiting, content, LOOK).segment is None
        return
    with pytest.raises(IncompleteDumpError, match=wrong):
        spool.judged(waiting, content, LOOK)
