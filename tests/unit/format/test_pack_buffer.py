"""Packs that are filled in place: the same packs, at a fraction of the copying."""

from __future__ import annotations

import os
from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from engine.errors import DamagedError
from engine.format import index as index_format
from engine.format import pack
from engine.format.blob import BlobCoder, Prepared, decode
from engine.format.compression import Decompressor
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType, Buffer, digest
from engine.format.pack_buffer import PackBuffer, room_bytes

SEALER = Sealer(MasterKey.generate())
PACK_BYTES = 10_000
LONGEST_BYTES = 2_000


def _buffer(memory: memoryview | None = None, blob_type: BlobType = "data") -> PackBuffer:
    room = memory or memoryview(bytearray(room_bytes(PACK_BYTES, LONGEST_BYTES)))
    return PackBuffer(SEALER, blob_type, PACK_BYTES, room)


def _prepared(contents: list[bytes]) -> list[Prepared]:
    return BlobCoder("auto").compress_all(
        [(digest(each), each) for each in contents], "data", is_verified=True
    )


CONTENTS = st.lists(st.binary(min_size=1, max_size=40).map(lambda each: each * 40), min_size=1, max_size=40)


@hypothesis.given(CONTENTS, st.integers(1, 7))
def test_what_is_filled_in_place_is_a_pack_like_any_other(contents: list[bytes], at_once: int) -> None:
    """Every reader goes by the header, and by the name being the hash."""
    memory = memoryview(bytearray(room_bytes(PACK_BYTES, LONGEST_BYTES)))
    buffer = _buffer(memory)
    blobs, taken = _prepared(contents), 0
    while taken < len(blobs) and not buffer.is_full:
        taken += buffer.add(blobs[taken : taken + at_once], is_verified=True)
    filled = buffer.finish()
    whole = bytes(memory[: filled.blobs_bytes]) + filled.trailer
    entries = pack.parse_pack(SEALER, whole)
    uniform = pack.UniformEntries("data", filled.header, filled.count, filled.plain_bytes, len(whole))
    assert list(uniform) == entries
    assert digest(whole) == filled.id
    assert filled.index_json == index_format.encode_pack(filled.id, entries)
    assert filled.plain_bytes == sum(map(len, contents[:taken]))
    read = [
        decode(SEALER, Decompressor(), whole[each.offset : each.offset + each.length], each.id, each.uncompressed_length)
        for each in entries
    ]  # fmt: skip
    assert read == contents[:taken]


def test_a_full_pack_takes_no_more() -> None:
    """What is left over begins the next one."""
    buffer = _buffer()
    blobs = _prepared([os.urandom(1_500) for _ in range(20)])
    taken = buffer.add(blobs, is_verified=True)
    assert buffer.is_full
    assert taken == -(-PACK_BYTES // (1_500 + 32))


def test_what_no_pack_is_made_of_can_be_taken_out_again() -> None:
    """The last packs of several workers become one."""
    memory = memoryview(bytearray(room_bytes(PACK_BYTES, LONGEST_BYTES)))
    buffer = PackBuffer(SEALER, "data", PACK_BYTES, memory)
    contents = [b"one" * 100, b"two" * 100]
    buffer.add(_prepared(contents), is_verified=True)
    taken = buffer.take()
    assert [entry.id for entry in taken] == [digest(each) for each in contents]
    read = []
    for entry in taken:
        sealed = memory[entry.offset : entry.offset + entry.length]
        read.append(decode(SEALER, Decompressor(), sealed, entry.id, entry.uncompressed_length))
    assert read == contents


class _Faulty(Sealer):
    """A sealer on a machine whose memory errs: a bit flips after something was sealed."""

    def seal_all(self, plaintexts: Sequence[Buffer], target: memoryview) -> list[int]:
        """As its parent's, then the fault."""
        ends = super().seal_all(plaintexts, target)
        target[ends[0] - 20] ^= 1
        return ends


def test_a_bit_that_flips_while_sealing_ends_the_backup_and_not_the_restore() -> None:
    """Extra verification is there for this."""
    room = memoryview(bytearray(room_bytes(PACK_BYTES, LONGEST_BYTES)))
    buffer = PackBuffer(_Faulty(MasterKey.generate()), "data", PACK_BYTES, room)
    with pytest.raises(DamagedError, match="does not read back"):
        buffer.add(_prepared([b"content" * 10]), is_verified=True)


def _sealed(plaintexts: list[bytes]) -> tuple[memoryview, list[int]]:
    target = memoryview(bytearray(sum(map(len, plaintexts)) + 32 * len(plaintexts) + Sealer.ROOM_BYTES))
    return target, SEALER.seal_all(plaintexts, target)


@hypothesis.given(st.lists(st.binary(max_size=100), min_size=1, max_size=20))
def test_many_sealed_at_once_open_one_by_one(plaintexts: list[bytes]) -> None:
    """restic opens them so."""
    target, ends = _sealed(plaintexts)
    begins = [0, *ends[:-1]]
    assert [SEALER.open(bytes(target[at:end])) for at, end in zip(begins, ends, strict=True)] == plaintexts
    assert SEALER.seals_all(target, ends, plaintexts)


@hypothesis.given(st.data())
def test_any_flipped_bit_among_many_sealed_is_seen(data: st.DataObject) -> None:
    """Wherever it lies: in an IV, in a ciphertext or in a tag."""
    plaintexts = data.draw(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8))
    target, ends = _sealed(plaintexts)
    target[data.draw(st.integers(0, ends[-1] - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not SEALER.seals_all(target, ends, plaintexts)
