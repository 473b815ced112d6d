"""The short way from a session to the socket: what is written to a command is sealed packet by packet, and sent as one.

asyncssh puts an empty packet before each one of data (against an attack on ciphers of another kind), draws its padding and calls the socket
for each of them. Here all packets that the host's window takes are made at once. Only data sealed by AES-GCM goes this way, on channels of
ours and where no exchange of keys is due; whatever else asyncssh sends itself, as it does everything where it is made otherwise than we know.

Source: RFC 4253 section 6 (packets), RFC 5647 section 7 (AES-GCM), RFC 4254 section 5.2 (data).
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_TAG_BYTES = 16
_LEAST_PADDING_BYTES = 4
_DATA = 94
"""SSH_MSG_CHANNEL_DATA"""
_HEAD_BYTES = 10
"""Before the data: length of the padding, type, channel, length of the data."""
_OF_CHANNELS = (
    "_conn",
    "_send_buf",
    "_send_buf_len",
    "_send_window",
    "_send_pktsize",
    "_send_chan",
    "_flush_send_buf",
)
_OF_CONNECTIONS = (
    "_send", "_send_encryption", "_send_enchdrlen", "_send_blocksize", "_send_seq", "_compressor", "_auth_complete", "_kex_complete",
    "_rekey_bytes", "_rekey_bytes_sent", "_rekey_seconds", "_rekey_time",
)  # fmt: skip
_OF_CIPHERS = ("_key", "_iv", "_update_iv")
"""What this file knows of asyncssh's inside."""


def shorten(channel: Any) -> None:
    """Puts the short way under an open channel. Does nothing where it is made otherwise than we know."""
    connection = getattr(channel, "_conn", None)
    if _has_all(channel, _OF_CHANNELS) and _has_all(connection, _OF_CONNECTIONS):
        channel._flush_send_buf = functools.partial(_flush, channel, channel._flush_send_buf, _Sealer())


class _Sealer:
    """Makes packets with the key that a connection sends with now."""

    def __init__(self) -> None:
        self._encryption: object = None
        self._cipher: Any = None
        self._key: AESGCM | None = None
        self.sent_bytes = 0
        """What went the short way."""

    def is_ready(self, connection: Any) -> bool:
        """Whether the connection sends data now, as it is and sealed in a way that we know."""
        if connection._send_encryption is not self._encryption:
            self._encryption = connection._send_encryption
            self._cipher = getattr(self._encryption, "_cipher", None)
            is_known = type(self._encryption).__name__ == "GCMEncryption" and _has_all(
                self._cipher, _OF_CIPHERS
            )
            self._key = AESGCM(self._cipher._key) if is_known else None
        return bool(
            self._key is not None
            and connection._auth_complete
            and connection._kex_complete
            and connection._compressor is None
            and connection._rekey_bytes_sent < connection._rekey_bytes
            and not (connection._rekey_seconds and time.monotonic() >= connection._rekey_time)
        )

    def seal(self, connection: Any, number: int, data: bytes | bytearray) -> bytes:
        """One packet of data for the channel of that number; what follows from it is noted in the connection."""
        assert self._key is not None
        size = _HEAD_BYTES - 1 + len(data)
        padding = -(connection._send_enchdrlen + size) % connection._send_blocksize
        if padding < _LEAST_PADDING_BYTES:
            padding += connection._send_blocksize
        head = bytes((padding, _DATA)) + number.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        length = (1 + size + padding).to_bytes(4, "big")
        sealed: bytes = self._key.encrypt(
            self._cipher._iv, b"".join((head, data, os.urandom(padding))), length
        )
        self._cipher._update_iv()
        connection._send_seq = connection._send_seq + 1 & 0xFFFFFFFF
        connection._rekey_bytes_sent += 1 + size + padding
        self.sent_bytes += len(data)
        return b"".join((length, sealed))


def _flush(channel: Any, flush: Any, sealer: _Sealer) -> None:
    """In place of asyncssh's own, which looks after all that is left to be done."""
    connection = channel._conn
    packets: list[bytes] = []
    while (
        channel._send_buf
        and channel._send_window
        and channel._send_chan is not None
        and connection is not None
        and sealer.is_ready(connection)
    ):
        waiting, kind = channel._send_buf[0]
        if kind is not None:
            break
        count = min(len(waiting), channel._send_window, channel._send_pktsize)
        packets.append(sealer.seal(connection, channel._send_chan, waiting[:count]))
        if count == len(waiting):
            del channel._send_buf[0]
        else:
            del waiting[:count]
        channel._send_buf_len -= count
        channel._send_window -= count
    if packets:
        connection._send(b"".join(packets))
    flush()


def _has_all(thing: object, names: tuple[str, ...]) -> bool:
    return all(hasattr(thing, name) for name in names)
