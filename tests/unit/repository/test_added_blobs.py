"""What a run added to an index is found, whether its entries wait in memory, in a file, or were taken apart."""

from __future__ import annotations

import tempfile

import pytest

from engine.format import pack
from engine.format.ids import digest
from engine.repository import added_blobs
from engine.repository.added_blobs import AddedBlobs
from engine.repository.packed_index import Location

PACKS, BLOBS = 5, 7


def _id(number: int) -> bytes:
    return digest(b"%d" % number)


def _filled() -> AddedBlobs:
    """Packs of blobs that are numbered through, each 100 bytes long and 60 stored."""
    added = AddedBlobs()
    for at in range(PACKS):
        numbers = range(at * BLOBS, (at + 1) * BLOBS)
        header = b"".join([pack.encode_entry("data", _id(number), 60, 100) for number in numbers])
        added.add(_id(1000 + at), pack.UniformEntries("data", header, BLOBS, 100 * BLOBS, 900))
    return added


@pytest.fixture(params=[0, 2 * BLOBS, 1_000], ids=["all in a file", "some in a file", "none in a file"])
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AddedBlobs:
    """Five packs, of which a file holds some."""
    monkeypatch.setattr(added_blobs, "_PENDING_IN_MEMORY", request.param)
    return _filled()


def test_each_blob_is_found_where_it_lies(added: AddedBlobs) -> None:
    """Also by a look-up that takes nothing apart."""
    assert len(added) == PACKS * BLOBS
    assert added.find("data", _id(PACKS * BLOBS)) == -1
    for number in range(PACKS * BLOBS):
        type_, blob_id, location = added.row(added.find("data", _id(number)))
        assert (type_, blob_id) == ("data", _id(number))
        assert location == Location(_id(1000 + number // BLOBS), 60 * (number % BLOBS), 60, 100)


def test_all_are_listed_in_order(added: AddedBlobs) -> None:
    """A second repository is told them so."""
    assert list(added.ids("data")) == [_id(number) for number in range(PACKS * BLOBS)]
    assert [blob_id for _, blob_id, _ in added] == list(added.ids("data"))


def test_without_room_for_a_file_they_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full /tmp is no reason to lose a backup."""

    def refuse(**_options: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(added_blobs, "_PENDING_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert list(_filled().ids("data")) == [_id(number) for number in range(PACKS * BLOBS)]
