"""Blobs and the chunker, and the allocator that serves both."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random

import pytest

from engine.errors import DamagedError
from engine.format import blob, chunker, ids
from engine.format.allocator import tune_allocator
from engine.format.blob import BlobCoder, Encoded
from engine.format.chunker import Chunker, StreamChunker
from engine.format.compression import Decompressor, Mode
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import Buffer

MASTER = MasterKey.generate()
SEALER = Sealer(MASTER)
SEED = chunker.seed_from_polynomial(0x3DA3358B4DC173)
DATA = random.Random(11).randbytes(24 << 20)
TEXT = b"the same again, " * 4096


@pytest.mark.parametrize("mode", ["off", "auto", "max"])
@pytest.mark.parametrize(
    "content", [b"", b"x", TEXT, DATA[: 1 << 20]], ids=["empty", "one", "text", "random"]
)
def test_a_blob_comes_back_as_it_was(mode: Mode, content: bytes) -> None:
    """All content goes through this."""
    coder = BlobCoder(mode)
    encoded = coder.encode(memoryview(content), "data")
    assert (encoded.uncompressed_length == len(content)) == (mode != "off" and content is TEXT)
    stored = coder.seal_verified(SEALER, encoded, content)
    assert (
        blob.decode(SEALER, Decompressor(), stored, ids.digest(content), encoded.uncompressed_length)
        == content
    )


def test_a_blob_that_is_not_what_its_name_says_is_refused() -> None:
    """Mixed-up offsets must not come out as data."""
    with pytest.raises(DamagedError, match="does not hash to its name"):
        blob.decode(SEALER, Decompressor(), SEALER.seal(b"x"), ids.digest(b"y"), None)


def test_a_blob_of_the_wrong_length_is_refused_though_its_hash_is_right() -> None:
    """restic's check lets it pass, and its restore then writes what follows to the wrong place."""
    encoded = BlobCoder("auto").encode(TEXT, "data")
    with pytest.raises(DamagedError, match="instead of"):
        blob.decode(SEALER, Decompressor(), SEALER.seal(encoded.payload), encoded.id, len(TEXT) + 1)


class Faulty(Sealer):
    """Seals something else, as on a machine whose memory errs."""

    def seal(self, plaintext: Buffer, iv: bytes | None = None) -> bytes:
        """Not what it was given."""
        return super().seal(b"x" * len(plaintext), iv)


@pytest.mark.parametrize(
    ("sealer", "encoded"),
    [
        (Faulty(MASTER), Encoded("data", ids.digest(TEXT), TEXT, None)),
        (SEALER, Encoded("data", ids.digest(TEXT), b"not a frame", len(TEXT))),
        (SEALER, BlobCoder("auto").encode(TEXT + b"x", "data")),
    ],
    ids=["sealing", "compressing", "content"],
)
def test_what_would_not_read_back_is_never_stored(sealer: Sealer, encoded: Encoded) -> None:
    """A backup that cannot be restored is worse than an error now."""
    with pytest.raises(DamagedError, match="read back") as caught:
        BlobCoder("auto").seal_verified(sealer, encoded, TEXT)
    assert caught.value.hint is not None


def test_chunks_lie_within_the_limits() -> None:
    """Readers keep whole chunks in memory."""
    ends = Chunker(SEED).cuts(DATA)
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == len(DATA)
    assert all(chunker.MIN_BYTES <= size <= chunker.MAX_BYTES for size in sizes[:-1])
    assert 1 << 20 < len(DATA) / len(ends) < 2 << 20


def test_what_never_cuts_is_cut_at_the_limit() -> None:
    """A file of zeros has no content to cut by."""
    zeros = bytes(20 << 20)
    assert [len(chunk) for chunk in StreamChunker(SEED).feed(zeros)] == [chunker.MAX_BYTES] * 2
    assert Chunker(SEED).cuts(zeros) == [8 << 20, 16 << 20, 20 << 20]


def test_a_row_put_in_changes_few_chunks() -> None:
    """This is what makes the second backup of a dump small."""
    first = {ids.digest(chunk) for chunk in chunks_of(DATA)}
    second = {ids.digest(chunk) for chunk in chunks_of(DATA[: 9 << 20] + b"one row more" + DATA[9 << 20 :])}
    assert len(second - first) <= 2


def chunks_of(data: bytes) -> list[bytes]:
    """The chunks, each copied."""
    stream = StreamChunker(SEED)
    return [bytes(chunk) for chunk in (*stream.feed(data), *stream.end())]


def test_the_seed_decides_where_is_cut() -> None:
    """Sizes of chunks must not tell a stranger which known file this is."""
    other = chunker.seed_from_polynomial(0x3F2140489B1CD1)
    assert 0 < other < 1 << 63
    assert other != SEED
    assert Chunker(other).cuts(DATA) != Chunker(SEED).cuts(DATA)


def test_an_empty_stream_has_no_chunks() -> None:
    """Empty files have no blobs."""
    stream = StreamChunker(SEED)
    assert [*stream.feed(b""), *stream.end()] == []
    assert Chunker(SEED).cuts(b"") == []


def test_a_chunk_that_is_held_stays_what_it_was() -> None:
    """Workers hash and compress chunks while the stream goes on."""
    stream = StreamChunker(SEED)
    held = []
    for _ in range(2):
        held += stream.feed(DATA[: 9 << 20])
        held += stream.end()
    assert b"".join(held) == DATA[: 9 << 20] * 2


@pytest.mark.parametrize(
    "data", [DATA, DATA[: 3 << 20] + bytes((1,)) * (31 << 20)], ids=["random", "long chunks"]
)
@pytest.mark.parametrize("step", [1 << 20, (1 << 20) + 1, 16 << 20])
def test_no_byte_changes_when_chunks_are_dropped_at_once(data: bytes, step: int) -> None:
    """Segments are used again at once then, with the unfinished chunk moved along."""
    stream = StreamChunker(SEED)
    got = hashlib.sha256()
    for begin in range(0, len(data), step):
        for chunk in stream.feed(data[begin : begin + step]):
            got.update(chunk)
            del chunk
    for chunk in stream.end():
        got.update(chunk)
        del chunk
    assert got.digest() == ids.digest(data)


def test_a_short_stream_takes_little_memory() -> None:
    """Most streams are files of a megabyte, and there may be thousands."""
    stream = StreamChunker(SEED)
    [chunk] = [*stream.feed(DATA[: 300 << 10]), *stream.end()]
    assert memoryview(chunk.obj).nbytes == chunker.FIRST_SEGMENT_BYTES


def test_segments_are_used_again_once_nobody_holds_them() -> None:
    """A stream of terabytes takes no more memory than one of megabytes."""
    stream = StreamChunker(SEED)
    seen = set()
    for _ in range(8):
        for chunk in stream.feed(DATA):
            seen.add(id(chunk.obj))
            del chunk
    assert len(seen) <= 3


def test_a_stream_is_read_straight_into_the_chunker() -> None:
    """This spares a copy of everything."""
    stream = StreamChunker(SEED)
    reader, writer = os.pipe()
    chunks: list[bytes] = []
    with os.fdopen(reader, "rb", buffering=0) as source, os.fdopen(writer, "wb", buffering=0) as sink:
        for begin in range(0, 4 << 20, 32768):
            sink.write(DATA[begin : begin + 32768])
            with stream.buffer_for_read() as room:
                count = source.readinto(room)
            chunks += map(bytes, stream.advance(count or 0))
    chunks += map(bytes, stream.end())
    assert b"".join(chunks) == DATA[: 4 << 20]


def test_glibc_is_told_to_keep_memory() -> None:
    """Page faults cost a quarter of a stream's time."""
    assert tune_allocator() == hasattr(ctypes.CDLL(None), "mallopt")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl knows no mallopt."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not tune_allocator()
