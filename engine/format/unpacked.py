"""The files outside packs: index, snapshots, locks. A 0x02 byte and a zstd frame of the JSON, sealed; older ones are bare JSON, sealed.

Each is stored under the SHA-256 of its stored bytes. The config is sealed JSON too, but never compressed: see config_file.
Source: restic doc/design.rst, "Unpacked Data Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import zstandard

from engine.errors import DamagedError
from engine.format import ids
from engine.format.compression import Decompressor
from engine.format.crypto import Sealer
from engine.format.ids import Buffer

LIMIT_BYTES: Final = 512 << 20
"""Longest JSON that is read. A full index of 50,000 blobs has 8 MB."""

_COMPRESSED: Final = 2


def encode(sealer: Sealer, *json: bytes) -> tuple[str, bytes]:
    """The file's name and its bytes, opened again and compared before they are handed out. The JSON comes in parts, which are never joined.

    Raises:
        DamagedError: what was sealed does not open to the same bytes: this machine's memory or processor errs.
    """
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=sum(map(len, json)))
    stored = sealer.seal(b"".join([b"\x02", *map(compressor.compress, json), compressor.flush()]))
    if not _holds(sealer.open(stored), json):
        raise DamagedError("sealed JSON does not read back the same on this machine")
    return ids.digest(stored).hex(), stored


def _holds(plain: bytes, json: Sequence[bytes]) -> bool:
    """Whether that is a compressed file of exactly these parts."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(memoryview(plain)[1:]) as reader:
            return all(reader.read(len(part)) == part for part in json) and not reader.read(1)
    except zstandard.ZstdError:
        return False


def decode(sealer: Sealer, stored: Buffer) -> bytes:
    """The JSON.

    Raises:
        DamagedError: the tag does not fit, or what was sealed is neither a frame nor JSON.
    """
    plain = sealer.open(stored)
    if plain[:1] in (b"{", b"["):
        return plain
    if not plain or plain[0] != _COMPRESSED:
        raise DamagedError("a file of the repository is neither compressed nor JSON")
    return Decompressor().decompress(memoryview(plain)[1:], None, LIMIT_BYTES)


def check_name(name_hex: str, stored: Buffer) -> None:
    """Make sure that the file is what its name says.

    Raises:
        DamagedError: the name is not the SHA-256 of the bytes.
    """
    if ids.digest(stored).hex() != name_hex:
        raise DamagedError(f"the file {name_hex[:64]} of the repository does not hash to its name")
