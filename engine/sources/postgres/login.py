"""Proofs of a password, as PostgreSQL asks for them: its own md5, and SCRAM-SHA-256.

Pure. Hand-written: the one small library for it (scramp) brings an ASN.1 parser along, and this is a page. Source: RFC 5802, RFC 7677,
RFC 4013; PostgreSQL, "SASL Authentication". The channel is not bound: TLS is checked by its certificate, or lies inside SSH.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from dataclasses import dataclass
from typing import Final

from engine.errors import SourceError
from engine.model.secret import Secret

MECHANISM: Final = "SCRAM-SHA-256"
MOST_ITERATIONS: Final = 1_000_000
"""A server may ask for any number: this one takes half a second."""
_MOST_WORDS: Final = 4096
_HEADER: Final = "n,,"
"""No channel is bound, and nobody else is acted for."""


def md5(user: str, password: Secret, salt: bytes) -> bytes:
    """The answer to a salted question of four bytes."""
    inner = hashlib.md5(password.reveal() + user.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


@dataclass(frozen=True, slots=True)
class ScramProof:
    """The second message, and what the server must answer to show that it knows the password as well."""

    final: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Scram:
    """One exchange."""

    nonce: str
    """Of ours: random, printable, without a comma."""

    @property
    def first(self) -> bytes:
        """The first message. The user's name is the one of the connection's first message."""
        return (_HEADER + self._bare).encode()

    @property
    def _bare(self) -> str:
        return f"n=,r={self.nonce}"

    def prove(self, password: Secret, challenge: bytes) -> ScramProof:
        """Answers the server's first message; takes up to half a second of a processor. Raises: SourceError for what is none."""
        words = _attributes(challenge)
        nonce, salt = words.get("r", ""), _decoded(words.get("s", ""))
        iterations = int(words["i"]) if words.get("i", "").isdecimal() and len(words["i"]) < 10 else 0
        if not nonce.startswith(self.nonce) or len(nonce) == len(self.nonce) or not salt:
            raise SourceError("the server's question for the password is none of SCRAM-SHA-256")
        if not 1 <= iterations <= MOST_ITERATIONS:
            raise SourceError(
                f"the server asks for {iterations} rounds over the password, of which at most {MOST_ITERATIONS} are done"
            )
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={base64.b64encode(_HEADER.encode()).decode()},r={nonce}"
        signed = ",".join((self._bare, challenge.decode("ascii"), without_proof)).encode()
        client = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, client, strict=True))
        signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return ScramProof(f"{without_proof},p={base64.b64encode(proof).decode()}".encode(), signature)


def require_signature(proof: ScramProof, final: bytes) -> None:
    """Raises: SourceError where the server does not know the password either."""
    if not hmac.compare_digest(_decoded(_attributes(final).get("v", "")), proof.signature):
        raise SourceError(
            "the server does not know the password that it asked for: it is another one than was meant"
        )


def prepared(password: Secret) -> bytes:
    """As SASLprep has it; as it is where that forbids it, as PostgreSQL itself does."""
    raw = password.reveal()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
    if text.isascii():
        return raw
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    return normal.encode() if normal and not any(map(_is_forbidden, normal)) and _is_one_way(normal) else raw


def _is_forbidden(each: str) -> bool:
    tables = (
        stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
        stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9,
    )  # fmt: skip
    return any(is_in(each) for is_in in tables)


def _is_one_way(text: str) -> bool:
    """Right-to-left text begins and ends so, and holds nothing of the other way."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))


def _attributes(words: bytes) -> dict[str, str]:
    if len(words) > _MOST_WORDS or not words.isascii():
        raise SourceError("the server's words for the password are none of SCRAM-SHA-256")
    return {each[:1]: each[2:] for each in words.decode("ascii").split(",") if each[1:2] == "="}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
