"""Sealing: AES-256 in counter mode with a Poly1305-AES tag.

A sealed blob is `IV (16) | ciphertext | tag (16)`. The counter starts at the IV taken as a 128-bit big-endian number; the tag covers the
ciphertext alone, under the one-time key `r | AES-128_k(IV)`. The library clamps r, so a random one serves.
Source: restic doc/design.rst, "Keys, Encryption and MAC".

A cipher context costs 3 us to make and 0.3 us to give a new IV, and a tree of small files seals hundreds of thousands of blobs, so a
`Sealer` keeps its contexts; `Poly1305` has none that can be kept.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from engine.errors import DamagedError
from engine.format import strict_json
from engine.format.ids import Buffer

IV_BYTES: Final = 16
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = IV_BYTES + TAG_BYTES
"""By how much a sealed blob is longer than its plaintext."""

SCRATCH_FROM_BYTES: Final = 32 * 1024
"""From this size on, what is opened only to be compared goes into a buffer that is kept."""

_IVS_AT_ONCE: Final = 64

_ZERO_IV: Final = bytes(IV_BYTES)


class _MacJson(msgspec.Struct):
    k: bytes
    r: bytes


class _MasterKeyJson(msgspec.Struct):
    mac: _MacJson
    encrypt: bytes


_MASTER_KEY_DECODER: Final = msgspec.json.Decoder(_MasterKeyJson)


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The three keys that seal everything in a repository. Its repr shows none of them."""

    encrypt: bytes = field(repr=False)
    """32 bytes for AES-256."""
    mac_k: bytes = field(repr=False)
    """16 bytes for AES-128, which turns the IV into half of the tag's key."""
    mac_r: bytes = field(repr=False)
    """16 bytes, the other half."""

    def __post_init__(self) -> None:
        """Refuse what restic refuses: keys of another length, and keys of nothing but zeros."""
        for key, size in ((self.encrypt, 32), (self.mac_k, 16), (self.mac_r, 16)):
            if len(key) != size or not any(key):
                raise DamagedError("a key of the repository has the wrong length or is all zero")

    @classmethod
    def generate(cls) -> MasterKey:
        """A new random key."""
        return cls(os.urandom(32), os.urandom(16), os.urandom(16))

    def to_json(self) -> bytes:
        """The JSON that a key file seals."""
        encrypt, k, r = (base64.b64encode(key) for key in (self.encrypt, self.mac_k, self.mac_r))
        return b'{"mac":{"k":"%b","r":"%b"},"encrypt":"%b"}' % (k, r, encrypt)

    @classmethod
    def from_json(cls, data: Buffer) -> MasterKey:
        """Read what `to_json` or restic wrote.

        Raises:
            DamagedError: the JSON or one of the keys is not what it must be.
        """
        parsed = strict_json.decode(_MASTER_KEY_DECODER, data, "master key")
        return cls(parsed.encrypt, parsed.mac.k, parsed.mac.r)


def derive(password: bytes, salt: bytes, n: int, r: int, p: int) -> MasterKey:
    """The key that a password opens its key file with: scrypt's 64 bytes are the AES key, k and r.

    Takes about 128 * n * r bytes of memory, and for restic's usual parameters a fifth of a second: off the event loop.
    The parameters must have passed `key_file.parse`.
    """
    memory_bytes = 128 * r * (n + p + 2)
    output = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory_bytes + (1 << 20), dklen=64)
    return MasterKey(output[:32], output[32:48], output[48:])


class Sealer:
    """Seals and opens under one key. Not safe for use by two threads at once: each has its own."""

    ROOM_BYTES: Final = 15
    """What the cipher wants beyond what it writes: one byte less than a block."""

    __slots__ = ("_cipher", "_ivs", "_mac_r", "_scratch", "_tag_cipher")

    def __init__(self, key: MasterKey) -> None:
        self._mac_r = key.mac_r
        self._tag_cipher = Cipher(algorithms.AES(key.mac_k), modes.ECB()).encryptor()  # noqa: S305 -- one block, by the format
        self._cipher = Cipher(algorithms.AES(key.encrypt), modes.CTR(_ZERO_IV)).encryptor()
        self._scratch = bytearray()
        self._ivs: list[bytes] = []

    def _next_iv(self) -> bytes:
        """Sixteen fresh random bytes. Drawn for many blobs at a time: the system call costs more than sealing 1 KiB."""
        if not self._ivs:
            drawn = os.urandom(_IVS_AT_ONCE * IV_BYTES)
            self._ivs = [drawn[at : at + IV_BYTES] for at in range(0, len(drawn), IV_BYTES)]
        return self._ivs.pop()

    def seal(self, plaintext: Buffer, iv: bytes | None = None) -> bytes:
        """The sealed form of `plaintext` under a random IV. Only tests give one.

        Joining the three pieces costs no more than encrypting into a buffer made beforehand, which would have to be zeroed first.
        """
        if iv is None:
            iv = self._next_iv()
        self._cipher.reset_nonce(iv)
        ciphertext = self._cipher.update(plaintext)
        tag = Poly1305.generate_tag(self._mac_r + self._tag_cipher.update(iv), ciphertext)
        return b"".join((iv, ciphertext, tag))

    def seal_all(self, plaintexts: Sequence[Buffer], target: memoryview) -> list[int]:
        """Seals one after the other to the beginning of `target`, which has ROOM_BYTES to spare behind them. Returns where each ends.

        Every step is done for all before the next: one kind of code at a time stays in the processor's cache, which for blobs of a few
        kilobytes saves a quarter.
        """
        ends = list(accumulate([OVERHEAD_BYTES + len(each) for each in plaintexts]))
        begins = [0, *ends[:-1]]
        ivs = [self._next_iv() for _ in plaintexts]
        cipher, room = self._cipher, self.ROOM_BYTES - TAG_BYTES
        for begin, end, iv, plaintext in zip(begins, ends, ivs, plaintexts, strict=True):
            cipher.reset_nonce(iv)
            cipher.update_into(plaintext, target[begin + IV_BYTES : end + room])
            target[begin : begin + IV_BYTES] = iv
        keys = self._tag_keys(ivs)
        for begin, end, key in zip(begins, ends, keys, strict=True):
            tag = Poly1305.generate_tag(key, target[begin + IV_BYTES : end - TAG_BYTES])
            target[end - TAG_BYTES : end] = tag
        return ends

    def seals_all(self, sealed: memoryview, ends: Sequence[int], plaintexts: Sequence[Buffer]) -> bool:
        """Whether what `seal_all` left there opens to exactly these, each."""
        begins = [0, *ends[:-1]]
        ivs = [bytes(sealed[begin : begin + IV_BYTES]) for begin in begins]
        keys = self._tag_keys(ivs)
        try:
            for begin, end, key in zip(begins, ends, keys, strict=True):
                tag = bytes(sealed[end - TAG_BYTES : end])
                Poly1305.verify_tag(key, sealed[begin + IV_BYTES : end - TAG_BYTES], tag)
        except InvalidSignature:
            return False
        scratch = self._scratch_of(max(map(len, plaintexts), default=0))
        cipher = self._cipher
        for begin, end, iv, plaintext in zip(begins, ends, ivs, plaintexts, strict=True):
            cipher.reset_nonce(iv)
            size = cipher.update_into(sealed[begin + IV_BYTES : end - TAG_BYTES], scratch)
            if size != len(plaintext) or not scratch.startswith(plaintext):
                return False
        return _ZERO_IV not in ivs

    def _tag_keys(self, ivs: Sequence[bytes]) -> list[bytes]:
        drawn, mac_r = self._tag_cipher.update(b"".join(ivs)), self._mac_r
        return [mac_r + drawn[at : at + 16] for at in range(0, len(drawn), 16)]

    def _scratch_of(self, size: int) -> bytearray:
        """The buffer that is kept, with room for `size` bytes."""
        if len(self._scratch) < size + self.ROOM_BYTES:
            self._scratch = bytearray(max(size + self.ROOM_BYTES, SCRATCH_FROM_BYTES))
        return self._scratch

    def open(self, sealed: Buffer) -> bytes:
        """The plaintext, once the tag was found right (compared in constant time).

        Raises:
            DamagedError: the tag does not fit: a byte changed, or another key sealed this.
        """
        return self._cipher.update(self._checked_ciphertext(sealed))

    def seals(self, sealed: Buffer, plaintext: Buffer) -> bool:
        """Whether `sealed` opens to exactly `plaintext`; for the look at what was just sealed, before it is stored.

        Raises:
            DamagedError: the tag does not fit.
        """
        ciphertext = self._checked_ciphertext(sealed)
        size = len(ciphertext)
        if size != len(plaintext):
            return False
        if size < SCRATCH_FROM_BYTES:
            return self._cipher.update(ciphertext).startswith(plaintext)
        scratch = self._scratch_of(size)
        self._cipher.update_into(ciphertext, scratch)
        return scratch.startswith(plaintext)

    def _checked_ciphertext(self, sealed: Buffer) -> Buffer:
        """The ciphertext within `sealed`, its tag checked and the cipher set to its IV."""
        size = len(sealed)
        if size < OVERHEAD_BYTES:
            raise DamagedError(f"a sealed blob is too short: {size} bytes")
        # Slices of short bytes are copies, and cheaper than views.
        whole = sealed if size < SCRATCH_FROM_BYTES and isinstance(sealed, bytes) else memoryview(sealed)
        iv = bytes(whole[:IV_BYTES])
        if iv == _ZERO_IV:
            raise DamagedError("a sealed blob has an IV of zeros")
        ciphertext = whole[IV_BYTES:-TAG_BYTES]
        try:
            Poly1305.verify_tag(
                self._mac_r + self._tag_cipher.update(iv), ciphertext, bytes(whole[-TAG_BYTES:])
            )
        except InvalidSignature as error:
            raise DamagedError("a sealed blob is damaged, or sealed under another key") from error
        self._cipher.reset_nonce(iv)
        return ciphertext
