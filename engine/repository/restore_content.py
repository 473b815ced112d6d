"""Content of files as a restore's worker handles it: blobs fetched, existing files compared, new ones written. Blocking, for one thread."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.errors import DamagedError
from engine.format.ids import digest
from engine.repository import blobs
from engine.repository.blobs import BlobDecoder, Read, Wanted
from engine.repository.index import Index
from engine.repository.restore_files import HOLES_FROM_BYTES, write_sparsely, write_whole
from engine.storages.base import Key, Kind

BATCH_BYTES: Final = 8 << 20
"""Plaintext that is held at once, but for a single blob that is longer."""
FAR_BATCH_BYTES: Final = 16 << 20
"""The same of a long file where packs are far: a request costs a server as much as a megabyte."""
_GAP_BYTES: Final = 64 << 10
"""Bytes of a pack that are read for nothing rather than sought over."""
_OPEN_PACKS: Final = 8
_RECENT_BYTES: Final = 256 << 10
"""A blob as long as this is kept until the next: a long hole is one blob again and again."""


class Piece(NamedTuple):
    """One blob of a file, and where it goes."""

    id: bytes
    offset: int
    length: int
    """Of the plaintext, as the index has it; decoding proves it."""


def pieces(index: Index, content: Sequence[bytes], places: dict[bytes, Wanted] | None = None) -> list[Piece]:
    """Where each blob of a file goes; where they lie is put into `places`. Raises: DamagedError where the index does not know one."""
    found: list[Piece] = []
    offset = 0
    for blob_id in content:
        location = index.lookup("data", blob_id)
        if location is None:
            raise DamagedError(f"the blob {blob_id.hex()} is in no index file")
        if places is not None:
            places[blob_id] = Wanted("data", blob_id, location)
        length = location.plain_length
        found.append(Piece(blob_id, offset, length))
        offset += length
    return found


def batches(wanted: Sequence[Piece], limit_bytes: int) -> Iterator[list[Piece]]:
    """The pieces in order, in groups of no more plaintext than is held at once."""
    group: list[Piece] = []
    held = 0
    for piece in wanted:
        if group and held + piece.length > limit_bytes:
            yield group
            group, held = [], 0
        group.append(piece)
        held += piece.length
    if group:
        yield group


def reads_of(index: Index, wanted: Sequence[Piece], differs: set[int] | None) -> list[Read]:
    """The ranges that `write_content` will ask for where packs are far, as much as can be told beforehand; `differs` is None where all is fetched."""
    found: list[Read] = []
    number = 0
    for group in batches(wanted, FAR_BATCH_BYTES):
        asked = {piece.id for place, piece in enumerate(group, number) if differs is None or place in differs}
        places = [Wanted("data", each, place) for each in asked if (place := index.lookup("data", each))]
        found += _plan(places, FAR_BATCH_BYTES)
        number += len(group)
    return found


def _plan(wanted: Sequence[Wanted], batch_bytes: int) -> list[Read]:
    return blobs.plan_reads(wanted, _GAP_BYTES, batch_bytes)


Request = Callable[[Sequence[Read]], Iterator[bytes]]
"""Asks for ranges of packs; gives their bytes in order. Raises: DamagedError for one that cannot be had."""
Rescue = Callable[[bytes], bytes]
"""The plaintext of a blob that was not found whole where it was looked for. Raises: DamagedError."""


class LocalPacks:
    """Ranges of packs that lie on this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def request(self, reads: Sequence[Read]) -> Iterator[bytes]:
        """The bytes of each range; fewer where the pack is cut short, none where it is gone."""
        for read in reads:
            try:
                yield os.pread(self._descriptor(read.pack), read.length, read.offset)
            except OSError:
                yield b""

    def _descriptor(self, pack: bytes) -> int:
        found = self._open.get(pack)
        if found is not None:
            self._open.move_to_end(pack)
            return found
        opened = os.open(self._root / Key(Kind.PACK, pack.hex()).path(), os.O_RDONLY | os.O_CLOEXEC)
        self._open[pack] = opened
        if len(self._open) > _OPEN_PACKS:
            os.close(self._open.popitem(last=False)[1])
        return opened


class BlobSource:
    """Verified plaintext by id."""

    def __init__(
        self, index: Index, decoder: BlobDecoder, request: Request, rescue: Rescue, *, batch_bytes: int
    ) -> None:
        """`batch_bytes`: plaintext of a long file that is asked for and held at once."""
        self.index = index
        self.batch_bytes = batch_bytes
        self._decoder = decoder
        self._request = request
        self._rescue = rescue
        self._places: dict[bytes, Wanted] = {}
        self._recent: tuple[bytes, bytes] | None = None

    def pieces(self, content: Sequence[bytes]) -> list[Piece]:
        """Where each blob of a file goes. Where they lie is remembered until the next `load`. Raises: DamagedError as `pieces` does."""
        return pieces(self.index, content, self._places)

    def load(self, blob_ids: Sequence[bytes]) -> dict[bytes, bytes | DamagedError]:
        """Each of these blobs, or what is wrong with it. What is not whole at one place is looked for at others."""
        found: dict[bytes, bytes | DamagedError] = {}
        wanted: list[Wanted] = []
        for blob_id in set(blob_ids):
            if self._recent is not None and self._recent[0] == blob_id:
                found[blob_id] = self._recent[1]
                continue
            place = self._places.get(blob_id) or self._place(blob_id)
            if place is None:
                found[blob_id] = self._rescued(blob_id)
            else:
                wanted.append(place)
        self._places.clear()
        reads = _plan(wanted, self.batch_bytes)
        for read, stored in zip(reads, self._request(reads), strict=True):
            for blob, plain in zip(read.blobs, self._decoder.decode_read(read, stored), strict=True):
                found[blob.id] = self._rescued(blob.id) if isinstance(plain, DamagedError) else plain
        if blob_ids:
            self._keep(blob_ids[-1], found[blob_ids[-1]])
        return found

    def _place(self, blob_id: bytes) -> Wanted | None:
        location = self.index.lookup("data", blob_id)
        return None if location is None else Wanted("data", blob_id, location)

    def _rescued(self, blob_id: bytes) -> bytes | DamagedError:
        try:
            return self._rescue(blob_id)
        except DamagedError as error:
            return error

    def _keep(self, blob_id: bytes, plain: bytes | DamagedError) -> None:
        if isinstance(plain, bytes) and len(plain) >= _RECENT_BYTES:
            self._recent = (blob_id, plain)


def differing(descriptor: int, wanted: Sequence[Piece]) -> set[int]:
    """Numbers of the pieces that an open file does not hold where they belong. Raises: OSError."""
    return {
        number
        for number, piece in enumerate(wanted)
        if digest(os.pread(descriptor, piece.length, piece.offset)) != piece.id
    }


def write_content(
    descriptor: int, source: BlobSource, wanted: Sequence[Piece], *, old: int | None, differs: set[int]
) -> int:
    """Writes the pieces of a file in which nothing is yet; gives how many bytes came from the repository.

    Pieces that are not in `differs` are taken from the open file `old`, and from the repository if they changed meanwhile.

    Raises: DamagedError, OSError.
    """
    fetched = 0
    number = 0
    for group in batches(wanted, source.batch_bytes):
        asked = [piece.id for place, piece in enumerate(group, number) if old is None or place in differs]
        plain = source.load(asked)
        for place, piece in enumerate(group, number):
            if old is not None and place not in differs:
                data = os.pread(old, piece.length, piece.offset)
                if digest(data) != piece.id:
                    data = whole(source.load([piece.id])[piece.id])
                    fetched += piece.length
            else:
                data = whole(plain[piece.id])
                fetched += piece.length
            put(descriptor, piece, data, is_sparse=True)
        number += len(group)
    return fetched


def put(descriptor: int, piece: Piece, data: bytes, *, is_sparse: bool) -> None:
    """Writes one piece at its place. Raises: DamagedError where it is not as long as the index says; OSError."""
    if len(data) != piece.length:
        raise DamagedError(
            f"the blob {piece.id.hex()} holds {len(data)} bytes where the index says {piece.length}",
            hint="verify finds wrong lengths, which restic's check lets pass",
        )
    if is_sparse:
        write_sparsely(descriptor, piece.offset, data)
    else:
        write_whole(descriptor, piece.offset, data, 0, len(data))


def whole(plain: bytes | DamagedError) -> bytes:
    """The plaintext. Raises: DamagedError where there is none."""
    if isinstance(plain, DamagedError):
        raise plain
    return plain


def is_sparse_at(size_bytes: int) -> bool:
    """Whether holes are worth looking for in a file of that size."""
    return size_bytes >= HOLES_FROM_BYTES
