"""Repairing packs: blobs that are damaged or missing come, by their ids, out of other repositories that hold the same ones.

What is sound in a damaged pack is carried over; the rest is asked of the other repositories, each of which has keys of its own: opened
there, compared with its id, sealed here. The order of writes: 1. new packs, then their index. 2. Index files without the damaged packs,
then the old ones go. 3. Damaged packs of which every blob could be had go. A crash leaves blobs twice, and the damaged pack where it was.

A damaged pack of which something could not be had leaves the index too, so that the next backup stores again what the source still has;
its file stays, for there may be something to save, until a prune may delete it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError, ObjectMissingError, RefusedError, StorageError
from engine.events import Emit, Progress, Warned, ignore
from engine.format.ids import BlobType
from engine.format.pack import BlobEntry
from engine.repository import fetching, index_rewriting, writer
from engine.repository.blobs import Wanted
from engine.repository.check_packs import Expected, PackVerifier, WholePack
from engine.repository.lock import HeldLock
from engine.repository.packed_index import Location, PackInfo
from engine.repository.repository import Repository
from engine.repository.tree_sweep import references
from engine.repository.writer import WriteSession
from engine.storages.base import Key, Kind

_GATHERED: Final = 4096
"""Blobs that are asked for together, so that those of one pack come in one request."""
_BUDGET_BYTES: Final = 32 << 20
MOST_BLOBS: Final = 200_000
"""Missing blobs that one run asks for; what is still missing then is for the next."""

Blob = tuple[BlobType, bytes]


@dataclass(frozen=True, slots=True)
class PackRepair:
    """What a repair of packs did."""

    replaced_packs: frozenset[bytes]
    """That are in the index no more."""
    kept_packs: frozenset[bytes]
    """Of these the ones whose file stays, because something in them could not be had."""
    written_packs: frozenset[bytes]
    carried_blobs: int
    """Sound blobs of damaged packs, which are in new packs now."""
    fetched: Sequence[int]
    """How many blobs came from each of the other repositories, in their order."""
    lost: frozenset[Blob]
    """Blobs that nobody holds."""


async def repair_packs(
    repository: Repository,
    lock: HeldLock,
    others: Sequence[Repository],
    *,
    suspects: Collection[bytes] = (),
    missing: Collection[Blob] = (),
    emit: Emit = ignore,
) -> PackRepair:
    """Replaces the damaged ones of the packs `suspects`, and stores the blobs `missing` from the index with all that trees among them need.

    The others are locked by the caller, shared, with their index loaded; one whose storage fails is told and passed over. Safe to interrupt.
    Raises: RefusedError where the lock is not exclusive; LockLostError; StorageError of the repository's own storage.
    """
    if not lock.exclusive:
        raise RefusedError("repairing packs needs an exclusive lock")
    await repository.load_index(_pass_over)
    old = repository.index.index_ids
    async with writer.open_session([(repository, lock)], clock=repository.clock, emit=emit) as session:
        running = _Repair(repository, others, session, emit)
        await running.go_through(frozenset(suspects))
        await running.find_missing(missing)
    if running.damaged:
        await index_rewriting.leave_out(repository, lock, running.damaged, old)
    written = frozenset(info.id for info in repository.index.packs() if not info.index_id)
    await repository.load_index(_pass_over)
    lost = {blob for blob in running.lost if not repository.index.has(*blob)}
    kept = frozenset(pack for blob in lost for pack in running.lost[blob])
    try:
        going = sorted(each.hex() for each in running.present - kept)
        await index_rewriting.remove(repository, lock, Kind.PACK, going)
    except StorageError as error:
        emit(Warned(f"a damaged pack that nothing names any more could not be deleted: {error}"))
    return PackRepair(
        frozenset(running.damaged),
        kept & running.present,
        written,
        running.carried,
        tuple(running.fetched),
        frozenset(lost),
    )


@dataclass(slots=True)
class _Repair:
    """A repair under way."""

    repository: Repository
    others: Sequence[Repository]
    session: WriteSession
    emit: Emit
    damaged: set[bytes] = field(default_factory=set)
    present: set[bytes] = field(default_factory=set)
    """Damaged packs that have a file."""
    carried: int = 0
    fetched: list[int] = field(init=False)
    lost: dict[Blob, list[bytes]] = field(default_factory=dict)
    """Blobs that nobody could give, and the packs that should hold them."""
    _asked: dict[Blob, list[bytes]] = field(default_factory=dict)
    """Blobs that will be asked for, as in `lost`."""
    _suspects: frozenset[bytes] = frozenset()
    _failing: set[int] = field(default_factory=set)
    """Others whose storage failed."""

    def __post_init__(self) -> None:
        self.fetched = [0] * len(self.others)

    async def go_through(self, suspects: frozenset[bytes]) -> None:
        """Reads each suspect pack again, and replaces what is in the damaged ones."""
        self._suspects = suspects
        verifier = PackVerifier(self.repository.master, self.repository.index)
        for info, entries in self.repository.index.packs_with_blobs():
            if info.id not in suspects:
                continue
            whole = await self._load(info.id)
            if whole is not None and await asyncio.to_thread(_is_sound, verifier, whole, info):
                continue
            self.damaged.add(info.id)
            if whole is not None:
                self.present.add(info.id)
            await self._replace(info.id, entries, whole if whole is not None else b"")
            self.emit(Progress("repair packs", done_files=len(self.damaged), total_files=len(suspects)))
        await self._ask()

    async def find_missing(self, missing: Collection[Blob]) -> None:
        """Asks for blobs that no index file names, and for those below them."""
        for blob in missing:
            self._want(blob)
        while self._asked:
            await self._ask()

    async def _load(self, pack_id: bytes) -> bytes | None:
        """The pack as it lies there: nothing where it cannot be read, None where it is gone. Raises: StorageError where the storage is out of reach."""
        try:
            return await self.repository.storage.get(Key(Kind.PACK, pack_id.hex()))
        except ObjectMissingError:
            return None
        except StorageError as error:
            if error.retryable:
                raise
            return b""

    async def _replace(self, pack_id: bytes, entries: Sequence[BlobEntry], whole: bytes) -> None:
        view = memoryview(whole)
        for entry in entries:
            type_: BlobType = "tree" if entry.type == "tree" else "data"
            place = Location(pack_id, entry.offset, entry.length, entry.uncompressed_length)
            blob = Wanted(type_, entry.id, place)
            sealed = view[entry.offset : entry.offset + entry.length]
            try:
                plain = await asyncio.to_thread(self.repository.decoder.decode, blob, sealed)
            except DamagedError:
                if not await self._is_elsewhere(blob):
                    self._asked.setdefault((type_, entry.id), []).append(pack_id)
                if len(self._asked) >= _GATHERED:
                    await self._ask()
            else:
                await self.session.save_anew(plain, type_)
                self.carried += 1

    async def _is_elsewhere(self, blob: Wanted) -> bool:
        """Whether a pack that nothing is wrong with holds the blob too."""
        for place in self.repository.index.lookup_all(blob.type, blob.id):
            if place.pack not in self._suspects:
                try:
                    await self.repository.load_at(blob._replace(location=place))
                except DamagedError:
                    continue
                return True
        return False

    async def _ask(self) -> None:
        """Asks the others, one after the other, for what is wanted so far."""
        wanted, self._asked = self._asked, {}
        for number, other in enumerate(self.others):
            if wanted and number not in self._failing:
                await self._fetch(number, other, wanted)
        for blob, packs in wanted.items():
            self.lost.setdefault(blob, []).extend(packs)

    async def _fetch(self, number: int, other: Repository, wanted: dict[Blob, list[bytes]]) -> None:
        """Stores what this one holds, and takes it out of `wanted`."""
        held = [other.wanted(*blob) for blob in wanted if other.index.has(*blob)]

        async def take(blob: Wanted, plain: bytes | DamagedError) -> None:
            if isinstance(plain, DamagedError):
                return
            await self.session.save_anew(plain, blob.type)
            packs = wanted.pop((blob.type, blob.id), None)
            self.fetched[number] += packs is not None
            if blob.type == "tree" and not packs:
                self._follow(plain)

        try:
            for begin in range(0, len(held), _GATHERED):
                some = held[begin : begin + _GATHERED]
                await fetching.load_blobs(other, some, take, budget_bytes=_BUDGET_BYTES)
                self.emit(Progress("fetch blobs", done_files=begin + len(some), total_files=len(held)))
        except StorageError as error:
            self.session.raise_if_all_dropped()
            self._failing.add(number)
            self.emit(Warned(f"{other.location} is not asked for any more blobs: {error}"))

    def _follow(self, tree: bytes) -> None:
        """What a tree needs that was missing is likely to be missing with it. Those who call look it up in the index first."""
        try:
            found = references(tree)
        except DamagedError:
            return
        for blob_id in found.content:
            self._want(("data", blob_id))
        for tree_id in found.subtrees:
            self._want(("tree", tree_id))

    def _want(self, blob: Blob) -> None:
        is_known = self.repository.index.has(*blob) or blob in self.lost
        if not is_known and sum(self.fetched) + len(self._asked) < MOST_BLOBS:
            self._asked.setdefault(blob, [])


def _pass_over(_index_id: bytes, _error: DamagedError) -> None:
    """An index file that is damaged is for `repair_index`."""


def _is_sound(verifier: PackVerifier, whole: bytes, info: PackInfo) -> bool:
    expected = Expected(info.id, info.size_bytes, info.data_blobs + info.tree_blobs)
    if len(whole) != info.size_bytes:
        return False
    try:
        verifier.verify(WholePack(whole), expected)
    except DamagedError:
        return False
    return True
