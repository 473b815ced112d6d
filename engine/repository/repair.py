"""Repairing the index: from the packs that are there and, where the index does not know them, from their headers.

As restic's `repair index`: entries of missing packs go, packs that no index file names come in, packs of another size than the index says
are read again, index files that cannot be read go. What changes is written first, and then the old index files are deleted. No pack is
touched: one whose header cannot be read is reported and left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError, ObjectMissingError, RefusedError, ShortReadError
from engine.events import Emit, Progress, ignore
from engine.format import pack
from engine.format.pack import BlobEntry
from engine.repository import index_rewriting
from engine.repository.index import Index
from engine.repository.index_rewriting import PackEntries
from engine.repository.lock import HeldLock
from engine.repository.packed_index import PackInfo
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

_FIRST_TAIL_BYTES: Final = 32 << 10
"""Headers of most packs are shorter: one request serves."""


@dataclass(frozen=True, slots=True)
class IndexRepair:
    """What a repair of the index found and did."""

    missing_packs: Sequence[str]
    """In the index, but not there: their entries were dropped."""
    added_packs: Sequence[str]
    """There, but in no index file that can be read: they were added."""
    reread_packs: Sequence[str]
    """Whose entries were not the pack's."""
    unreadable_packs: Mapping[str, str]
    """Whose header cannot be read, and why: they are in no index file now."""
    unreadable_index_files: Sequence[str]
    """Deleted, since they name nothing."""
    written_index_files: int

    is_changed: bool
    """Whether the index was not right and is now."""


async def repair_index(
    repository: Repository,
    lock: HeldLock,
    *,
    is_reading_all: bool = False,
    doubted: Collection[bytes] = (),
    left_out: Collection[bytes] = (),
    emit: Emit = ignore,
) -> IndexRepair:
    """Makes the index say what the packs hold. With `is_reading_all` every header is read, and no old entry believed.

    Index files `doubted` are damaged where they lie, whatever this machine remembers of them. Packs `left_out` that no index file names
    stay so. Safe to interrupt, and to run again. Raises: RefusedError where the lock is not exclusive; LockLostError; StorageError.
    """
    if not lock.exclusive:
        raise RefusedError("repairing the index needs an exclusive lock")
    damaged: list[bytes] = []
    index = await repository.load_index(lambda index_id, _error: damaged.append(index_id))
    stored = {
        bytes.fromhex(listed.key.name): listed.size_bytes
        async for listed in repository.storage.list(Kind.PACK)
    }
    for pack_id in left_out:
        stored.pop(pack_id, None)
    findings = _find(index, stored, is_reading_all=is_reading_all)
    findings.stale.update(index.index_ids.intersection(doubted))
    headers = _Headers(repository, findings.to_read, emit)
    replaced = {*findings.stale, *damaged}
    written: list[str] = []
    is_changed = bool(replaced or findings.to_read)
    if is_changed:
        names = sorted(each.hex() for each in replaced)
        written = await index_rewriting.replace(repository, lock, _packs(index, findings, headers), names)
        await repository.load_index()
    return IndexRepair(
        missing_packs=_hex(findings.missing),
        added_packs=_hex(headers.read - findings.known),
        reread_packs=_hex(headers.read & findings.known),
        unreadable_packs={each.hex(): reason for each, reason in sorted(headers.unreadable.items())},
        unreadable_index_files=_hex(damaged),
        written_index_files=len(written),
        is_changed=bool(written or replaced),
    )


@dataclass(slots=True)
class _Findings:
    """What is wrong with an index."""

    missing: set[bytes] = field(default_factory=set)
    to_read: dict[bytes, int] = field(default_factory=dict)
    """Packs whose header must be read, and their sizes."""
    known: set[bytes] = field(default_factory=set)
    """Packs that some index file names."""
    stale: set[bytes] = field(default_factory=set)
    """Index files that must be replaced."""


def _find(index: Index, stored: Mapping[bytes, int], *, is_reading_all: bool) -> _Findings:
    """Compares the index with the packs that the storage lists. A pack that two index files name in different ways is read again."""
    findings = _Findings(stale=set(index.index_ids) if is_reading_all else set())
    first: dict[bytes, PackInfo] = {}
    for info in index.packs():
        findings.known.add(info.id)
        earlier = first.setdefault(info.id, info)
        if info.id not in stored:
            findings.missing.add(info.id)
            findings.stale.add(info.index_id)
        elif stored[info.id] != info.size_bytes or (*earlier[2:],) != (*info[2:],):
            findings.to_read[info.id] = stored[info.id]
            findings.stale.update((info.index_id, earlier.index_id))
        elif earlier is not info:
            findings.stale.update((info.index_id, earlier.index_id))
    for pack_id, size_bytes in stored.items():
        if is_reading_all or pack_id not in findings.known:
            findings.to_read[pack_id] = size_bytes
    return findings


async def _packs(index: Index, findings: _Findings, headers: _Headers) -> AsyncIterator[PackEntries]:
    """What the new index files hold: what is right of the old ones, and what the headers say."""
    for info, entries in index.packs_with_blobs():
        is_right = info.id not in findings.missing and info.id not in findings.to_read
        if info.index_id in findings.stale and is_right:
            yield info.id, entries
    async for each in headers.packs():
        yield each


class _Headers:
    """Reads packs' headers, as many at once as the storage likes."""

    def __init__(self, repository: Repository, sizes: Mapping[bytes, int], emit: Emit) -> None:
        self._repository = repository
        self._sizes = sizes
        self._emit = emit
        self._sealer = repository.sealer()
        self.read: set[bytes] = set()
        self.unreadable: dict[bytes, str] = {}

    async def packs(self) -> AsyncIterator[PackEntries]:
        """Every pack whose header can be read. Memory is that of one header a connection."""
        waiting = sorted(self._sizes)
        step = self._repository.storage.traits.connections
        for begin in range(0, len(waiting), step):
            found: list[PackEntries] = []
            async with task_scope() as group:
                for pack_id in waiting[begin : begin + step]:
                    group.create_task(self._read(pack_id, found))
            for each in found:
                yield each
            self._emit(
                Progress("read packs", done_files=min(begin + step, len(waiting)), total_files=len(waiting))
            )

    async def _read(self, pack_id: bytes, found: list[PackEntries]) -> None:
        try:
            entries = await self._entries(pack_id, self._sizes[pack_id])
        except (DamagedError, ObjectMissingError, ShortReadError) as error:
            self.unreadable[pack_id] = str(error)
        else:
            self.read.add(pack_id)
            found.append((pack_id, entries))

    async def _entries(self, pack_id: bytes, size_bytes: int) -> list[BlobEntry]:
        key = Key(Kind.PACK, pack_id.hex())
        first = min(size_bytes, _FIRST_TAIL_BYTES)
        tail = await self._repository.storage.get(key, size_bytes - first, first)
        length = pack.header_length(tail, size_bytes)
        if length > first:
            tail = await self._repository.storage.get(key, size_bytes - length, length)
        return pack.parse_tail(self._sealer, tail, size_bytes)


def _hex(ids: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(each.hex() for each in ids))
