"""PostgreSQL's messages, and proofs of a password, against servers that send anything at all."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SourceError
from engine.model.secret import Secret
from engine.sources.postgres import login, protocol

messages = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=200)), max_size=10)


@given(messages, st.data())
def test_messages_do_not_depend_on_how_they_come(
    sent: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """A network cuts where it likes."""
    whole = b"".join(protocol.message(kind, body) for kind, body in sent)
    reader, found, at = protocol.Messages(), [], 0
    while at < len(whole):
        size = data.draw(st.integers(1, 64))
        found += reader.feed(whole[at : at + size])
        at += size
    assert (found, reader.is_empty) == (sent, True)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_whatever_a_server_sends_is_an_answer_or_an_error(noise: list[bytes]) -> None:
    """A server that was taken over must not make us stumble, nor hold what it does not send."""
    reader = protocol.Messages()
    for each in noise:
        for read in (
            protocol.parse_copied,
            protocol.parse_row,
            protocol.parse_authentication,
            protocol.parse_refusal,
            protocol.mechanisms,
        ):
            try:
                read(each)
            except SourceError:
                continue
    try:
        for each in noise:
            reader.feed(each)
    except SourceError:
        pass


@pytest.mark.parametrize("length", [0, 3, protocol.MOST_MESSAGE_BYTES + 1, 0xFFFF_FFFF])
def test_a_length_that_no_message_has_is_refused_at_once(length: int) -> None:
    """Nothing may be held for a gigabyte that was only announced."""
    with pytest.raises(SourceError, match="none of its protocol"):
        protocol.Messages().feed(b"d" + struct.pack(">I", length))


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=100), st.integers(0, (1 << 64) - 1))
def test_a_piece_of_the_log_is_read_as_it_was_sent(position: int, content: bytes, end: int) -> None:
    """Where it belongs, and what it is."""
    body = b"w" + struct.pack(">QQQ", position, end, 0) + content
    assert protocol.parse_copied(body) == protocol.Piece(position, content, end)


@given(st.lists(st.one_of(st.none(), st.binary(max_size=50)), max_size=10), st.data())
def test_a_row_is_read_whole_or_not_at_all(fields: list[bytes | None], data: st.DataObject) -> None:
    """A row that is cut short must not pass for a shorter one."""
    parts = [b"\xff\xff\xff\xff" if each is None else struct.pack(">I", len(each)) + each for each in fields]
    body = struct.pack(">H", len(fields)) + b"".join(parts)
    assert protocol.parse_row(body) == fields
    with pytest.raises(SourceError):
        protocol.parse_row(body[: data.draw(st.integers(0, len(body) - 1))])


def _challenge(nonce: str, salt: bytes = b"salt", rounds: str = "4096") -> bytes:
    return f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}".encode()


@pytest.mark.parametrize(
    "challenge",
    [
        _challenge("another"),
        _challenge("ours"),
        _challenge("oursmore", rounds="0"),
        _challenge("oursmore", rounds="1000001"),
        _challenge("oursmore", rounds="9" * 5000),
        _challenge("oursmore", salt=b""),
        b"r=oursmore,s=!!!,i=1",
        "r=oursmöre".encode(),
        b"",
    ],
)
def test_no_proof_is_made_for_a_question_that_is_none(challenge: bytes) -> None:
    """A stale nonce is an answer that somebody kept; too many rounds hold the processor."""
    with pytest.raises(SourceError):
        login.Scram("ours").prove(Secret("secret"), challenge)


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    """Else whoever listens at the address could hand us a log of his own."""
    proof = login.Scram("ours").prove(Secret("secret"), _challenge("oursmore"))
    login.require_signature(proof, b"v=" + base64.b64encode(proof.signature))
    for final in (b"", b"v=", b"e=other-error", b"v=" + base64.b64encode(bytes(32)), b"v=%%"):
        with pytest.raises(SourceError, match="does not know the password"):
            login.require_signature(proof, final)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("plain", "plain"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007ü", "\u0007ü"),
        ("\u0627\u0031", "\u0627\u0031"),
    ],
)
def test_a_password_is_prepared_as_the_server_does(password: str, expected: str) -> None:
    """The examples of RFC 4013; what it forbids is taken as it is."""
    assert login.prepared(Secret(password)).decode() == expected
