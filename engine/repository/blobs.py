"""Reading blobs: which ranges of which packs to ask for, and turning what comes into verified plaintext."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from engine.errors import DamagedError
from engine.format import blob as blob_format
from engine.format.compression import Decompressor
from engine.format.crypto import SCRATCH_FROM_BYTES, MasterKey, Sealer
from engine.format.ids import BlobType
from engine.repository.packed_index import Location

GAP_BYTES: Final = 1 << 20
"""Unwanted bytes between two blobs that are read rather than asked around: a request costs about as much time."""

REQUEST_BYTES: Final = 32 << 20
"""Most that one request asks for, but for a single blob that is longer."""


class Wanted(NamedTuple):
    """One blob and where it is to be read."""

    type: BlobType
    id: bytes
    location: Location

    @property
    def plain_bytes(self) -> int:
        """Length of the plaintext, as the index has it."""
        return self.location.plain_length


class Read(NamedTuple):
    """One range of one pack, and the blobs in it."""

    pack: bytes
    offset: int
    length: int
    blobs: tuple[Wanted, ...]


def plan_reads(
    wanted: Iterable[Wanted], gap_bytes: int = GAP_BYTES, request_bytes: int = REQUEST_BYTES
) -> list[Read]:
    """Groups blobs into ranges, pack by pack. A blob that is wanted twice is read once."""
    return list(plan_ordered_reads(sorted(set(wanted), key=_by_place), gap_bytes, request_bytes))


def plan_ordered_reads(
    wanted: Iterable[Wanted], gap_bytes: int = GAP_BYTES, request_bytes: int = REQUEST_BYTES
) -> Iterator[Read]:
    """Groups blobs into ranges without changing their order: only those that follow one another in a pack share one.

    `request_bytes` bounds the plaintexts of a range together as well: a pack of zeros holds gigabytes of them.
    """
    group: list[Wanted] = []
    pack, begin, end, plain_bytes = b"", 0, 0, 0
    for blob in wanted:
        place = blob.location
        offset = place.offset
        size_bytes = place.plain_length
        plain_bytes += size_bytes
        if group and not (
            0 <= offset - end <= gap_bytes
            and place.pack == pack
            and offset + place.length - begin <= request_bytes
            and plain_bytes <= request_bytes
        ):
            yield Read(pack, begin, end - begin, tuple(group))
            group = []
        if not group:
            pack, begin, plain_bytes = place.pack, offset, size_bytes
        end = offset + place.length
        group.append(blob)
    if group:
        yield Read(pack, begin, end - begin, tuple(group))


def _named(blob: Wanted, error: DamagedError) -> DamagedError:
    place = f"the {blob.type} blob {blob.id.hex()} in pack {blob.location.pack.hex()}"
    return DamagedError(f"{place} is damaged: {error}")


def _by_place(blob: Wanted) -> tuple[bytes, int]:
    return blob.location.pack, blob.location.offset


class BlobDecoder:
    """Opens, decompresses and checks blobs. May be used by several threads: each gets its own contexts."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._local = threading.local()

    def decode(self, blob: Wanted, stored: bytes | memoryview) -> bytes:
        """The plaintext of a sealed blob. Raises: DamagedError, naming the blob and its pack, where it is not what its id says."""
        sealer, decompressor = self._contexts()
        expected = blob.location.uncompressed_length
        try:
            return blob_format.decode(sealer, decompressor, stored, blob.id, expected)
        except DamagedError as error:
            raise _named(blob, error) from error

    def decode_read(self, read: Read, stored: bytes) -> list[bytes | DamagedError]:
        """The plaintext of each blob of a range, or what is wrong with it. CPU work: for a thread where the range is long."""
        sealer, decompressor = self._contexts()
        view = memoryview(stored)
        found: list[bytes | DamagedError] = []
        for blob in read.blobs:
            place = blob.location
            begin = place.offset - read.offset
            # Slices of short bytes are copies, and cheaper than views.
            source = stored if place.length < SCRATCH_FROM_BYTES else view
            sealed = source[begin : begin + place.length]
            try:
                plain = blob_format.decode(sealer, decompressor, sealed, blob.id, place.uncompressed_length)
                found.append(plain)
            except DamagedError as error:
                found.append(_named(blob, error))
        return found

    def _contexts(self) -> tuple[Sealer, Decompressor]:
        found: tuple[Sealer, Decompressor] | None = getattr(self._local, "contexts", None)
        if found is None:
            found = self._local.contexts = (Sealer(self._master), Decompressor())
        return found


class BlobCache:
    """The blobs that were used last, up to a number of bytes. For one thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._blobs: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, blob_id: bytes) -> bytes | None:
        """The blob, which is then the one used last."""
        found = self._blobs.get(blob_id)
        if found is not None:
            self._blobs.move_to_end(blob_id)
        return found

    def put(self, blob_id: bytes, plain: bytes) -> None:
        """Keeps a blob and drops those that were used longest ago; one that is longer than a quarter of all is not kept."""
        if blob_id in self._blobs or len(plain) > self._limit_bytes // 4:
            return
        self._blobs[blob_id] = plain
        self._held_bytes += len(plain)
        while self._held_bytes > self._limit_bytes:
            _, dropped = self._blobs.popitem(last=False)
            self._held_bytes -= len(dropped)
