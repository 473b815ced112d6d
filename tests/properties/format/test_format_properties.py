"""What holds for the format whatever the bytes are."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import random
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from engine.errors import DamagedError, HoldfastError
from engine.format import (
    blob,
    chunker,
    config_file,
    ids,
    index,
    key_file,
    layout,
    lock_file,
    names,
    node_text,
    pack,
    snapshot,
    tree,
    unpacked,
)
from engine.format.blob import BlobCoder
from engine.format.chunker import Chunker, StreamChunker
from engine.format.compression import Compressor, Decompressor
from engine.format.crypto import MasterKey, Sealer
from engine.format.pack import BlobEntry, PackBuilder
from engine.format.tree import Node

SEALER = Sealer(MasterKey.generate())
SEED = 99
STREAM = random.Random(5).randbytes(20 << 20)
CUTS = Chunker(SEED).cuts(STREAM)

file_names = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & {0, 0x2F} and name not in (b".", b"..")
)
identifiers = st.binary(min_size=32, max_size=32)
uint32 = st.integers(0, (1 << 32) - 1)
entries = st.builds(
    BlobEntry,
    st.sampled_from(["data", "tree"]),
    identifiers,
    st.just(0),
    st.integers(32, 1 << 20),
    st.none() | st.integers(1, (1 << 32) - 1),
)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """A node that restic could have written, file or directory."""
    is_file = draw(st.booleans())
    when = node_text.time_text(
        b"%d.%09d" % (draw(st.integers(-(1 << 40), 1 << 40)), draw(st.integers(0, 10**9 - 1)))
    )
    return Node(
        draw(file_names),
        "file" if is_file else "dir",
        draw(uint32),
        when.decode(),
        when.decode(),
        when.decode(),
        draw(uint32),
        draw(uint32),
        draw(texts).encode(),
        draw(texts).encode(),
        draw(st.integers(0, (1 << 64) - 1)),
        draw(st.integers(0, (1 << 64) - 1)),
        draw(st.integers(0, (1 << 63) - 1)),
        draw(uint32),
        draw(st.binary(max_size=20)),
        tuple(draw(st.lists(st.tuples(texts.map(str.encode), st.binary()), max_size=3))),
        0,
        tuple(draw(st.lists(identifiers, max_size=3))) if is_file else None,
        None if is_file else draw(identifiers),
    )


@hypothesis.given(st.binary())
def test_any_name_comes_back(name: bytes) -> None:
    """Files are called by bytes."""
    quoted = names.quote(name)
    assert names.unquote(quoted.decode()) == name
    assert quoted.decode().isprintable() or not name.isascii()


@hypothesis.given(texts)
def test_any_text_that_is_read_as_a_name_reads_or_is_refused(text: str) -> None:
    """Names come out of repositories of any origin."""
    with contextlib.suppress(DamagedError):
        names.unquote(text)


@hypothesis.given(texts | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_database_gets_a_file_name_of_its_own(name: str) -> None:
    """Two databases in one file would lose one."""
    encoded = layout.encode_name(name)
    assert encoded not in ("", ".", "..")
    assert "/" not in encoded
    assert len(encoded.encode()) <= layout.LIMIT_BYTES
    assert layout.decode_name(encoded) in (name, None)


@hypothesis.given(st.lists(nodes(), max_size=6, unique_by=lambda node: node.name))
def test_any_tree_comes_back_and_is_split_right(drawn: list[Node]) -> None:
    """Restores and unchanged files depend on it."""
    drawn.sort(key=lambda node: node.name)
    encoded = [tree.encode_node(node) for node in drawn]
    whole = tree.encode_tree(encoded)
    assert tree.decode_tree(whole) == drawn
    assert list(tree.split_nodes(whole)) == encoded


@hypothesis.given(st.binary(max_size=5000), st.sampled_from(["off", "auto", "max"]))
def test_any_blob_comes_back(content: bytes, mode: Any) -> None:
    """All content goes through this."""
    coder = BlobCoder(mode)
    encoded = coder.encode(content, "data")
    stored = coder.seal_verified(SEALER, encoded, content)
    assert blob.decode(SEALER, Decompressor(), stored, encoded.id, encoded.uncompressed_length) == content


@hypothesis.given(st.lists(entries, max_size=20))
def test_any_header_and_index_come_back(drawn: list[BlobEntry]) -> None:
    """Blobs are found by them."""
    offset = itertools.accumulate((entry.length for entry in drawn), initial=0)
    placed = [entry._replace(offset=at) for entry, at in zip(drawn, offset, strict=False)]
    assert pack.decode_header(pack.encode_header(placed)) == placed
    assert list(index.decode(index.encode([(bytes(32), placed)]))) == [(bytes(32), placed)]


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.lists(st.integers(1, 9 << 20), min_size=1, max_size=60), st.integers(0, len(STREAM)))
def test_cuts_do_not_depend_on_how_the_bytes_arrive(pieces: list[int], length: int) -> None:
    """Otherwise the same dump would be stored anew each day."""
    stream = StreamChunker(SEED)
    ends: list[int] = []
    position = 0
    for size in itertools.cycle(pieces):
        if position >= length:
            break
        ends += (len(chunk) for chunk in stream.feed(STREAM[position : min(position + size, length)]))
        position += size
    ends += (len(chunk) for chunk in stream.end())
    expected = [*(end for end in CUTS if end < length), *([length] if length else [])]
    assert list(itertools.accumulate(ends)) == expected


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.lists(st.integers(0, 5 << 20), max_size=12))
def test_streams_one_after_the_other_are_cut_as_if_each_were_alone(lengths: list[int]) -> None:
    """A file deduplicates whichever files were read before it."""
    stream = StreamChunker(SEED)
    for length in lengths:
        got = [bytes(chunk) for chunk in (*stream.feed(STREAM[:length]), *stream.end())]
        expected = [*(end for end in CUTS if end < length), *([length] if length else [])]
        assert list(itertools.accumulate(map(len, got))) == expected
        assert b"".join(got) == STREAM[:length]


@hypothesis.settings(max_examples=20)
@hypothesis.given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.booleans()), max_size=40))
def test_long_blobs_come_back_whatever_came_before_them(drawn: list[tuple[bytes, bool]]) -> None:
    """What a blob is compressed with depends on those before it; what comes out does not."""
    compressor, decompressor = Compressor("auto"), Decompressor()
    for seed, is_varied in drawn:
        text = seed.hex().encode() + b"\n"
        varied = random.Random(seed).randbytes(150_000).hex().encode()
        content = varied if is_varied else (text * (300_000 // len(text) + 1))
        frame = compressor.compress(content, is_always=True)
        assert frame is not None
        assert decompressor.decompress(frame, len(content)) == content


@hypothesis.given(st.data())
def test_a_flipped_or_missing_byte_of_anything_sealed_is_found(data: st.DataObject) -> None:
    """Damage must never come out as data."""
    sealed = SEALER.seal(data.draw(st.binary(max_size=200)))
    position = data.draw(st.integers(0, len(sealed) - 1))
    flip = data.draw(st.integers(0, 255))
    damaged = bytearray(sealed)
    damaged[position] ^= flip
    if not flip:
        del damaged[position]
    with pytest.raises(DamagedError):
        SEALER.open(damaged)


def whole_pack() -> bytes:
    """A pack of two blobs."""
    builder = PackBuilder(SEALER)
    for content in (b"one", b"two"):
        builder.add("data", ids.digest(content), SEALER.seal(content), None)
    return b"".join(builder.finish().parts)


@hypothesis.given(st.data())
def test_a_flipped_byte_in_a_packs_header_is_found(data: st.DataObject) -> None:
    """A wrong offset would be a wrong file."""
    damaged = bytearray(whole_pack())
    position = data.draw(st.integers(70, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedError):
        pack.parse_pack(SEALER, damaged)


NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SAMPLES: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "tree": (
        tree.encode_tree([tree.encode_node(Node(b"a\n", "file", content=(bytes(32),)))]),
        lambda raw: tree.decode_tree(raw, strict=False),
    ),
    "split tree": (
        tree.encode_tree([tree.encode_node(Node(b"a", "file", content=()))]).replace(b":[", b": ["),
        tree.split_nodes,
    ),
    "index": (
        index.encode([(bytes(32), [BlobEntry("data", bytes(32), 0, 50, 9)])]),
        lambda raw: list(index.decode(raw)),
    ),
    "snapshot": (snapshot.encode(snapshot.Snapshot(NOW, bytes(32), ("/",), "h")), snapshot.decode),
    "lock": (lock_file.encode(lock_file.Lock(NOW, False, "h", "u", 1)), lock_file.decode),
    "key": (
        key_file.create(
            b"", MasterKey.generate(), username="", hostname="", created=NOW, salt=bytes(64), n=2, r=1, p=1
        ),
        key_file.parse,
    ),
    "master key": (MasterKey.generate().to_json(), MasterKey.from_json),
    "header": (pack.encode_header([BlobEntry("data", bytes(32), 0, 50, 9)]), pack.decode_header),
    "config": (
        b'{"version":2,"id":"%b","chunker_polynomial":"3da3358b4dc173"}' % (b"0" * 64),
        lambda raw: config_file.decode(SEALER, SEALER.seal(raw)),
    ),
    "unpacked": (b"\x02", lambda raw: unpacked.decode(SEALER, SEALER.seal(raw))),
    "frame": (
        bytes(BlobCoder("auto").encode(b"abc " * 99, "data").payload),
        lambda raw: Decompressor().decompress(raw, None),
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
@hypothesis.given(data=st.data())
def test_bytes_of_any_kind_are_read_or_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    """A hostile storage must not be able to crash anything."""
    sample, read = SAMPLES[name]
    begin = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(begin, len(sample)))
    changed = sample[:begin] + data.draw(st.binary(max_size=12)) + sample[end:]
    with contextlib.suppress(HoldfastError):
        read(changed)


def test_the_segment_holds_the_longest_chunk_and_a_step_more() -> None:
    """Otherwise a chunk of 8 MiB could never be finished."""
    assert chunker.SEGMENT_BYTES >= chunker.MAX_BYTES + chunker.STEP_BYTES
