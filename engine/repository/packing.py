"""From a blob to a sealed place in an open pack: what each worker owns for itself, thread or process.

Compressing happens once however many repositories are fed; sealing once for each. With extra verification (the default) everything that is
about to be stored is opened and decompressed again and compared with the original bytes, so that a fault of memory, processor or library
ends the backup and not the restore (restic does the same since 0.16.4; comparing is as strong as hashing again).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.format import blob as blob_format
from engine.format import pack
from engine.format.blob import BlobCoder
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType
from engine.storages.base import Buffer

Compression = Literal["off", "auto", "max"]

OPEN_PACKS = 2
"""Blobs go to one of two open packs at random, so that sizes of neighbours tell less of the content (restic PR 5295)."""


@dataclass(frozen=True, slots=True)
class PackingOptions:
    """How blobs are stored."""

    compression: Compression = "auto"
    is_verified: bool = True
    """Whether each blob is opened and compared again before it is stored."""
    pack_bytes: int = pack.TARGET_BYTES
    """A pack is closed when its blobs reach this."""


@dataclass(frozen=True, slots=True)
class Loose:
    """A sealed blob that found no full pack."""

    type: BlobType
    id: bytes
    sealed: Buffer
    uncompressed_length: int | None


class Preparer:
    """Compresses once and seals for each repository. Not thread-safe: one for each worker."""

    def __init__(self, keys: Sequence[MasterKey], options: PackingOptions) -> None:
        self._sealers = [Sealer(key) for key in keys]
        self._coder = BlobCoder(options.compression)
        self._is_verified = options.is_verified

    def compress(self, data: Buffer, blob_type: BlobType) -> tuple[Buffer, int | None]:
        """See BlobCoder.compress."""
        return self._coder.compress(data, blob_type, is_verified=self._is_verified)

    def seal(self, lane: int, payload: Buffer) -> Buffer:
        """The payload, sealed for that repository. Raises: DamagedError where opening it does not give the payload back."""
        return blob_format.seal(self._sealers[lane], payload, is_verified=self._is_verified)


class Packer:
    """The open packs of one repository and one blob type. Safe to be shared by threads: they wait for each other only to choose a pack."""

    def __init__(
        self,
        key: MasterKey,
        pack_bytes: int,
        on_full: Callable[[pack.Pack], None],
        open_packs: int = OPEN_PACKS,
    ) -> None:
        """`on_full` takes a finished pack, in the thread whose blob filled it."""
        self._key = key
        self._pack_bytes = pack_bytes
        self._on_full = on_full
        self._open_packs = open_packs
        self._open: list[_OpenPack] = []
        self._turn = threading.Lock()

    def add(self, blob: Loose) -> None:
        """Puts a sealed blob into one of the open packs, and hands the pack over where that filled it."""
        if len(blob.sealed) >= self._pack_bytes:
            full: _OpenPack | None = _OpenPack()
            assert full is not None
            full.add(blob)
        else:
            with self._turn:
                full = self._put(blob)
        if full is not None:
            self._on_full(full.close(Sealer(self._key)))

    def take_loose(self) -> list[Loose]:
        """Empties the open packs, and gives what was in them."""
        with self._turn:
            loose = [blob for each in self._open for blob in each.blobs]
            self._open.clear()
        return loose

    def _put(self, blob: Loose) -> _OpenPack | None:
        """Puts the blob; gives the pack that it filled."""
        if len(self._open) < self._open_packs:
            self._open.append(_OpenPack())
        chosen = self._open[random.randrange(len(self._open))]  # noqa: S311 -- it spreads, it hides nothing by itself
        chosen.add(blob)
        if chosen.size_bytes < self._pack_bytes and chosen.count < pack.COUNT_LIMIT:
            return None
        self._open.remove(chosen)
        return chosen


class _OpenPack:
    """A pack being filled; hashed when it is closed, since one that is never filled is taken apart again."""

    __slots__ = ("blobs", "count", "size_bytes")

    def __init__(self) -> None:
        self.blobs: list[Loose] = []
        self.count = 0
        self.size_bytes = 0

    def add(self, blob: Loose) -> None:
        self.blobs.append(blob)
        self.count += 1
        self.size_bytes += len(blob.sealed)

    def close(self, sealer: Sealer) -> pack.Pack:
        builder = pack.PackBuilder(sealer)
        for blob in self.blobs:
            builder.add(blob.type, blob.id, blob.sealed, blob.uncompressed_length)
        return builder.finish()


def merge_loose(loose: Sequence[Loose], sealer: Sealer, pack_bytes: int) -> list[pack.Pack]:
    """Packs what several workers had left over into as few packs as hold it, trees and data apart."""
    packs: list[pack.Pack] = []
    for blob_type in ("data", "tree"):
        current = _OpenPack()
        seen: set[bytes] = set()
        for blob in loose:
            if blob.type != blob_type or blob.id in seen:
                continue
            seen.add(blob.id)
            current.add(blob)
            if current.size_bytes >= pack_bytes or current.count >= pack.COUNT_LIMIT:
                packs.append(current.close(sealer))
                current = _OpenPack()
        if current.count:
            packs.append(current.close(sealer))
    return packs
