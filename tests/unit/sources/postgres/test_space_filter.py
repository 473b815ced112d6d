"""A log on its way to a throwaway server: no tablespace that it makes lies anywhere but in that server's own folder."""

from __future__ import annotations

import io
import struct
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import SourceError
from engine.sources.postgres import wal
from engine.sources.postgres.space_filter import SpaceFilter, checksum
from tests.unit.sources.postgres.test_wal import PAGE, SEGMENT, record, segment

PAGES = 3
LOCATIONS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=900).map(
    lambda text: "/" + text
)


def creating(oid: int, location: bytes, before: bytes = b"") -> bytes:
    """The record of CREATE TABLESPACE, as a server writes it."""
    data = struct.pack("<I", oid) + location + b"\0"
    head = (
        bytes([wal.SHORT_DATA, len(data)])
        if len(data) < 256
        else struct.pack("<BI", wal.LONG_DATA, len(data))
    )
    made = bytearray(record(24 + len(before) + len(head) + len(data), 0, 5, before + head + data))
    made[20:24] = struct.pack("<I", checksum(bytes(made)))
    return bytes(made)


def archive(segments: list[bytes], first: int = 5) -> bytes:
    """The segments as a restore sends them, with what stands before and behind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        names = [wal.segment_name(1, first + number, SEGMENT) for number in range(len(segments))]
        for name, content in [
            ("00000002.history", b"1\t0/5\n"),
            (".begin", b""),
            *zip(names, segments, strict=True),
            (".end", b""),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def log_of(data: bytes) -> bytes:
    """What the segments of an archive hold, without headers."""
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        segments = [read.extractfile(each) for each in read if wal.parse_name(each.name)]
        contents = [each.read() for each in segments if each is not None]
    return b"".join(
        content[at + (24 if at else 40) : at + PAGE]
        for content in contents
        for at in range(0, len(content), PAGE)
    )


def passed(data: bytes, size: int, *, is_within: bool = True) -> tuple[bytes, SpaceFilter]:
    """The archive, as it comes out of a filter that gets it in pieces."""
    made = SpaceFilter(is_within=is_within)
    pieces = [made.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*pieces, made.end()]), made


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(24, 3000), LOCATIONS, st.sampled_from([b"", b"\xfd\1\0", b"\xfc\1\0\0\0"])),
        max_size=6,
    ),
    st.integers(0, PAGES * PAGE),
    st.integers(700, 30_000),
)
def test_every_tablespace_of_a_log_is_made_within_wherever_its_record_lies(
    made: list[tuple[int, str, bytes]], lead: int, size: int
) -> None:
    """Over the borders of pages, of segments and of what comes at once; nothing else changes, and each record is one that a server takes."""
    lead = 24 + lead // 8 * 8
    log, expected = bytearray(record(lead)), bytearray(record(lead))
    for number, (length, location, before) in enumerate(made):
        old = creating(20_000 + number, location.encode(), before)
        new = bytearray(old)
        new[len(old) - len(location.encode()) - 1] = 0
        new[20:24] = struct.pack("<I", checksum(bytes(new)))
        for kept, each in ((log, old), (expected, new)):
            for part in (bytes(each), record(length)):
                kept.extend(part + bytes(-len(part) % 8))
    data = archive(cut(bytes(log)))
    out, used = passed(data, size)
    assert [each.location for each in used.found] == [each[1] for each in made]
    assert len(out) == len(data) + -len(data) % 10240
    assert log_of(out).rstrip(b"\0") == bytes(expected).rstrip(b"\0")


def cut(log: bytes) -> list[bytes]:
    """The log in segments of a few pages, one behind the other; of their headers there is what says how long a page is."""
    contents = []
    while log:
        content = b""
        for number in range(PAGES):
            head = bytes(24) if number else bytes(36) + PAGE.to_bytes(4, "little")
            room = PAGE - len(head)
            content += head + log[:room].ljust(room, b"\0")
            log = log[room:]
        contents.append(content)
    return contents


def test_what_only_looks_like_such_a_record_passes_as_it_is() -> None:
    """A row may hold anything, also the bytes of a record with a checksum that is not its own; and what is within already stays."""
    damaged = bytearray(creating(20_000, b"/srv/live"))
    damaged[30] ^= 1
    within = creating(20_001, b"")
    dropped = bytearray(creating(20_002, b"/srv/other"))
    dropped[16] = 0x10
    data = archive([segment([bytes(damaged), within, bytes(dropped), record(40) * 3])])
    out, used = passed(data, 5000)
    assert (out, used.found) == (data, [])


def test_a_server_that_knows_none_within_gets_no_log_that_makes_one() -> None:
    """It would write where the live one does; not even the whole record goes there."""
    data = archive([segment([record(4000), creating(20_000, b"/srv/live"), record(90_000)])])
    with pytest.raises(SourceError, match="'/srv/live'") as error:
        passed(data, 900, is_within=False)
    assert "behind a base" in str(error.value.hint)


@settings(max_examples=40)
@given(st.binary(max_size=3000), st.integers(1, 99), st.integers(0, PAGES * PAGE))
def test_noise_passes_as_it_is(noise: bytes, size: int, at: int) -> None:
    """Of a repository: whatever a segment holds, the server judges it."""
    content = bytearray(cut(record(5000))[0])
    content[at : at + len(noise)] = noise
    data = archive([bytes(content[:8192]), bytes(content)])
    out, used = passed(data, size * 97)
    assert (out, used.found) == (data, [])
