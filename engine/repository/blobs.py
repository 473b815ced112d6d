"""Reading blobs: which ranges of which packs to ask for, and turning what comes into verified plaintext."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.errors import DamagedError
from engine.format import ids
from engine.format.compression import Decompressor
from engine.format.crypto import MasterKey, Sealer
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
    reads: list[Read] = []
    group: list[Wanted] = []
    for blob in sorted(set(wanted), key=_by_place):
        if group and not _continues(group, blob, gap_bytes, request_bytes):
            reads.append(_read(group))
            group = []
        group.append(blob)
    if group:
        reads.append(_read(group))
    return reads


def plan_ordered_reads(wanted: Iterable[Wanted], gap_bytes: int, request_bytes: int) -> Iterable[Read]:
    """Groups blobs into ranges without changing their order: only neighbours that follow one another in a pack share one."""
    group: list[Wanted] = []
    for blob in wanted:
        if group and not (
            blob.location.offset >= _end(group[-1]) and _continues(group, blob, gap_bytes, request_bytes)
        ):
            yield _read(group)
            group = []
        group.append(blob)
    if group:
        yield _read(group)


def _by_place(blob: Wanted) -> tuple[bytes, int]:
    return blob.location.pack, blob.location.offset


def _end(blob: Wanted) -> int:
    return blob.location.offset + blob.location.length


def _continues(group: list[Wanted], blob: Wanted, gap_bytes: int, request_bytes: int) -> bool:
    return (
        blob.location.pack == group[0].location.pack
        and blob.location.offset - _end(group[-1]) <= gap_bytes
        and _end(blob) - group[0].location.offset <= request_bytes
    )


def _read(group: list[Wanted]) -> Read:
    offset = group[0].location.offset
    end = max(_end(blob) for blob in group)
    return Read(group[0].location.pack, offset, end - offset, tuple(group))


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
            plain = sealer.open(stored)
            if expected is not None:
                plain = decompressor.decompress(plain, expected)
        except DamagedError as error:
            raise self._damaged(blob, str(error)) from error
        if ids.digest(plain) != blob.id:
            raise self._damaged(blob, "its content does not hash to its id")
        return plain

    def decode_read(self, read: Read, stored: bytes) -> list[bytes | DamagedError]:
        """The plaintext of each blob of a range, or what is wrong with it. CPU work: for a thread where the range is long."""
        view = memoryview(stored)
        found: list[bytes | DamagedError] = []
        for blob in read.blobs:
            begin = blob.location.offset - read.offset
            try:
                found.append(self.decode(blob, view[begin : begin + blob.location.length]))
            except DamagedError as error:
                found.append(error)
        return found

    def _contexts(self) -> tuple[Sealer, Decompressor]:
        found: tuple[Sealer, Decompressor] | None = getattr(self._local, "contexts", None)
        if found is None:
            found = self._local.contexts = (Sealer(self._master), Decompressor())
        return found

    @staticmethod
    def _damaged(blob: Wanted, what: str) -> DamagedError:
        return DamagedError(
            f"the {blob.type} blob {blob.id.hex()} in pack {blob.location.pack.hex()} is damaged: {what}"
        )


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
