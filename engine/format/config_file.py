"""The config: the one file of a repository without a hash for its name. Sealed JSON, never compressed.

Source: restic doc/design.rst, "Repository Format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.errors import DamagedError, UnsupportedRepositoryError
from engine.format import polynomial, strict_json
from engine.format.crypto import Sealer
from engine.format.ids import Buffer

VERSION: Final = 2
"""The version that is read and written: the one with compression, restic 0.14 and newer."""

_HEX: Final = re.compile(r"[0-9a-f]{1,16}")


class _ConfigJson(msgspec.Struct):
    version: int
    id: str
    chunker_polynomial: str


_DECODER: Final = msgspec.json.Decoder(_ConfigJson)


@dataclass(frozen=True, slots=True)
class Config:
    """What makes a repository itself."""

    version: int
    id: str
    """64 hexadecimal digits, random."""
    chunker_polynomial: int
    """Irreducible, degree 53 at most."""


def encode(sealer: Sealer, config: Config) -> bytes:
    """The file's bytes."""
    json = f'{{"version":{config.version},"id":"{config.id}","chunker_polynomial":"{config.chunker_polynomial:x}"}}'
    return sealer.seal(json.encode())


def decode(sealer: Sealer, stored: Buffer) -> Config:
    """Read a config of any origin.

    Raises:
        DamagedError: it does not open, or holds something that cannot be.
        UnsupportedRepositoryError: the repository is of another version than 2.
    """
    parsed = strict_json.decode(_DECODER, sealer.open(stored), "config")
    if parsed.version != VERSION:
        raise UnsupportedRepositoryError(
            f"the repository is of format version {parsed.version}; holdfast reads version {VERSION}",
            hint="restic migrate upgrade_repo_v2 turns a version 1 repository into version 2"
            if parsed.version == 1
            else None,
        )
    value = int(parsed.chunker_polynomial, 16) if _HEX.fullmatch(parsed.chunker_polynomial) else 0
    if value.bit_length() > polynomial.DEGREE + 1 or not polynomial.is_irreducible(value):
        raise DamagedError("the config's chunker polynomial is not an irreducible one of degree 53 at most")
    if re.fullmatch(r"[0-9a-f]{64}", parsed.id) is None:
        raise DamagedError("the config's repository id is not 64 hexadecimal digits")
    return Config(parsed.version, parsed.id, value)
