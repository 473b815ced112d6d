"""Messages of PostgreSQL's protocol, version 3.0, as far as a stream of the write-ahead log needs them.

Pure. What a server sends is untrusted: each length is bounded before anything of that length is held. Source: PostgreSQL, "Message Formats"
and "Streaming Replication Protocol".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import SourceError

MOST_MESSAGE_BYTES: Final = 1 << 20
"""Of any message: a piece of the log has at most 128 KiB, a timeline's history some."""
_MOST_FIELDS: Final = 64
_VERSION: Final = 3 << 16
_TLS_REQUEST: Final = struct.pack(">II", 8, 80877103)
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">H")
_DATA: Final = struct.Struct(">QQQ")
"""Where the piece begins, where the server's log ends, the server's clock."""
_KEEPALIVE: Final = struct.Struct(">QQB")
_STATUS: Final = struct.Struct(">cQQQQB")

Message = tuple[bytes, bytes]
"""Its kind, one byte, and its body."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the log."""

    position: int
    """Of its first byte, in bytes of the log."""
    content: bytes
    end: int
    """Where the server's log ended when it was sent."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A sign of life."""

    end: int
    """Up to there all has been sent."""
    is_urgent: bool
    """Whether the server gives us up unless we answer at once."""


class Messages:
    """Bytes as they come, cut into messages."""

    def __init__(self) -> None:
        self._received = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a message that is not whole lies here."""
        return not self._received

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises: SourceError for a length that no message has."""
        self._received += data
        found: list[Message] = []
        at = 0
        while len(self._received) - at >= 5:
            (length,) = _LENGTH.unpack_from(self._received, at + 1)
            if not 4 <= length <= MOST_MESSAGE_BYTES:
                raise SourceError(
                    f"the server sent a message of {length} bytes, which is none of its protocol"
                )
            if len(self._received) - at < 1 + length:
                break
            found.append(
                (bytes(self._received[at : at + 1]), bytes(self._received[at + 5 : at + 1 + length]))
            )
            at += 1 + length
        del self._received[:at]
        return found


def message(kind: bytes, body: bytes) -> bytes:
    """One of ours."""
    return kind + _LENGTH.pack(4 + len(body)) + body


def startup(parameters: Mapping[str, str]) -> bytes:
    """The first of a connection."""
    words = b"".join(each.encode() + b"\0" for pair in parameters.items() for each in pair)
    body = _LENGTH.pack(_VERSION) + words + b"\0"
    return _LENGTH.pack(4 + len(body)) + body


def tls_request() -> bytes:
    """Asks for TLS, before the first message."""
    return _TLS_REQUEST


def query(text: str) -> bytes:
    """A command."""
    return message(b"Q", text.encode() + b"\0")


def status(received: int, confirmed: int) -> bytes:
    """How far we are: what was received, and what the server may forget; 0 leaves that as it is.

    The clock that belongs in it is for the eyes of people alone: it stays at 2000.
    """
    return message(b"d", _STATUS.pack(b"r", received, confirmed, 0, 0, 0))


def parse_copied(body: bytes) -> Piece | Keepalive:
    """What a message of a stream holds. Raises: SourceError for what is none."""
    kind, rest = body[:1], body[1:]
    if kind == b"w" and len(rest) >= _DATA.size:
        position, end, _ = _DATA.unpack_from(rest)
        return Piece(position, rest[_DATA.size :], end)
    if kind == b"k" and len(rest) == _KEEPALIVE.size:
        end, _, wants = _KEEPALIVE.unpack(rest)
        return Keepalive(end, bool(wants))
    raise SourceError("the server sent what is no part of its log")


def parse_row(body: bytes) -> list[bytes | None]:
    """The fields of a row. Raises: SourceError for what is none."""
    if len(body) < _COUNT.size:
        raise SourceError("the server sent a row without fields")
    (count,) = _COUNT.unpack_from(body)
    if count > _MOST_FIELDS:
        raise SourceError(f"the server sent a row of {count} fields, of which none was asked for")
    at = _COUNT.size
    fields: list[bytes | None] = []
    for _ in range(count):
        if len(body) - at < _LENGTH.size:
            raise SourceError("the server sent a row that is cut short")
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if length == 0xFFFF_FFFF:
            fields.append(None)
            continue
        if len(body) - at < length:
            raise SourceError("the server sent a row that is cut short")
        fields.append(body[at : at + length])
        at += length
    return fields


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error in the server's words."""

    code: str
    """SQLSTATE."""
    words: str


def parse_refusal(body: bytes) -> Refusal:
    """An error's code and words; what cannot be read is left out."""
    fields: dict[bytes, str] = {}
    for part in body.split(b"\0")[:_MOST_FIELDS]:
        if part:
            fields[part[:1]] = part[1:].decode("utf-8", "replace")
    words = fields.get(b"M", "it did not say why")[:500]
    return Refusal(fields.get(b"C", ""), words)


def parse_authentication(body: bytes) -> tuple[int, bytes]:
    """What is asked for, by its number, and what goes with it. Raises: SourceError."""
    if len(body) < _LENGTH.size:
        raise SourceError("the server asked for a login without saying which")
    return _LENGTH.unpack_from(body)[0], body[_LENGTH.size :]


def mechanisms(rest: bytes) -> Sequence[str]:
    """The SASL mechanisms that the server offers."""
    return [each.decode("ascii", "replace") for each in rest.split(b"\0") if each]
