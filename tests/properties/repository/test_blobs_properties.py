"""However blobs lie in packs, the ranges that are read cover each of them, within the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.repository.blobs import BlobCache, Wanted, plan_ordered_reads, plan_reads
from engine.repository.packed_index import Location

GAP, REQUEST = 100, 1000

_WANTED = st.builds(
    lambda pack, offset, length, plain: Wanted(
        "data", bytes([offset % 256]) * 32, Location(bytes([pack]) * 32, offset, length, plain)
    ),
    pack=st.integers(0, 3),
    offset=st.integers(0, 5000),
    length=st.integers(33, 1500),
    plain=st.none() | st.integers(1, 3000),
)


@given(st.lists(_WANTED, max_size=30))
def test_every_wanted_blob_is_read_once(wanted: list[Wanted]) -> None:
    """A blob that is left out is a hole in a restored file."""
    reads = plan_reads(wanted, GAP, REQUEST)
    found = [blob for read in reads for blob in read.blobs]
    assert sorted(found, key=repr) == sorted(set(wanted), key=repr)


@given(st.lists(_WANTED, max_size=30))
def test_a_range_holds_its_blobs_within_the_limits(wanted: list[Wanted]) -> None:
    """Memory is bounded by the longest request, whatever a hostile index says."""
    for read in plan_reads(wanted, GAP, REQUEST):
        end = read.offset
        for blob in read.blobs:
            place = blob.location
            assert place.pack == read.pack
            assert read.offset <= place.offset <= place.offset + place.length <= read.offset + read.length
            assert 0 <= place.offset - end <= GAP
            end = place.offset + place.length
        if len(read.blobs) > 1:
            assert read.length <= REQUEST
            assert sum(blob.plain_bytes for blob in read.blobs) <= REQUEST


@given(st.lists(_WANTED, max_size=30))
def test_ordered_ranges_keep_the_order(wanted: list[Wanted]) -> None:
    """A dump is a file, not a heap of blobs."""
    found = [blob for read in plan_ordered_reads(wanted, GAP, REQUEST) for blob in read.blobs]
    assert found == wanted


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=60))
def test_a_cache_never_holds_more_than_its_limit(puts: list[tuple[int, int]]) -> None:
    """Trees of a million directories must not fill the memory."""
    cache = BlobCache(100)
    kept: dict[bytes, bytes] = {}
    for number, size in puts:
        blob_id = bytes([number]) * 32
        cache.put(blob_id, bytes(size))
        kept.setdefault(blob_id, bytes(size))
    held = [found for blob_id in kept if (found := cache.get(blob_id)) is not None]
    assert sum(map(len, held)) <= 100
