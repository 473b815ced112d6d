"""Archives under a password of their own, in age's format, which stock `age -d` opens: authenticated, and streamed in chunks of 64 KiB.

Source: the age specification, version 1 (C2SP age.md): a header with one scrypt stanza, then STREAM over ChaCha20-Poly1305.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine.export.archive import Sink
from engine.model.secret import Secret

_CHUNK_BYTES: Final = 64 << 10
_LOG_N: Final = 16
"""64 MiB of memory for an instant; age itself takes four times as much, and opens this."""
_LABEL: Final = b"age-encryption.org/v1/scrypt"


class Sealing:
    """A sink that seals what it is given and hands it on. `finish` must be called, else the file is no whole one and age says so."""

    def __init__(self, sink: Sink, password: Secret) -> None:
        self._sink = sink
        file_key = os.urandom(16)
        sink(_header(file_key, password))
        nonce = os.urandom(16)
        sink(nonce)
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._counter = 0
        self._rest = bytearray()

    def take(self, data: bytes) -> None:
        """More of the plain archive."""
        self._rest += data
        # A full chunk waits: it may be the last one, which is marked so.
        while len(self._rest) > _CHUNK_BYTES:
            chunk = bytes(self._rest[:_CHUNK_BYTES])
            del self._rest[:_CHUNK_BYTES]
            self._seal(chunk, is_last=False)

    def finish(self) -> None:
        """Seals the last chunk."""
        self._seal(bytes(self._rest), is_last=True)

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        nonce = self._counter.to_bytes(11, "big") + bytes([is_last])
        self._counter += 1
        self._sink(self._cipher.encrypt(nonce, chunk, None))


def _header(file_key: bytes, password: Secret) -> bytes:
    salt = os.urandom(16)
    wrapping = hashlib.scrypt(
        password.reveal(), salt=_LABEL + salt, n=1 << _LOG_N, r=8, p=1, maxmem=1 << 28, dklen=32
    )
    body = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    stanza = b"-> scrypt %b %d\n%b\n" % (_base64(salt), _LOG_N, _base64(body))
    signed = b"age-encryption.org/v1\n" + stanza + b"---"
    mac = hmac.digest(_derived(file_key, b"", b"header"), signed, hashlib.sha256)
    return signed + b" " + _base64(mac) + b"\n"


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")
