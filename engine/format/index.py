"""Index files: which blobs lie in which pack.

`{"packs":[{"id","blobs":[{"id","type","offset","length","uncompressed_length"?}]}]}`. A pack is in exactly one index file, with all its
blobs. Source: restic doc/design.rst, "Indexing".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.errors import DamagedError
from engine.format import strict_json
from engine.format.crypto import OVERHEAD_BYTES
from engine.format.ids import Buffer, parse_id
from engine.format.pack import PACK_LIMIT_BYTES, BlobEntry

FULL_BLOBS: Final = 50_000
"""Blobs at which an index file is written; from this size on restic leaves it alone when it merges."""

FULL_AGE_S: Final = 600.0
"""Age at which a started index file is written, so that a killed backup need not begin anew."""

_ENCODED_AT_ONCE: Final = 1_000
"""As text each blob takes five times its share of the JSON."""

PackIndex = tuple[bytes, Sequence[BlobEntry]]
"""A pack's identifier and what is in it."""


class _Blob(msgspec.Struct, gc=False):
    id: str
    type: str
    offset: int
    length: int
    uncompressed_length: int | None = None


class _Pack(msgspec.Struct):
    id: str
    blobs: list[_Blob] | None = None


class _Index(msgspec.Struct):
    packs: list[_Pack] | None = None


_DECODER: Final = msgspec.json.Decoder(_Index)


def encode(packs: Iterable[PackIndex]) -> bytes:
    """The JSON of an index file of these packs."""
    return b"".join(parts([encode_pack(*pack) for pack in packs]))


def encode_pack(pack_id: bytes, entries: Iterable[BlobEntry]) -> bytes:
    """The JSON of one pack, for `parts`: 150 bytes a blob, half of what its entries take."""
    json = bytearray(f'{{"id":"{pack_id.hex()}","blobs":['.encode())
    remaining = iter(entries)
    between = ""
    while some := list(itertools.islice(remaining, _ENCODED_AT_ONCE)):
        json += f"{between}{','.join(map(_encode_entry, some))}".encode()
        between = ","
    json += b"]}"
    return bytes(json)


def parts(encoded: Sequence[bytes]) -> list[bytes]:
    """The JSON of an index file of packs that `encode_pack` encoded, in parts: as a whole it takes megabytes once more."""
    between = [b","] * (2 * len(encoded) - 1) if encoded else []
    between[::2] = encoded
    return [b'{"packs":[', *between, b"]}\n"]


def _encode_entry(entry: BlobEntry) -> str:
    size = f',"uncompressed_length":{entry.uncompressed_length}' if entry.uncompressed_length else ""
    return f'{{"id":"{entry.id.hex()}","type":"{entry.type}","offset":{entry.offset},"length":{entry.length}{size}}}'


def decode(json: Buffer) -> Iterator[tuple[bytes, list[BlobEntry]]]:
    """The packs of an index file, each with its blobs in the file's order.

    Raises:
        DamagedError: not an index, or a blob lies where none can.
    """
    for pack in strict_json.decode(_DECODER, json, "index").packs or ():
        entries = [
            BlobEntry(blob.type, _blob_id(blob), blob.offset, blob.length, blob.uncompressed_length or None)
            for blob in pack.blobs or ()
        ]
        yield parse_id(pack.id), entries


def _blob_id(blob: _Blob) -> bytes:
    """The blob's identifier, once all else about it was found possible."""
    is_possible = (
        blob.type in ("data", "tree")
        and blob.offset >= 0
        and blob.length >= OVERHEAD_BYTES
        and blob.offset + blob.length <= PACK_LIMIT_BYTES
        and 0 <= (blob.uncompressed_length or 0) <= PACK_LIMIT_BYTES
    )
    if not is_possible:
        raise DamagedError(
            f"an index has an impossible blob: {blob.type[:20]} at {blob.offset}+{blob.length}"
        )
    return parse_id(blob.id)
