"""Open packs, and what is left over in them."""

from __future__ import annotations

import os

import pytest

from engine.format import pack
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType, digest
from engine.repository.packing import OPEN_PACKS, Loose, Packer, merge_loose

PACK_BYTES = 10_000
KEY = MasterKey.generate()


def _blob(size_bytes: int, type_: BlobType = "data") -> Loose:
    plain = os.urandom(size_bytes)
    return Loose(type_, digest(plain), Sealer(KEY).seal(plain), None)


@pytest.fixture
def full() -> list[pack.Pack]:
    """Where full packs go."""
    return []


@pytest.fixture
def packer(full: list[pack.Pack]) -> Packer:
    """A packer of small packs."""
    return Packer(KEY, PACK_BYTES, full.append)


def _ids(packs: list[pack.Pack]) -> list[bytes]:
    return sorted(entry.id for each in packs for entry in each.entries)


def test_every_blob_is_in_one_pack_or_left_over(packer: Packer, full: list[pack.Pack]) -> None:
    """A blob that falls between two packs is a file that does not restore."""
    blobs = [_blob(900) for _ in range(100)]
    for blob in blobs:
        packer.add(blob)
    loose = packer.take_loose()
    assert sorted(_ids(full) + [blob.id for blob in loose]) == sorted(blob.id for blob in blobs)
    assert packer.take_loose() == []
    assert all(each.size_bytes >= PACK_BYTES for each in full)


def test_no_more_than_two_packs_are_open(packer: Packer) -> None:
    """Open packs are memory."""
    for _ in range(1000):
        packer.add(_blob(90))
    assert sum(len(blob.sealed) for blob in packer.take_loose()) < OPEN_PACKS * (PACK_BYTES + 200)


def test_a_blob_as_long_as_a_pack_goes_alone_and_at_once(packer: Packer, full: list[pack.Pack]) -> None:
    """Long chunks must not wait in memory beside others."""
    packer.add(_blob(100))
    packer.add(_blob(PACK_BYTES))
    assert [len(each.entries) for each in full] == [1]


def test_packs_are_read_as_they_were_written(packer: Packer, full: list[pack.Pack]) -> None:
    """What the index is told is what lies in the pack."""
    for _ in range(40):
        packer.add(_blob(700))
    for each in full:
        whole = b"".join(each.parts)
        assert digest(whole) == each.id
        assert tuple(pack.parse_pack(Sealer(KEY), whole)) == each.entries
        for entry in each.entries:
            opened = Sealer(KEY).open(whole[entry.offset : entry.offset + entry.length])
            assert digest(opened) == entry.id


def test_left_overs_are_merged_once_each_and_types_apart() -> None:
    """What several workers had left of the same blob is one blob; trees and data in one pack is what restic never writes."""
    data = [_blob(2_000) for _ in range(12)]
    trees = [_blob(300, "tree") for _ in range(5)]
    packs = merge_loose([*data, *trees, *data[:5], *trees], Sealer(KEY), PACK_BYTES)
    assert _ids(packs) == sorted(blob.id for blob in [*data, *trees])
    assert all(len({entry.type for entry in each.entries}) == 1 for each in packs)


def test_a_blob_of_both_types_is_kept_as_both() -> None:
    """A file whose content is a tree's JSON has that tree's id."""
    blob = _blob(500)
    twin = Loose("tree", blob.id, blob.sealed, None)
    packs = merge_loose([blob, twin], Sealer(KEY), PACK_BYTES)
    assert sorted(entry.type for each in packs for entry in each.entries) == ["data", "tree"]


def test_nothing_left_over_is_no_pack() -> None:
    """An empty pack is an error to restic."""
    assert merge_loose([], Sealer(KEY), PACK_BYTES) == []
