"""Pruning: packs shrink to what snapshots need. The order of writes is restic's, so that no moment leaves less than is needed.

1. Packs that no index file names are deleted. 2. Blobs that are needed are copied out of the packs that will go, and the new packs are
indexed. 3. Index files without the packs that will go are written; then the old index files are deleted. 4. The packs go. A crash leaves
packs too many or blobs twice, and the next prune clears that away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from engine.errors import DamagedError, RefusedError, StorageError
from engine.events import Emit, Progress, Warned, ignore
from engine.format import pack
from engine.format.ids import BlobType
from engine.format.pack import Pack
from engine.repository import index_rewriting
from engine.repository.blobs import Wanted, plan_reads
from engine.repository.index import TYPES
from engine.repository.lanes import Lane
from engine.repository.lock import HeldLock
from engine.repository.packed_index import Location
from engine.repository.packing import Loose, Packer, PackingOptions, Preparer
from engine.repository.prune_plan import PruneFigures, PruneOptions, PrunePlan, plan_prune
from engine.repository.repository import Repository
from engine.repository.tree_sweep import BlobMap, references, sweep
from engine.scope import task_scope
from engine.storages.base import Key, Kind


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did, or would do."""

    packs_deleted: int
    packs_rewritten: int
    figures: PruneFigures
    leftover_packs: int = 0
    """Packs that could not be deleted: nothing names them, and the next prune tries again."""


async def prune(
    repository: Repository,
    lock: HeldLock,
    *,
    options: PruneOptions | None = None,
    is_dry_run: bool = False,
    emit: Emit = ignore,
) -> Pruned:
    """Plans, and prunes unless it is a dry run. Reads the index anew, under the lock.

    Raises: RefusedError where the lock is not exclusive; DamagedError where something that is needed is missing or damaged: then nothing
    that is needed was deleted; LockLostError; StorageError.
    """
    plan = await make_plan(repository, options, emit=emit)
    if not is_dry_run:
        return await apply_prune(repository, plan, lock, emit=emit)
    return _pruned(plan)


async def make_plan(
    repository: Repository, options: PruneOptions | None = None, *, emit: Emit = ignore
) -> PrunePlan:
    """Finds out what is in use and decides. Changes nothing. Raises: DamagedError, StorageError."""
    snapshots = await repository.snapshots()
    index = await repository.load_index()
    used = await collect_used(repository, [each.tree for _, each in snapshots], emit=emit)
    stored = {
        bytes.fromhex(listed.key.name): listed.size_bytes
        async for listed in repository.storage.list(Kind.PACK)
    }
    return await asyncio.to_thread(plan_prune, index, used, stored, options)


async def collect_used(repository: Repository, roots: list[bytes], *, emit: Emit = ignore) -> BlobMap:
    """Marks every blob that can be reached from the trees `roots`. Raises: DamagedError where one is missing or a tree is damaged."""
    used = BlobMap(repository.index)

    async def visit(tree_id: bytes, tree: bytes | DamagedError) -> list[bytes]:
        if isinstance(tree, DamagedError):
            raise tree
        used.add("tree", tree_id)
        found = references(tree)
        for blob_id in found.content:
            if used.add("data", blob_id) is None:
                raise DamagedError(
                    f"the data blob {blob_id.hex()} is in use, but no index file names it; nothing was changed",
                    hint="verify names the backups that it touches",
                )
        return found.subtrees

    await sweep(repository, roots, visit, step="find what is used", emit=emit)
    return used


async def apply_prune(
    repository: Repository, plan: PrunePlan, lock: HeldLock, *, emit: Emit = ignore
) -> Pruned:
    """Does what the plan says, which must have been made under the same lock. Raises: as `prune`."""
    if not lock.exclusive:
        raise RefusedError("a prune needs an exclusive lock")
    await lock.assert_held()
    orphans_left = await _delete_packs(repository, lock, plan.orphans, emit)
    old = repository.index.index_ids
    if plan.rewritten:
        await _copy_wanted(repository, plan, lock, emit)
    await index_rewriting.leave_out(repository, lock, plan.doomed | plan.absent, old)
    left = await _delete_packs(repository, lock, sorted(plan.doomed), emit)
    await repository.load_index()
    return _pruned(plan, orphans_left + left)


def _pruned(plan: PrunePlan, leftover_packs: int = 0) -> Pruned:
    deleted = len(plan.orphans) + len(plan.doomed) - leftover_packs
    return Pruned(deleted, len(plan.rewritten), plan.figures, leftover_packs)


async def _delete_packs(
    repository: Repository, lock: HeldLock, packs: tuple[bytes, ...] | list[bytes], emit: Emit
) -> int:
    """Deletes packs that nothing names; returns how many stayed behind because the storage failed: that harms nothing."""
    left = 0
    for number, pack_id in enumerate(packs, 1):
        try:
            await index_rewriting.remove(repository, lock, Kind.PACK, [pack_id.hex()])
        except StorageError as error:
            left += 1
            if left == 1:
                emit(Warned(f"a pack that nothing needs could not be deleted: {error}"))
        emit(Progress("delete packs", done_files=number, total_files=len(packs)))
    return left


async def _copy_wanted(repository: Repository, plan: PrunePlan, lock: HeldLock, emit: Emit) -> None:
    """Copies the wanted blobs into new packs and indexes these. Raises: DamagedError where one cannot be had."""
    lane = Lane(repository, lock, repository.clock, pack.TARGET_BYTES)
    mover = _Mover(repository, plan, emit)
    async with task_scope() as uploads:
        for _ in range(lane.uploads):
            uploads.create_task(lane.upload())
        try:
            for batch in mover.batches():
                await mover.move(batch, lane)
            await lane.finish(mover.take_loose())
        finally:
            lane.end()
    if lane.error is not None:
        raise lane.error
    if mover.missing:
        raise DamagedError(f"{mover.missing} blobs that are in use could not be copied; nothing was deleted")


class _Mover:
    """Takes wanted blobs out of packs. They are opened and checked, and then moved as they are sealed: the key is the same."""

    def __init__(self, repository: Repository, plan: PrunePlan, emit: Emit) -> None:
        self._repository = repository
        self._plan = plan
        self._emit = emit
        self._preparer = Preparer([repository.master], PackingOptions())
        self._full: list[Pack] = []
        key = repository.master
        self._packers = {type_: Packer(key, pack.TARGET_BYTES, self._full.append) for type_ in TYPES}
        self._moved_bytes = 0
        self.missing = plan.wanted.count()

    def batches(self) -> Iterator[list[Wanted]]:
        """The wanted blobs, each once, pack by pack."""
        index = self._repository.index
        found = BlobMap(index)
        for info, entries in index.packs_with_blobs():
            if info.id not in self._plan.rewritten:
                continue
            batch = []
            for entry in entries:
                type_: BlobType = "tree" if entry.type == "tree" else "data"
                position = index.position(type_, entry.id)
                if (
                    position is not None
                    and self._plan.wanted.has_position(position)
                    and found.add_position(position)
                ):
                    place = Location(info.id, entry.offset, entry.length, entry.uncompressed_length)
                    batch.append(Wanted(type_, entry.id, place))
            if batch:
                yield batch

    async def move(self, batch: list[Wanted], lane: Lane) -> None:
        """Copies these blobs. Raises: DamagedError where one is damaged at all its places; StorageError."""
        for read in plan_reads(batch):
            stored = await self._repository.storage.get(
                Key(Kind.PACK, read.pack.hex()), read.offset, read.length
            )
            found = await asyncio.to_thread(self._repository.decoder.decode_read, read, stored)
            for blob, plain in zip(read.blobs, found, strict=True):
                if isinstance(plain, DamagedError):
                    loose = await self._sealed_anew(blob)
                else:
                    begin = blob.location.offset - read.offset
                    sealed = stored[begin : begin + blob.location.length]
                    loose = Loose(blob.type, blob.id, sealed, blob.location.uncompressed_length)
                self._packers[blob.type].add(loose)
                self.missing -= 1
            await self._offer(lane)
            self._moved_bytes += sum(blob.location.length for blob in read.blobs)
            total_bytes = self._plan.figures.rewritten_bytes
            self._emit(Progress("rewrite packs", self._moved_bytes, total_bytes, current=read.pack.hex()[:8]))

    def take_loose(self) -> list[Loose]:
        """What filled no pack."""
        return [blob for packer in self._packers.values() for blob in packer.take_loose()]

    async def _offer(self, lane: Lane) -> None:
        while self._full:
            await lane.offer(self._full.pop())
        if lane.error is not None:
            raise lane.error

    async def _sealed_anew(self, blob: Wanted) -> Loose:
        """A blob that is damaged where it was looked for first: read again, and from its other places."""
        plain = await self._repository.load_anywhere(blob.type, blob.id)
        payload, uncompressed_length = self._preparer.compress(plain, blob.type)
        return Loose(blob.type, blob.id, self._preparer.seal(0, payload), uncompressed_length)
