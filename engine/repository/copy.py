"""Copying snapshots from one repository into another: only what is missing there moves, checked, and sealed with the other's key.

A snapshot is known in the other repository by `original`, the id that it had first, and by its content; then it is passed over, as restic
does; so is one whose identity says that both were made by one reading. Nothing is cut anew: blobs move as they are. Everything streams; the order of writes is that of a backup: packs, then index, then snapshot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import DamagedError
from engine.events import Emit, Progress, ignore
from engine.format.snapshot import Snapshot
from engine.repository import fetching, writer
from engine.repository.blobs import Wanted
from engine.repository.lock import HeldLock
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.repository.tree_sweep import BlobMap, references, sweep
from engine.repository.writer import WriteOptions, WriteSession

_GATHERED: Final = 4096
"""Blobs that are asked for together, so that those of one pack come in one request."""
_BUDGET_BYTES: Final = 48 << 20


@dataclass(frozen=True, slots=True)
class CopiedSnapshot:
    """What became of one snapshot."""

    source_id: str
    target_id: str
    is_skipped: bool
    """Whether the other repository had it already."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did."""

    snapshots: Sequence[CopiedSnapshot]
    blobs: int
    """That were missing in the target."""
    added_bytes: int
    """Plain bytes of them."""
    stored_bytes: int
    """What the target's storage took."""


def _nobody(_snapshot: Snapshot) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same, and what happens to a snapshot that is damaged."""

    identity: Callable[[Snapshot], str] = _nobody
    """What a snapshot says it is, empty where it says nothing: two of one identity and one tree are the same."""
    on_damaged: Callable[[Named, DamagedError], None] | None = None
    """Takes a snapshot that cannot be copied whole, which is left out then; None: it ends the copy."""


async def copy(
    source: Repository,
    target: tuple[Repository, HeldLock],
    snapshots: Sequence[Named],
    *,
    rules: Rules = Rules(),
    options: WriteOptions | None = None,
    emit: Emit = ignore,
) -> Copied:
    """Copies the snapshots, in their order. Both are locked by the caller, shared, and `source`'s index is loaded; the target's is loaded here.

    Interrupted, it has copied some of them whole; what else it stored is found by the next copy.
    Raises: DamagedError, naming what is damaged in the source, unless the rules take it: no snapshot that needs it is written; StorageError;
    LockLostError.
    """
    repository, _ = target
    there = await repository.snapshots()
    await repository.load_index()
    done: list[CopiedSnapshot] = []
    async with writer.open_session([target], clock=repository.clock, options=options, emit=emit) as session:
        transfer = _Transfer(source, repository, session, emit)
        for named in snapshots:
            twin = _find_twin(named, there, rules)
            if twin is not None:
                done.append(CopiedSnapshot(named.id, twin, True))
                continue
            try:
                await transfer.bring(named.snapshot.tree)
            except DamagedError as error:
                if rules.on_damaged is None:
                    raise
                rules.on_damaged(named, error)
                # What this one had asked for may never have come: the next asks for itself.
                transfer = _Transfer(source, repository, session, emit)
                continue
            original = named.snapshot.original or bytes.fromhex(named.id)
            copied = dataclasses.replace(named.snapshot, original=original, parent=None)
            (committed,) = await session.commit(copied)
            assert committed.snapshot_id is not None
            there.append((committed.snapshot_id, copied))
            done.append(CopiedSnapshot(named.id, committed.snapshot_id, False))
        (statistics,) = session.statistics
    blobs = statistics.data_blobs + statistics.tree_blobs
    return Copied(tuple(done), blobs, statistics.added_bytes, statistics.stored_bytes)


async def bring_content(
    source: Repository,
    target: Repository,
    session: WriteSession,
    blob_ids: Iterable[bytes],
    *,
    emit: Emit = ignore,
) -> None:
    """Hands those of the blobs that the target lacks to its session, which stores them by its next commit. Both indexes are loaded.

    Raises: DamagedError, naming what is damaged in the source; StorageError.
    """
    await _Transfer(source, target, session, emit).bring_content(blob_ids)


def _find_twin(named: Named, there: Iterable[tuple[str, Snapshot]], rules: Rules) -> str | None:
    """The snapshot of the target that is this one: of the same first id, and alike in all that counts; or of the same identity and tree."""
    first = named.snapshot.original or bytes.fromhex(named.id)
    identity = rules.identity(named.snapshot)
    for target_id, candidate in there:
        is_first = (candidate.original or bytes.fromhex(target_id)) == first
        if is_first and _signature(candidate) == _signature(named.snapshot):
            return target_id
        is_same = identity and candidate.tree == named.snapshot.tree
        if is_same and rules.identity(candidate) == identity:
            return target_id
    return None


def _signature(snapshot: Snapshot) -> tuple[object, ...]:
    """What restic compares (cmd_copy.go, similarSnapshots)."""
    return (
        snapshot.time,
        snapshot.tree,
        snapshot.hostname,
        snapshot.username,
        snapshot.uid,
        snapshot.gid,
        tuple(snapshot.paths),
        tuple(snapshot.excludes),
        tuple(snapshot.tags),
    )


class _Transfer:
    """Brings trees and what they need over, each blob at most once in all snapshots together."""

    def __init__(self, source: Repository, target: Repository, session: WriteSession, emit: Emit) -> None:
        self._source = source
        self._target = target
        self._session = session
        self._emit = emit
        self._asked = BlobMap(source.index)
        self._walked = BlobMap(source.index)
        self._waiting: list[Wanted] = []
        self._bytes = 0

    async def bring(self, root: bytes) -> None:
        """Hands all that is missing below a tree to the session, which stores it by its next commit. Raises: DamagedError, StorageError."""
        await sweep(self._source, [root], self._visit, seen=self._walked)
        await self._fetch()

    async def bring_content(self, blob_ids: Iterable[bytes]) -> None:
        """As `bring`, of blobs of content. Raises: DamagedError, StorageError."""
        for blob_id in blob_ids:
            await self._ask(blob_id)
        await self._fetch()

    async def _ask(self, blob_id: bytes) -> None:
        if not self._target.index.has("data", blob_id) and self._asked.add("data", blob_id) is not False:
            self._waiting.append(self._source.wanted("data", blob_id))
        if len(self._waiting) >= _GATHERED:
            await self._fetch()

    async def _visit(self, tree_id: bytes, tree: bytes | DamagedError) -> list[bytes]:
        if isinstance(tree, DamagedError):
            raise tree
        await self._session.save_tree_blob(tree, tree_id)
        found = references(tree)
        for blob_id in found.content:
            await self._ask(blob_id)
        return found.subtrees

    async def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
        await fetching.load_blobs(self._source, waiting, self._take, budget_bytes=_BUDGET_BYTES)
        self._session.raise_if_all_dropped()

    async def _take(self, blob: Wanted, plain: bytes | DamagedError) -> None:
        if isinstance(plain, DamagedError):
            raise plain
        room = self._session.put_small(plain, None, _nothing)
        if room is not None:
            await room
        self._bytes += len(plain)
        self._emit(Progress("copy", done_bytes=self._bytes, current=blob.id.hex()[:8]))


def _nothing(_tokens: Sequence[Any], _blob_id: bytes) -> None:
    """The id is known: it is the source's, which was checked."""
