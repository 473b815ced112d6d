"""Identifiers, keys and sealing."""

from __future__ import annotations

import os

import pytest

from engine.errors import DamagedError
from engine.format import crypto, ids
from engine.format.crypto import MasterKey, Sealer

KEY = MasterKey(bytes(range(32)), bytes(range(1, 17)), bytes(range(2, 18)))
SIZES = [0, 1, 4096, crypto.SCRATCH_FROM_BYTES - 1, crypto.SCRATCH_FROM_BYTES, 1 << 20]


def test_an_identifier_reads_back_as_it_was_written() -> None:
    """Files are found by it."""
    assert ids.parse_id(ids.digest(b"abc").hex()) == ids.digest(b"abc")


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "0" * 63, "0" * 66, " " * 64, "é" * 64])
def test_what_is_not_64_digits_is_no_identifier(text: str) -> None:
    """A damaged index must not send anyone looking for nonsense."""
    with pytest.raises(DamagedError, match="64 hexadecimal digits"):
        ids.parse_id(text)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens_to_the_same(size: int) -> None:
    """Everything in a repository goes through this."""
    sealer = Sealer(KEY)
    plain = os.urandom(size)
    sealed = sealer.seal(plain)
    assert len(sealed) == size + crypto.OVERHEAD_BYTES
    assert sealer.open(memoryview(sealed)) == sealer.open(sealed) == plain


@pytest.mark.parametrize("size", SIZES)
def test_a_sealer_tells_whether_it_sealed_that(size: int) -> None:
    """The last look before storing must see every difference."""
    sealer = Sealer(KEY)
    plain = os.urandom(size)
    sealed = sealer.seal(plain)
    assert sealer.seals(sealed, plain)
    assert not sealer.seals(sealed, plain + b"x")
    if size:
        assert not sealer.seals(sealed, bytes(size - 1) + bytes((plain[-1] ^ 1,)))


def test_the_scratch_buffer_of_a_longer_blob_serves_a_shorter_one() -> None:
    """Blobs of all sizes come in any order."""
    sealer = Sealer(KEY)
    for size in (1 << 20, 1 << 19, 1 << 20):
        plain = os.urandom(size)
        assert sealer.seals(sealer.seal(plain), memoryview(plain))


def test_sealing_the_same_twice_shows_nothing_in_common() -> None:
    """The IV is fresh each time."""
    sealer = Sealer(KEY)
    assert sealer.seal(bytes(64))[:48] != sealer.seal(bytes(64))[:48]


def test_sealing_is_what_it_always_was() -> None:
    """A repository of years ago must open: this was checked with restic once."""
    sealed = Sealer(KEY).seal(b"holdfast", iv=bytes(range(16)))
    assert sealed.hex() == "000102030405060708090a0b0c0d0e0f320168336e9a02e2158a42c58f9f262028a09140b02c6fd5"


@pytest.mark.parametrize("position", [0, 15, 16, 20, -16, -1])
def test_a_changed_byte_is_found(position: int) -> None:
    """Damage must never come out as data."""
    sealed = bytearray(Sealer(KEY).seal(b"some text"))
    sealed[position] ^= 1
    with pytest.raises(DamagedError, match="damaged, or sealed under another key"):
        Sealer(KEY).open(sealed)


@pytest.mark.parametrize("sealed", [b"", bytes(31)], ids=["empty", "31 bytes"])
def test_what_is_too_short_to_be_sealed_is_damaged(sealed: bytes) -> None:
    """A cut file must end in a sentence."""
    with pytest.raises(DamagedError, match="too short"):
        Sealer(KEY).open(sealed)


def test_an_iv_of_zeros_is_refused() -> None:
    """restic refuses it, and no writer draws it."""
    sealed = Sealer(KEY).seal(b"x", iv=bytes(16))
    with pytest.raises(DamagedError, match="IV of zeros"):
        Sealer(KEY).open(sealed)


def test_a_master_key_survives_its_json() -> None:
    """It is stored so in each key file."""
    master = MasterKey.generate()
    assert MasterKey.from_json(master.to_json()) == master


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"mac":{"k":"","r":""},"encrypt":""}', b'{"mac":1,"encrypt":"AA=="}', b"\xff"],
)
def test_a_damaged_master_key_is_refused(data: bytes) -> None:
    """A key of the wrong length would seal what nobody can open."""
    with pytest.raises(DamagedError):
        MasterKey.from_json(data)


def test_a_key_of_zeros_is_refused() -> None:
    """restic refuses it: it is what a bug leaves behind."""
    with pytest.raises(DamagedError, match="all zero"):
        MasterKey(bytes(32), bytes(range(16)), bytes(range(16)))


def test_a_key_never_shows_itself() -> None:
    """Keys must not land in logs."""
    assert repr(KEY) == "MasterKey()"


def test_a_password_gives_the_same_key_each_time() -> None:
    """The way into the repository; scrypt's 64 bytes in restic's order."""
    key = crypto.derive(b"password", b"s" * 64, 16, 8, 1)
    assert key == crypto.derive(b"password", b"s" * 64, 16, 8, 1)
    assert key != crypto.derive(b"Password", b"s" * 64, 16, 8, 1)
