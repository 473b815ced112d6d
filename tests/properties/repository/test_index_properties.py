"""Whatever the index files hold, and however they are cached, the index answers as a dictionary of them would."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.format import index as index_format
from engine.format.ids import BlobType
from engine.format.pack import BlobEntry
from engine.repository import cache
from engine.repository.index import TYPES, Index
from engine.repository.packed_index import Location
from tests.fakes.loop_clock import LoopClock

_KNOWN_IDS = [hashlib.sha256(bytes([number])).digest() for number in range(24)]
_IDS = st.one_of(
    st.sampled_from(_KNOWN_IDS),
    st.binary(min_size=32, max_size=32),
    st.builds(lambda b: b * 32, st.binary(min_size=1, max_size=1)),
)
_ENTRIES = st.builds(
    BlobEntry,
    type=st.sampled_from(TYPES),
    id=_IDS,
    offset=st.integers(0, 2**31),
    length=st.integers(32, 2**31 - 1),
    uncompressed_length=st.none() | st.integers(1, 2**32 - 1),
)
_FILES = st.lists(st.lists(st.tuples(_IDS, st.lists(_ENTRIES, max_size=8)), max_size=6), max_size=6)

_Places = dict[tuple[BlobType, bytes], set[Location]]


def _expected(files: Collection[bytes]) -> _Places:
    places: _Places = {}
    for json in files:
        for pack_id, entries in index_format.decode(json):
            for entry in entries:
                place = Location(pack_id, entry.offset, entry.length, entry.uncompressed_length)
                places.setdefault(("tree" if entry.type == "tree" else "data", entry.id), set()).add(place)
    return places


def _assert_same(index: Index, expected: _Places) -> None:
    for type_ in TYPES:
        for blob_id in {*_KNOWN_IDS, *(found for _, found in expected)}:
            places = expected.get((type_, blob_id), set())
            assert set(index.lookup_all(type_, blob_id)) == places
            assert index.has(type_, blob_id) == bool(places)
            found = index.lookup(type_, blob_id)
            assert found in places if places else found is None
    assert {(blob.type, blob.id, blob.location) for blob in index.blobs()} == {
        (type_, blob_id, place) for (type_, blob_id), places in expected.items() for place in places
    }


@pytest.mark.slow
@settings(max_examples=60)
@given(steps=st.lists(st.tuples(_FILES, st.integers(0, 2**16)), min_size=1, max_size=3))
def test_the_index_answers_as_a_dictionary_would(
    steps: list[tuple[list[list[tuple[bytes, list[BlobEntry]]]], int]],
) -> None:
    """Index files come and go between runs; the cache is carried over, and must never show."""

    async def run(directory: Path) -> None:
        files: dict[bytes, bytes] = {}

        async def fetch(index_id: bytes) -> bytes:
            return files[index_id]

        for added, removed in steps:
            for packs in added:
                json = index_format.encode(packs)
                files[hashlib.sha256(json).digest()] = json
            for number, index_id in enumerate(list(files)):
                if removed >> (number % 16) & 1:
                    del files[index_id]
            index = await cache.load_index(files, fetch, directory, LoopClock())
            _assert_same(index, _expected(files.values()))

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))
