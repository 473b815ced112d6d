"""Signatures of files: Ed25519 in OpenSSH's format, so that `ssh-keygen -Y verify` says the same as we do, without us.

What is signed is the exact bytes of a file: whoever changes one of them, a line's end too, has another file. A signature is a small text of its
own, kept beside the file as `NAME.sig`. Source: OpenSSH PROTOCOL.sshsig, version 1; RFC 8709 for the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import UsageError

NAMESPACE = "holdfast-evidence"
"""What a signature is for: one that was made for anything else by the same key does not count."""
ENDING = ".sig"
_MAGIC = b"SSHSIG"
_VERSION = 1
_KEY_TYPE = b"ssh-ed25519"
_HASH = b"sha512"
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_LINE = 70
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64

Verdict = Literal["valid", "changed", "other-key", "no-signature"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a signature says of the bytes that it was held against."""

    verdict: Verdict
    fingerprint: str = ""
    """Of the key that the signature names, as ssh-keygen prints it; empty where there is no signature."""


def public_key(seed: bytes) -> bytes:
    """The public key, 32 bytes, of a private one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def public_line(public: bytes, comment: str) -> str:
    """A public key as a line of OpenSSH's, without its end. The comment is plain text."""
    return f"{_KEY_TYPE.decode()} {base64.b64encode(_key_blob(public)).decode()} {comment}"


def parse_public_lines(text: bytes, where: str) -> list[bytes]:
    """The public keys in a file's text, one a line; lines of other kinds of keys are passed over. Raises: UsageError where there is none."""
    words = [line.split() for line in text.splitlines() if not line.lstrip().startswith(b"#")]
    blobs = [line[line.index(_KEY_TYPE) + 1] for line in words if _KEY_TYPE in line[:-1]]
    keys = []
    for blob in blobs:
        try:
            kind, key = _take_strings(base64.b64decode(blob, validate=True), 2)
        except (binascii.Error, ValueError):
            continue
        if kind == _KEY_TYPE and len(key) == _KEY_BYTES:
            keys.append(key)
    if not keys:
        raise UsageError(
            f"{where} holds no Ed25519 public key",
            hint="`holdfast evidence public-key` prints that of a home",
        )
    return keys


def fingerprint(public: bytes) -> str:
    """As ssh-keygen prints it: `SHA256:` and 43 letters."""
    digest = base64.b64encode(hashlib.sha256(_key_blob(public)).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def sign(seed: bytes, data: bytes) -> bytes:
    """The text of the signature of these bytes by the private key `seed` (32 bytes)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(seed)
    signature = _string(_KEY_TYPE) + _string(key.sign(_signed(data)))
    parts = (_key_blob(key.public_key().public_bytes_raw()), NAMESPACE.encode(), b"", _HASH, signature)
    blob = _MAGIC + _VERSION.to_bytes(4, "big") + b"".join(_string(each) for each in parts)
    text = base64.b64encode(blob)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return b"\n".join([_BEGIN, *lines, _END]) + b"\n"


def verify(data: bytes, text: bytes, keys: Sequence[bytes]) -> Found:
    """Whether one of these public keys signed exactly these bytes. Never raises: a text that is none is `no-signature`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    parsed = _parse(text)
    if parsed is None:
        return Found("no-signature")
    public, signature = parsed
    if public not in keys:
        return Found("other-key", fingerprint(public))
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(data))
    except InvalidSignature:
        return Found("changed", fingerprint(public))
    return Found("valid", fingerprint(public))


def _parse(text: bytes) -> tuple[bytes, bytes] | None:
    """Public key and signature of a signature's text; None where it is none of ours."""
    stripped = text.strip()
    if not (stripped.startswith(_BEGIN) and stripped.endswith(_END)):
        return None
    try:
        letters = b"".join(stripped[len(_BEGIN) : -len(_END)].split())
        blob = base64.b64decode(letters, validate=True)
        if base64.b64encode(blob) != letters or blob[:10] != _MAGIC + _VERSION.to_bytes(4, "big"):
            return None
        key_blob, namespace, _, hashed, signature_blob = _take_strings(blob[10:], 5)
        key_type, public = _take_strings(key_blob, 2)
        signature_type, signature = _take_strings(signature_blob, 2)
    except (binascii.Error, ValueError):
        return None
    is_ours = (namespace, hashed) == (NAMESPACE.encode(), _HASH) and key_type == signature_type == _KEY_TYPE
    if not is_ours or len(public) != _KEY_BYTES or len(signature) != _SIGNATURE_BYTES:
        return None
    return public, signature


def _signed(data: bytes) -> bytes:
    """What the key signs in place of the bytes themselves."""
    parts = (NAMESPACE.encode(), b"", _HASH, hashlib.sha512(data).digest())
    return _MAGIC + b"".join(_string(each) for each in parts)


def _key_blob(public: bytes) -> bytes:
    return _string(_KEY_TYPE) + _string(public)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _take_strings(data: bytes, count: int) -> list[bytes]:
    """Exactly so many strings. Raises: ValueError where there are more or fewer bytes."""
    taken = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise ValueError("a string is cut off")
        taken.append(data[4 : 4 + length])
        data = data[4 + length :]
    if data:
        raise ValueError("there are bytes behind the last string")
    return taken
