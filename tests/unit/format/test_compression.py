"""Compression, and frames that lie."""

from __future__ import annotations

import os
import random
from typing import Literal

import pytest
import zstandard

from engine.errors import DamagedError
from engine.format.compression import BLOB_LIMIT_BYTES, Compressor, Decompressor

TEXT = b"INSERT INTO orders VALUES (1, 'one'), (2, 'two');\n"
Mode = Literal["off", "auto", "max"]


def unsized(content: bytes) -> bytes:
    """A frame whose header names no size."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


@pytest.mark.parametrize("mode", ["auto", "max"])
@pytest.mark.parametrize("size", [200, 4096, 100_000, 600_000])
def test_what_was_compressed_is_smaller_and_comes_back(mode: Mode, size: int) -> None:
    """Storage is paid for by size."""
    data = (TEXT * (size // len(TEXT) + 1))[:size]
    frame = Compressor(mode).compress(memoryview(data))
    assert frame is not None
    assert len(frame) < size
    assert Decompressor().decompress(frame, size) == data
    assert Decompressor().decompresses(frame, data)


@pytest.mark.parametrize("mode", ["off", "auto", "max"])
@pytest.mark.parametrize("size", [0, 16, 17, 4096, 100_000, 600_000])
def test_what_does_not_shrink_is_stored_as_it_is(mode: Mode, size: int) -> None:
    """A photo must not grow."""
    assert Compressor(mode).compress(os.urandom(size)) is None


def test_without_compression_nothing_is_compressed() -> None:
    """The mode is the user's choice."""
    assert Compressor("off").compress(TEXT * 100) is None


def test_max_is_smaller_than_auto() -> None:
    """It costs time, so it has to give something."""
    data = b"".join(b"%d;%d;%x\n" % (n, n * n % 1009, n * 7919) for n in range(20_000))
    largest, smallest = Compressor("auto").compress(data), Compressor("max").compress(data)
    assert largest is not None
    assert smallest is not None
    assert len(smallest) < len(largest)


def rows(number: int) -> bytes:
    """Half a megabyte of a dump, each time another one: nothing in it repeats for long."""
    draw = random.Random(number)
    return b"".join(
        b"INSERT INTO orders VALUES (%d, '%x', 'paid');\n" % (row, draw.getrandbits(60))
        for row in range(12_000)
    )


def far_apart() -> bytes:
    """Text that comes a second time 600 KB later."""
    text = random.Random(0).randbytes(300_000).hex().encode()
    return text * 2


def test_rows_are_compressed_within_a_narrow_window() -> None:
    """It takes an eighth less time, and rows lose nothing by it."""
    compressor = Compressor("auto")
    for number in range(6):
        frame = compressor.compress(rows(number))
        assert frame is not None
        assert zstandard.get_frame_parameters(frame).window_size <= 256 << 10


def test_what_repeats_far_apart_is_found_after_any_number_of_rows() -> None:
    """A folder of logs behind a dump must not take twice its room."""
    compressor = Compressor("auto")
    for number in range(5):
        compressor.compress(rows(number))
    for _ in range(3):
        frame = compressor.compress(far_apart())
        assert frame is not None
        assert len(frame) < len(far_apart()) * 0.3


def test_a_frame_without_a_size_is_read() -> None:
    """Other writers leave it out."""
    assert Decompressor().decompress(unsized(TEXT), len(TEXT)) == TEXT
    assert Decompressor().decompress(unsized(TEXT), None) == TEXT


@pytest.mark.parametrize("make", [zstandard.compress, unsized], ids=["sized", "unsized"])
@pytest.mark.parametrize("expected", [len(TEXT) - 1, len(TEXT) + 1])
def test_a_frame_of_another_length_is_damaged(make: object, expected: int) -> None:
    """restic does not look, and then restores the file's next blob to the wrong place."""
    assert callable(make)
    with pytest.raises(DamagedError, match="holds"):
        Decompressor().decompress(make(TEXT), expected)


def test_a_header_that_promises_terabytes_costs_nothing() -> None:
    """A hostile storage must not be able to take all memory."""
    frame = bytes.fromhex("28b52ffd") + bytes((0xC0, 0x58)) + (1 << 42).to_bytes(8, "little") + b"\x01\0\0"
    with pytest.raises(DamagedError, match="4398046511104 bytes"):
        Decompressor().decompress(frame, None)


def test_a_bomb_is_read_no_further_than_the_limit() -> None:
    """A few bytes can stand for gigabytes."""
    with pytest.raises(DamagedError, match="more than 1000 bytes"):
        Decompressor().decompress(unsized(bytes(1 << 20)), None, limit_bytes=1000)


def test_a_length_beyond_the_limit_is_refused_unread() -> None:
    """The length comes from an index that may be hostile too."""
    with pytest.raises(DamagedError, match="more than"):
        Decompressor().decompress(zstandard.compress(TEXT), BLOB_LIMIT_BYTES + 1)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"x",
        b"not a frame at all",
        zstandard.compress(TEXT)[:-1],
        unsized(TEXT)[:-1],
        zstandard.compress(TEXT) + b"x",
    ],
    ids=["empty", "short", "text", "cut", "cut without size", "more behind it"],
)
def test_what_is_not_one_whole_frame_is_damaged(frame: bytes) -> None:
    """Damage must end in a sentence."""
    with pytest.raises(DamagedError):
        Decompressor().decompress(frame, len(TEXT))
    assert not Decompressor().decompresses(frame[:5], TEXT)


@pytest.mark.parametrize("other", [TEXT[:-1], TEXT + b"x", TEXT[:-1] + b"x"])
def test_a_frame_of_something_else_is_told_apart(other: bytes) -> None:
    """The check before storing must see every difference."""
    assert not Decompressor().decompresses(zstandard.compress(TEXT), other)
