"""Key files: the master key, sealed under a key that scrypt makes of a password. Plain JSON, outside of it nothing secret.

A key file comes from a storage that nobody vouches for and decides how much work an attempt is, so its parameters are bounded.
Source: restic doc/design.rst, "Keys, Encryption and MAC".
"""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.errors import DamagedError, WrongPasswordError
from engine.format import crypto, strict_json, timestamps
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import Buffer

SALT_BYTES: Final = 64
"""restic accepts no other."""

N_DEFAULT: Final = 32768
R_DEFAULT: Final = 8
P_DEFAULT: Final = 3
"""What restic's calibration chose on a server of 2024: 32 MiB, a fifth of a second."""

MEMORY_LIMIT_BYTES: Final = 256 << 20
"""restic's own calibration stops at 60 MiB."""

COST_LIMIT: Final = 1 << 25
"""Of N * r * p: forty times restic's usual."""

FILE_LIMIT_BYTES: Final = 64 << 10
TRIED_KEYS: Final = 20
"""How many key files restic tries a password on."""


class _KeyJson(msgspec.Struct):
    kdf: str
    n: int = msgspec.field(name="N")
    r: int
    p: int
    salt: bytes
    data: bytes
    created: str = ""
    username: str = ""
    hostname: str = ""


_DECODER: Final = msgspec.json.Decoder(_KeyJson)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file whose parameters were found bearable."""

    n: int
    r: int
    p: int
    salt: bytes
    data: bytes = field(repr=False)
    created: str = ""
    """RFC 3339, as written; empty where none was."""
    username: str = ""
    hostname: str = ""

    def unlock(self, password: bytes) -> MasterKey:
        """The master key. Slow by design, up to a second: off the event loop.

        Raises:
            WrongPasswordError: the password is not this key's.
            DamagedError: the password is right, and what it opens is not a master key.
        """
        user_key = crypto.derive(password, self.salt, self.n, self.r, self.p)
        try:
            opened = Sealer(user_key).open(self.data)
        except DamagedError as error:
            raise WrongPasswordError from error
        return MasterKey.from_json(opened)


def create(  # noqa: PLR0913 -- the fields of a key file
    password: bytes,
    master: MasterKey,
    *,
    username: str,
    hostname: str,
    created: datetime.datetime,
    salt: bytes,
    n: int = N_DEFAULT,
    r: int = R_DEFAULT,
    p: int = P_DEFAULT,
) -> bytes:
    """A key file that opens `master` with `password`; stored under its SHA-256. Slow as `unlock` is.

    Raises:
        DamagedError: the salt or the parameters are none that `parse` accepts.
    """
    _check(n, r, p, salt)
    data = Sealer(crypto.derive(password, salt, n, r, p)).seal(master.to_json())
    return (
        b'{"created":"%b","username":%b,"hostname":%b,"kdf":"scrypt","N":%d,"r":%d,"p":%d,"salt":"%b","data":"%b"}'
        % (
            timestamps.to_text(created).encode(),
            strict_json.quote(username.encode()),
            strict_json.quote(hostname.encode()),
            n,
            r,
            p,
            base64.b64encode(salt),
            base64.b64encode(data),
        )
    )


def parse(stored: Buffer) -> KeyFile:
    """Read a key file of any origin.

    Raises:
        DamagedError: not a key file, of another function than scrypt, or asking for too much memory or work.
    """
    if len(stored) > FILE_LIMIT_BYTES:
        raise DamagedError(f"a key file has {len(stored)} bytes, more than any has")
    parsed = strict_json.decode(_DECODER, stored, "key file")
    if parsed.kdf != "scrypt":
        raise DamagedError(f"a key file asks for {parsed.kdf[:40]!r} instead of scrypt")
    _check(parsed.n, parsed.r, parsed.p, parsed.salt)
    return KeyFile(
        parsed.n,
        parsed.r,
        parsed.p,
        parsed.salt,
        parsed.data,
        parsed.created,
        parsed.username,
        parsed.hostname,
    )


def _check(n: int, r: int, p: int, salt: bytes) -> None:
    if len(salt) != SALT_BYTES:
        raise DamagedError(f"a key file has a salt of {len(salt)} bytes instead of {SALT_BYTES}")
    if n < 2 or n & (n - 1) or r < 1 or p < 1:
        raise DamagedError("a key file has impossible scrypt parameters")
    if 128 * r * (n + p) > MEMORY_LIMIT_BYTES or n * r * p > COST_LIMIT:
        raise DamagedError(f"a key file asks for too much memory or work: N={n}, r={r}, p={p}")
