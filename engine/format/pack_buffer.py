"""A pack of small blobs, filled in place: each is sealed straight to where it will lie, and checked there.

For trees of small files, where each copy of a few kilobytes costs as much as sealing them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import DamagedError
from engine.format import pack
from engine.format.blob import Prepared
from engine.format.crypto import OVERHEAD_BYTES, Sealer
from engine.format.index import encode_pack

_FAULT: Final = "this machine's memory or processor errs; nothing wrong was stored"


@dataclass(frozen=True, slots=True)
class FilledPack:
    """A pack as it lies in its memory."""

    id: bytes
    blobs_bytes: int
    """How much of the memory holds sealed blobs: the first part of the file."""
    trailer: bytes
    """The sealed header and its length: the rest of it."""
    header: bytes
    """The entries, for pack.UniformEntries."""
    count: int
    plain_bytes: int
    index_json: bytes


COUNT_LIMIT: Final = 10_000
"""So many blobs are a pack, however short they are: until it is stored and indexed each takes some 400 bytes of memory."""


class PackBuffer:
    """One pack of blobs of one type for one repository. For one thread."""

    def __init__(self, sealer: Sealer, blob_type: str, pack_bytes: int, memory: memoryview) -> None:
        """A pack is full at `pack_bytes`; `memory` is at least `room_bytes(pack_bytes, …)` long, and not looked at by anybody else."""
        self._sealer = sealer
        self._type = blob_type
        self._pack_bytes = pack_bytes
        self._memory = memory
        self._offset = 0
        self._plain_bytes = 0
        self._entries: list[bytes] = []
        self._hash = hashlib.sha256()

    @property
    def count(self) -> int:
        """Blobs so far."""
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether it is time to finish."""
        return self._offset >= self._pack_bytes or len(self._entries) >= COUNT_LIMIT

    def add(self, blobs: Sequence[Prepared], *, is_verified: bool) -> int:
        """Seals blobs until the pack is full; returns how many. Verified, what was sealed is opened where it lies and compared.

        Raises:
            DamagedError: it does not open to the payload.
        """
        count = self._fitting(blobs)
        taken = blobs[:count]
        payloads = [blob.payload for blob in taken]
        target = self._memory[self._offset :]
        ends = self._sealer.seal_all(payloads, target)
        if is_verified and not self._sealer.seals_all(target, ends, payloads):
            raise DamagedError("a blob does not read back as it was sealed", hint=_FAULT)
        self._entries += [
            pack.encode_entry(self._type, blob_id, OVERHEAD_BYTES + len(payload), uncompressed_length)
            for blob_id, payload, uncompressed_length in taken
        ]
        self._plain_bytes += sum([blob.uncompressed_length or len(blob.payload) for blob in taken])
        self._hash.update(target[: ends[-1]])
        self._offset += ends[-1]
        return count

    def _fitting(self, blobs: Sequence[Prepared]) -> int:
        """How many of these it takes until the pack is full: at least one."""
        room = min(len(blobs), COUNT_LIMIT - len(self._entries))
        offset = self._offset
        for count in range(room):
            offset += OVERHEAD_BYTES + len(blobs[count].payload)
            if offset >= self._pack_bytes:
                return count + 1
        return room

    def finish(self) -> FilledPack:
        """The pack; the buffer is used up. At least one blob must be in it."""
        header = b"".join(self._entries)
        sealed = self._sealer.seal(header)
        trailer = sealed + len(sealed).to_bytes(pack.LENGTH_FIELD_BYTES, "little")
        self._hash.update(trailer)
        pack_id = self._hash.digest()
        json = encode_pack(pack_id, pack.entries_of(header))
        return FilledPack(pack_id, self._offset, trailer, header, len(self._entries), self._plain_bytes, json)

    def take(self) -> list[pack.BlobEntry]:
        """Instead of `finish`: what was sealed, and where in the memory it lies."""
        return pack.decode_header(b"".join(self._entries))


def room_bytes(pack_bytes: int, longest_bytes: int) -> int:
    """The memory that a pack needs, where no payload is longer than `longest_bytes`."""
    return pack_bytes + longest_bytes + OVERHEAD_BYTES + Sealer.ROOM_BYTES
