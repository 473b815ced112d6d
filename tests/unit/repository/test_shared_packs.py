"""Packs that several threads fill in place."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from engine.errors import DamagedError
from engine.format import pack
from engine.format.blob import Prepared
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import Buffer, digest
from engine.repository import shared_packs
from engine.repository.packing import OPEN_PACKS
from engine.repository.shared_packs import SharedPacks

PACK_BYTES = 10_000
KEY = MasterKey.generate()


@pytest.fixture
def full() -> list[pack.Pack]:
    """Where full packs go."""
    return []


@pytest.fixture
def packs(full: list[pack.Pack]) -> SharedPacks:
    """Open packs that are small."""
    return SharedPacks(KEY, "data", PACK_BYTES, full.append)


def _blobs(count: int, size_bytes: int) -> list[Prepared]:
    contents = [os.urandom(size_bytes) for _ in range(count)]
    return [Prepared(digest(content), content, None) for content in contents]


def _add_all(packs: SharedPacks, blobs: Sequence[Prepared]) -> None:
    sealer = Sealer(KEY)
    for blob in blobs:
        packs.add(blob, sealer, is_verified=True)


def _require_readable(finished: pack.Pack) -> None:
    whole = b"".join(finished.parts)
    assert digest(whole) == finished.id
    assert tuple(pack.parse_pack(Sealer(KEY), whole)) == finished.entries
    for entry in finished.entries:
        opened = Sealer(KEY).open(whole[entry.offset : entry.offset + entry.length])
        assert digest(opened) == entry.id


def test_every_blob_of_every_thread_is_in_one_pack_or_left_over(
    packs: SharedPacks, full: list[pack.Pack]
) -> None:
    """A blob that another was sealed over is a file that does not restore."""
    blobs = [_blobs(60, 900) for _ in range(4)]
    threads = [threading.Thread(target=_add_all, args=(packs, each)) for each in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loose = packs.take_loose()
    for each in full:
        _require_readable(each)
    for blob in loose:
        assert digest(Sealer(KEY).open(blob.sealed)) == blob.id
    found = [entry.id for each in full for entry in each.entries] + [blob.id for blob in loose]
    assert sorted(found) == sorted(blob.id for each in blobs for blob in each)
    assert packs.take_loose() == []


def test_no_more_than_two_packs_are_open(packs: SharedPacks) -> None:
    """Open packs are memory."""
    _add_all(packs, _blobs(300, 90))
    assert sum(len(blob.sealed) for blob in packs.take_loose()) < OPEN_PACKS * (PACK_BYTES + 200)


def test_the_memory_of_a_stored_pack_serves_again(packs: SharedPacks, full: list[pack.Pack]) -> None:
    """Fresh memory costs more than what is written to it."""
    memories = set()
    for blob in _blobs(160, 2_000):
        _add_all(packs, [blob])
        for each in full:
            assert isinstance(each.parts[0], memoryview)
            memories.add(id(each.parts[0].obj))
            _require_readable(each)
            each.release()
        full.clear()
    assert 1 <= len(memories) <= OPEN_PACKS + 1


def test_a_pack_that_is_not_stored_yet_is_left_as_it_is(packs: SharedPacks, full: list[pack.Pack]) -> None:
    """A slow storage must get what was hashed."""
    _add_all(packs, _blobs(60, 900))
    assert len(full) > 2
    for each in full:
        _require_readable(each)


def test_what_is_longer_than_any_chunk_goes_alone_and_at_once(
    packs: SharedPacks, full: list[pack.Pack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree of a directory of a million files has no room beside others."""
    monkeypatch.setattr(shared_packs, "LONGEST_BYTES", 3_000)
    _add_all(packs, _blobs(2, 100) + _blobs(1, 3_001))
    assert [len(each.entries) for each in full] == [1]
    _require_readable(full[0])
    full[0].release()
    assert len(packs.take_loose()) == 2


class _BrokenSealer(Sealer):
    """A processor that miscalculates."""

    def seal_all(self, plaintexts: Sequence[Buffer], target: memoryview) -> list[int]:
        ends = super().seal_all(plaintexts, target)
        target[40] ^= 1
        return ends


def test_what_was_sealed_wrong_is_never_in_a_pack(packs: SharedPacks, full: list[pack.Pack]) -> None:
    """What cannot be restored must not be stored as if it could."""
    [wrong] = _blobs(1, 900)
    with pytest.raises(DamagedError, match="does not read back"):
        packs.add(wrong, _BrokenSealer(KEY), is_verified=True)
    _add_all(packs, _blobs(100, 900))
    assert all(entry.id != wrong.id for each in full for entry in each.entries)
