"""Packs and their headers."""

from __future__ import annotations

import hashlib
import os

import pytest

from engine.errors import DamagedError
from engine.format import ids, pack
from engine.format.crypto import MasterKey, Sealer
from engine.format.pack import BlobEntry, Pack, PackBuilder

SEALER = Sealer(MasterKey.generate())


def build() -> Pack:
    """A pack of all four kinds of blob."""
    builder = PackBuilder(SEALER)
    for number, (blob_type, length) in enumerate((("data", None), ("tree", None), ("data", 99), ("tree", 7))):
        content = b"%d" % number
        builder.add(blob_type, ids.digest(content), SEALER.seal(content), length)
    assert builder.count == 4
    assert builder.size_bytes == 4 * 33
    assert not builder.is_full
    return builder.finish()


def header_of(plain: bytes, before: int = 100) -> bytes:
    """A pack of `before` bytes of blobs with that header."""
    sealed = SEALER.seal(plain)
    return bytes(before) + sealed + len(sealed).to_bytes(4, "little")


def test_a_pack_reads_back_as_it_was_built() -> None:
    """The header is what repairs a lost index."""
    made = build()
    whole = b"".join(made.parts)
    assert pack.parse_pack(SEALER, whole) == list(made.entries)
    assert [entry.offset for entry in made.entries] == [0, 33, 66, 99]
    assert [entry.uncompressed_length for entry in made.entries] == [None, None, 99, 7]
    assert made.id == hashlib.sha256(whole).digest()
    assert made.size_bytes == len(whole) == pack.size_bytes(made.entries)


def test_the_tail_of_a_pack_is_enough() -> None:
    """A header is read without fetching 16 MiB."""
    made = build()
    whole = b"".join(made.parts)
    length = pack.header_length(whole[-4:], len(whole))
    assert pack.parse_tail(SEALER, whole[-length:], len(whole)) == list(made.entries)
    with pytest.raises(DamagedError, match="only"):
        pack.parse_tail(SEALER, whole[-length + 1 :], len(whole))


def test_a_pack_is_full_at_its_target() -> None:
    """Packs of 16 MiB are what storages cope with best."""
    builder = PackBuilder(SEALER)
    builder.add("data", bytes(32), bytes(pack.TARGET_BYTES - 1), None)
    assert not builder.is_full
    builder.add("data", bytes(32), bytes(40), None)
    assert builder.is_full


def test_a_pack_is_full_when_its_header_is() -> None:
    """restic reads no header of more than 16 MiB."""
    header = pack.COUNT_LIMIT * pack.COMPRESSED_ENTRY_BYTES + 36
    assert header <= pack.HEADER_LIMIT_BYTES < header + pack.COMPRESSED_ENTRY_BYTES


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (bytes((4,)) + bytes(40), "unknown blob type 4"),
        (pack.encode_header([BlobEntry("data", bytes(32), 0, 100, None)])[:-1], "cut short"),
        (pack.encode_header([BlobEntry("tree", bytes(32), 0, 100, 1)])[:-1], "cut short"),
        (pack.encode_header([BlobEntry("data", bytes(32), 0, 31, None)]), "31 bytes"),
    ],
    ids=["type", "cut", "cut compressed", "short blob"],
)
def test_a_damaged_header_is_refused(plain: bytes, said: str) -> None:
    """The sentence says what is wrong."""
    with pytest.raises(DamagedError, match=said):
        pack.decode_header(plain)


def test_a_header_that_does_not_add_up_is_refused() -> None:
    """Gaps and cuts show in the size."""
    plain = pack.encode_header([BlobEntry("data", bytes(32), 0, 99, None)])
    with pytest.raises(DamagedError, match="has 173 bytes, but its header speaks of 172"):
        pack.parse_pack(SEALER, header_of(plain))


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (b"", "too short"),
        (bytes(72), "too short"),
        (bytes(100), "says that its header has 0"),
        (bytes(100) + (200).to_bytes(4, "little"), "says that its header has 200"),
        (bytes(100) + (68).to_bytes(4, "little"), "says that its header has 68"),
        (bytes(17 << 20) + (16 << 20).to_bytes(4, "little"), "longer than any"),
    ],
    ids=["empty", "short", "none", "beyond", "no entry", "huge"],
)
def test_a_length_that_cannot_be_is_refused(whole: bytes, said: str) -> None:
    """Nothing is allocated because a damaged file says so."""
    with pytest.raises(DamagedError, match=said):
        pack.parse_pack(SEALER, whole)


def test_a_pack_of_another_repository_is_refused() -> None:
    """Its header was sealed under another key."""
    whole = b"".join(build().parts)
    with pytest.raises(DamagedError):
        pack.parse_pack(Sealer(MasterKey.generate()), whole)


def test_an_empty_header_length_field_is_refused() -> None:
    """A tail may be shorter than asked for."""
    with pytest.raises(DamagedError, match="too short"):
        pack.header_length(os.urandom(3), 1000)
