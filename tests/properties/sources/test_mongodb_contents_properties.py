"""What is told of an archive of mongodump: the same however its blocks alternate and its bytes are cut."""

from __future__ import annotations

import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents
from engine.sources.mongodb.contents import MongodbContents

TERMINATOR = b"\xff" * 4
NAMES = st.tuples(st.sampled_from(["shop", "people"]), st.text("ab .$ü", min_size=1, max_size=4))
COLLECTIONS = st.dictionaries(NAMES, st.lists(st.binary(max_size=20), max_size=5), max_size=4)
SEEDS = st.integers(0, 1000)
Collections = dict[tuple[str, str], list[bytes]]


def _document(body: bytes) -> bytes:
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _field(name: str, value: str) -> bytes:
    text = value.encode() + b"\0"
    return b"\x02" + name.encode() + b"\0" + struct.pack("<i", len(text)) + text


def _header(name: tuple[str, str], *, is_end: bool) -> bytes:
    end = b"\x08EOF\0" + bytes((is_end,)) + b"\x12CRC\0" + struct.pack("<q", -7)
    return _document(_field("db", name[0]) + _field("collection", name[1]) + end)


def _archive(collections: Collections, seed: int, metadata: str = "{}") -> bytes:
    draw = random.Random(seed)
    prelude = _document(b"\x10concurrent_collections\0" + bytes(4) + _field("version", "0.1"))
    for database, collection in collections:
        prelude += _document(
            _field("db", database) + _field("collection", collection) + _field("metadata", metadata)
        )
    blocks: list[bytes] = []
    left = {name: list(rows) for name, rows in collections.items()}
    while left:
        name = draw.choice(sorted(left))
        taken = [left[name].pop(0) for _ in range(draw.randint(0, len(left[name])))]
        blocks.append(_header(name, is_end=False) + b"".join(map(_document, taken)) + TERMINATOR)
        if not left[name]:
            del left[name]
            blocks.append(_header(name, is_end=True) + TERMINATOR)
    return bytes.fromhex("6de29981") + prelude + TERMINATOR + b"".join(blocks)


def _contents(data: bytes, piece_bytes: int = 1 << 20) -> DumpContents:
    reader = MongodbContents({})
    for begin in range(0, len(data), piece_bytes):
        reader.feed(data[begin : begin + piece_bytes])
    return reader.finish()


@given(COLLECTIONS, SEEDS, st.integers(1, 30))
def test_collections_are_told_alike_however_their_blocks_alternate(
    collections: Collections, seed: int, piece_bytes: int
) -> None:
    """Several are dumped at once, and which one comes when is chance."""
    found = _contents(_archive(collections, seed))
    assert found == _contents(_archive(collections, seed + 1), piece_bytes)
    counted = {
        (database, name): content.rows
        for database, contents in found.databases.items()
        for name, content in contents.tables.items()
    }
    assert counted == {name: len(rows) for name, rows in collections.items()}


@given(COLLECTIONS, SEEDS, NAMES, st.binary(max_size=20))
def test_a_document_more_and_other_indexes_are_told(
    collections: Collections, seed: int, name: tuple[str, str], row: bytes
) -> None:
    """Indexes stand in a collection's metadata."""
    before = _contents(_archive({**collections, name: collections.get(name, [])}, seed))
    more = _contents(_archive({**collections, name: [*collections.get(name, []), row]}, seed))
    assert before.of(name[0]).tables[name[1]] != more.of(name[0]).tables[name[1]]
    indexed = _contents(_archive({**collections, name: collections.get(name, [])}, seed, '{"indexes":[]}'))
    path = f"tables/{name[1]}"
    assert before.of(name[0]).definitions[path] != indexed.of(name[0]).definitions[path]


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_of_archives_down(data: bytes) -> None:
    """What is none is refused."""
    try:
        _contents(bytes.fromhex("6de29981") + data)
    except IncompleteDumpError:
        return
