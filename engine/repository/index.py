"""The index: which pack holds each blob and where. Packed files for what the repository had, a compact table for what this run added."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple, Self

from engine.format.crypto import OVERHEAD_BYTES
from engine.format.ids import BlobType
from engine.format.pack import BlobEntry
from engine.repository.added_blobs import AddedBlobs
from engine.repository.packed_index import Location, PackedIndex, PackInfo

TYPES: tuple[BlobType, BlobType] = ("data", "tree")

_ASKED_OFTEN = 2_000
_FEW_BLOBS = 150_000
"""A set of so many ids takes 16 MiB and 20 ms to make."""


class IndexedBlob(NamedTuple):
    """One blob at one place, as the index has it. A blob that lies in several packs comes several times."""

    position: int
    """Unique number from 0 up to `Index.blob_count`: for bit maps over all blobs."""
    type: BlobType
    id: bytes
    location: Location


class Index:
    """All blobs of a repository. Look-ups may come from several threads; `add_pack` from one at a time.

    Blobs are known by type and id: a file whose content equals a tree's JSON is a data blob and a tree blob of one id.
    """

    def __init__(self, files: Sequence[PackedIndex] = ()) -> None:
        self._files = tuple(files)
        self._tables = {type_: tuple(file.table(type_) for file in self._files) for type_ in TYPES}
        self._added = AddedBlobs()
        self._packed_count = sum(len(file) for file in self._files)
        self._known: dict[BlobType, frozenset[bytes]] = {}
        self._asked = 0

    @classmethod
    def open_files(cls, paths: Iterable[Path]) -> Self:
        """An index over packed files that another process made ready; see `file_paths`."""
        return cls([PackedIndex.open(path, is_checked=False) for path in paths])

    @property
    def file_paths(self) -> tuple[Path, ...]:
        """The packed files, for `open_files` in another process. What this run added is not in them."""
        return tuple(file.path for file in self._files)

    def added_ids(self, type_: BlobType) -> bytes:
        """The ids of the blobs that this run added, one after the other: what another process cannot see in the packed files."""
        return b"".join(self._added.ids(type_))

    @property
    def index_ids(self) -> frozenset[bytes]:
        """The index files that this was read from. Those that this run wrote are not among them."""
        return frozenset(index_id for file in self._files for index_id in file.index_ids)

    @property
    def blob_count(self) -> int:
        """How many blobs at how many places: a blob in two packs counts twice."""
        return self._packed_count + len(self._added)

    @property
    def pack_count(self) -> int:
        """How many packs; one that two index files name counts twice."""
        return sum(file.pack_count for file in self._files) + len(self._added.packs)

    def has(self, type_: BlobType, blob_id: bytes) -> bool:
        """Whether that blob lies in a pack that some index file names, or that this run added.

        About a microsecond; a sixth of that where a small repository is asked often, which is when its ids are kept in a set.
        """
        if self._added.find(type_, blob_id) >= 0:
            return True
        known = self._known.get(type_)
        if known is not None:
            return blob_id in known
        self._asked += 1
        if self._asked > _ASKED_OFTEN and self._packed_count <= _FEW_BLOBS:
            self._known = {each: self._packed_ids(each) for each in TYPES}
        return any(table.find(blob_id) >= 0 for table in self._tables[type_])

    def _packed_ids(self, type_: BlobType) -> frozenset[bytes]:
        return frozenset(chain.from_iterable(table.ids() for table in self._tables[type_]))

    def lookup(self, type_: BlobType, blob_id: bytes) -> Location | None:
        """Where that blob lies; one of several places; None where the repository does not have it."""
        added = self._added.find(type_, blob_id) if self._added else -1
        if added >= 0:
            return self._added.row(added)[2]
        for file in self._files:
            table = file.table(type_)
            row = table.find(blob_id)
            if row >= 0:
                return file.location(table, row)
        return None

    def plain_bytes(self, type_: BlobType, blob_id: bytes) -> int | None:
        """How long that blob is before compression and sealing, at the first of its places; None where the repository does not have it."""
        for file in self._files:
            table = file.table(type_)
            row = table.find(blob_id)
            if row >= 0:
                _, _, length, uncompressed = table.place(row)
                return uncompressed or length - OVERHEAD_BYTES
        location = self.lookup(type_, blob_id)
        return None if location is None else location.plain_length

    def lookup_all(self, type_: BlobType, blob_id: bytes) -> list[Location]:
        """Every place of that blob, each once."""
        found = [place for file in self._files for place in file.locations(file.table(type_), blob_id)]
        if self._added.find(type_, blob_id) >= 0:
            found += [place for kind, added, place in self._added if added == blob_id and kind == type_]
        return list(dict.fromkeys(found))

    def position(self, type_: BlobType, blob_id: bytes) -> int | None:
        """The number of that blob's first place, the same at each call; None where the repository does not have it."""
        base = 0
        for file in self._files:
            row = file.table(type_).find(blob_id)
            if row >= 0:
                return base + row + (file.data.count if type_ == "tree" else 0)
            base += len(file)
        added = self._added.find(type_, blob_id)
        return None if added < 0 else base + added

    def add_pack(self, pack_id: bytes, entries: Iterable[BlobEntry]) -> None:
        """Makes the blobs of a pack known that was stored in this run."""
        self._added.add(pack_id, entries)

    def packs(self) -> Iterator[PackInfo]:
        """Every pack as each index file has it; a pack that two index files name comes twice."""
        for file in self._files:
            for number in range(file.pack_count):
                yield file.pack(number)
        yield from list(self._added.packs)

    def blobs(self) -> Iterator[IndexedBlob]:
        """Every blob at every place, in no useful order, in bounded memory."""
        base = 0
        for file in self._files:
            for type_ in TYPES:
                table = file.table(type_)
                for row, (blob_id, pack, offset, length, uncompressed) in enumerate(table.rows()):
                    location = Location(file.pack_id(pack), offset, length, uncompressed or None)
                    yield IndexedBlob(base + row, type_, blob_id, location)
                base += table.count
        for position, (type_, blob_id, location) in enumerate(self._added, base):
            yield IndexedBlob(position, type_, blob_id, location)

    def packs_with_blobs(self) -> Iterator[tuple[PackInfo, list[BlobEntry]]]:
        """Every pack of `packs()` with its blobs by offset. Takes four bytes of memory a blob."""
        for file in self._files:
            yield from _by_pack(file)
        added: dict[bytes, list[BlobEntry]] = {pack.id: [] for pack in self._added.packs}
        for type_, blob_id, place in self._added:
            entry = BlobEntry(type_, blob_id, place.offset, place.length, place.uncompressed_length)
            added[place.pack].append(entry)
        for pack in list(self._added.packs):
            yield pack, added[pack.id]


def _by_pack(file: PackedIndex) -> Iterator[tuple[PackInfo, list[BlobEntry]]]:
    counts = (file.pack(number) for number in range(file.pack_count))
    begins = array("I", accumulate((pack.data_blobs + pack.tree_blobs for pack in counts), initial=0))
    next_places = begins[:]
    order = array("I", bytes(4 * len(file)))
    for base, table in ((0, file.data), (file.data.count, file.tree)):
        for row, (_, pack, _, _, _) in enumerate(table.rows()):
            order[next_places[pack]] = base + row
            next_places[pack] += 1
    for number in range(file.pack_count):
        places = order[begins[number] : begins[number + 1]]
        entries = [_entry(file, place) for place in places]
        entries.sort(key=_by_offset)
        yield file.pack(number), entries


def _entry(file: PackedIndex, place: int) -> BlobEntry:
    if place < file.data.count:
        blob_id, _, offset, length, uncompressed = file.data.row(place)
        return BlobEntry("data", blob_id, offset, length, uncompressed or None)
    blob_id, _, offset, length, uncompressed = file.tree.row(place - file.data.count)
    return BlobEntry("tree", blob_id, offset, length, uncompressed or None)


def _by_offset(entry: BlobEntry) -> int:
    return entry.offset
