"""The short way from the socket to a session: what a command writes is decrypted straight from the socket's buffer, and copied once.

asyncssh takes a packet of 32 KiB through some ten copies; where we are busy, and much lies ready, that was a seventh of all that a backup of
a dump costs (17.1 down to 14.7 CPU seconds for 2 GiB). Here an asyncio protocol stands between the socket and asyncssh's connection. Only
packets of AES-GCM with data for a session of ours, or with room for what it sends, go the short way; whatever else comes, and every packet
that is not as it should be, is handed to asyncssh untouched, which decrypts it itself and says what is to be said. So all that is protocol
stays with asyncssh, and this file knows of its inside how a packet is opened and what an arriving one changes. Where an asyncssh is made
otherwise, `shorten` does nothing.

Source: RFC 4253 section 6 (packets), RFC 5647 section 7 (AES-GCM), RFC 4254 section 5.2 (data).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh.stream import SSHClientStreamSession
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BUFFER_BYTES = 256 << 10
"""What one read of the socket takes at most; it stays in the processor's cache."""
_ROOM_BYTES = 64 << 10
"""So much room a read is given at least."""
_LENGTH_BYTES, _TAG_BYTES = 4, 16
_PACKET_LIMIT_BYTES = _ROOM_BYTES
"""We ask for packets of 32 KiB; a longer one is asyncssh's to refuse."""
_ADJUST, _DATA = 93, 94
"""SSH_MSG_CHANNEL_WINDOW_ADJUST, SSH_MSG_CHANNEL_DATA"""
_DATA_HEAD_BYTES = 10
"""Of the decrypted packet: length of the padding, type, channel, length of the data (or how far a window is opened)."""
_ALIVE_S = 1.0
"""So often at most asyncssh is told that the peer lives: it sets a timer of many seconds anew each time."""
_LEAST_PADDING_BYTES = 4
_CLOSING = ("close_pending", "closed")
_OF_CONNECTIONS = (
    "_inpbuf",
    "_recv_handler",
    "_recv_pkthdr",
    "_recv_seq",
    "_recv_encryption",
    "_decompressor",
    "_channels",
)
_OF_CIPHERS = ("_key", "_iv", "_update_iv")
_OF_CHANNELS = (
    "_session",
    "_recv_state",
    "_send_state",
    "_send_window",
    "_flush_send_buf",
    "_recv_window",
    "_recv_buf",
    "_recv_paused",
    "_accept_data",
    "_deliver_data",
)
"""What this file knows of asyncssh's inside."""


def shorten(connection: asyncssh.SSHClientConnection, session_class: type) -> None:
    """Puts the short way under an open connection, for sessions of that class, which must copy what they are given, and for asyncssh's own
    streams, on which SFTP goes: these are given copies, and nothing while they are paused.

    Does nothing where the connection has no socket of its own (behind a jump), or is made otherwise than we know.
    """
    transport = getattr(connection, "_transport", None)
    if isinstance(transport, asyncio.Transport) and _is_known(connection):
        transport.set_protocol(Receiver(connection, session_class))


def resume(channel: asyncssh.SSHClientChannel[bytes]) -> None:
    """Lets a paused channel go on, and opens its window again where that is due."""
    channel.resume_reading()
    # asyncssh looks at the window only when it delivers something, and what came by the short way it does not deliver.
    deliver = getattr(channel, "_deliver_data", None)
    if deliver is not None:
        deliver(b"", None)


def _is_known(connection: Any) -> bool:
    return hasattr(AESGCM, "decrypt_into") and _has_all(connection, _OF_CONNECTIONS)


def _has_all(thing: object, names: Sequence[str]) -> bool:
    return all(hasattr(thing, name) for name in names)


class Receiver(asyncio.BufferedProtocol):
    """Reads the socket for one connection."""

    def __init__(self, connection: Any, session_class: type) -> None:
        self._connection = connection
        self._session_class = session_class
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._begin = self._end = 0
        """What was read and not handed on yet; it begins where a packet begins."""
        self._plain = memoryview(bytearray(_PACKET_LIMIT_BYTES))
        self._encryption: object = None
        """The one that `_cipher` and `_key` were taken from; another follows each new exchange of keys."""
        self._cipher: Any = None
        self._key: AESGCM | None = None
        self._knows_channels: bool | None = None
        self._opened: dict[int, Any] = {}
        """Channels, by their numbers, whose host takes more since we last sent."""
        self._told_alive_s = -_ALIVE_S
        self.taken_bytes = 0
        """What went the short way."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the socket is read into."""
        if len(self._view) - self._end < _ROOM_BYTES:
            count = self._end - self._begin
            self._view[:count] = self._view[self._begin : self._end]
            self._begin, self._end = 0, count
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hands on what came."""
        self._end += nbytes
        now_s = time.monotonic()
        if now_s - self._told_alive_s >= _ALIVE_S:
            self._told_alive_s = now_s
            self._connection.data_received(b"")
        if not self._is_in_step() or not self._take_packets():
            self._hand_over(self._end)
        while self._opened:
            number, channel = self._opened.popitem()
            if self._connection._channels.get(number) is channel:
                channel._flush_send_buf()
        if self._begin == self._end:
            self._begin = self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Not called: the connection was there before."""

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncssh."""
        self._connection.connection_lost(exc)

    def eof_received(self) -> None:
        """For asyncssh."""
        self._connection.eof_received()

    def pause_writing(self) -> None:
        """For asyncssh."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """For asyncssh."""
        self._connection.resume_writing()

    def _is_in_step(self) -> bool:
        """Whether asyncssh waits for the beginning of a packet, encrypted in a way that we know."""
        connection = self._connection
        if connection._inpbuf or connection._recv_handler != connection._recv_pkthdr:
            return False
        if connection._recv_encryption is not self._encryption:
            self._encryption = connection._recv_encryption
            self._learn()
        return self._key is not None

    def _learn(self) -> None:
        cipher: Any = getattr(self._encryption, "_cipher", None)
        is_known = (
            type(self._encryption).__name__ == "GCMEncryption"
            and _has_all(cipher, _OF_CIPHERS)
            and self._connection._decompressor is None
        )
        self._cipher = cipher
        self._key = AESGCM(cipher._key) if is_known else None

    def _take_packets(self) -> bool:
        """Takes all packets that are whole; False where asyncssh must have the rest as it came."""
        while (have := self._end - self._begin) >= _LENGTH_BYTES:
            begin = self._begin
            size = (
                int.from_bytes(self._view[begin : begin + _LENGTH_BYTES], "big") + _LENGTH_BYTES + _TAG_BYTES
            )
            if size > _PACKET_LIMIT_BYTES:
                return False
            if have < size:
                break
            if self._take(begin, begin + size):
                self._begin = begin + size
            else:
                self._hand_over(begin + size)
                if not self._is_in_step():
                    return False
        return True

    def _take(self, begin: int, end: int) -> bool:
        """Takes one packet if it is data for a session of ours and all is well with it."""
        connection, cipher, plain = self._connection, self._cipher, self._plain
        inside = begin + _LENGTH_BYTES
        size = end - inside - _TAG_BYTES
        assert self._key is not None
        try:
            self._key.decrypt_into(cipher._iv, self._view[inside:end], self._view[begin:inside], plain[:size])
        except (InvalidTag, ValueError):
            return False
        if size < _DATA_HEAD_BYTES or plain[1] not in (_ADJUST, _DATA):
            return False
        count = int.from_bytes(plain[6:10], "big")
        stop = _DATA_HEAD_BYTES + (count if plain[1] == _DATA else 0)
        if stop + plain[0] != size or plain[0] < _LEAST_PADDING_BYTES:
            return False
        number = int.from_bytes(plain[2:6], "big")
        channel = connection._channels.get(number)
        if channel is None or not self._is_open(channel, count if plain[1] == _DATA else 1):
            return False
        cipher._update_iv()
        connection._recv_seq = connection._recv_seq + 1 & 0xFFFFFFFF
        if plain[1] == _ADJUST:
            channel._send_window += count
            self._opened[number] = channel
        else:
            self._deliver(channel, plain[_DATA_HEAD_BYTES:stop])
        return True

    def _deliver(self, channel: Any, data: memoryview) -> None:
        count = len(data)
        self.taken_bytes += count
        if channel._recv_paused:
            # The session takes it all the same, but the window is not opened again.
            channel._recv_window -= count
            channel._session.data_received(data, None)
        elif type(channel._session) is self._session_class:
            channel._accept_data(data)
        else:
            channel._accept_data(bytes(data))

    def _is_open(self, channel: Any, count: int) -> bool:
        """Whether the channel takes so many bytes now, has kept none back, and gives them to a session of ours."""
        if self._knows_channels is None:
            self._knows_channels = _has_all(channel, _OF_CHANNELS)
        return (
            self._knows_channels
            and (
                type(channel._session) is self._session_class
                or (type(channel._session) is SSHClientStreamSession and not channel._recv_paused)
            )
            and channel._recv_state == "open"
            and channel._send_state not in _CLOSING
            and 0 < count <= channel._recv_window
            and not channel._recv_buf
            and channel._recv_paused != "starting"
        )

    def _hand_over(self, end: int) -> None:
        data = bytes(self._view[self._begin : end])
        self._begin = end
        if data:
            self._connection.data_received(data)
