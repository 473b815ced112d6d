"""Checking a repository: that all which snapshots need is there, readable, and means what it says.

Structure: index files, packs and their sizes, trees, nodes, and that every blob is in the index. With the data read: each pack's hash, its
header, and each blob in it. What restic's own check passes and restores wrong is looked for too (check_trees.py; lengths in check_packs.py).
Every damage comes with the snapshots and paths that it touches.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError, ObjectMissingError, UnknownSnapshotError
from engine.events import Emit, Progress, ignore
from engine.format import unpacked
from engine.format.ids import BlobType
from engine.model.results import Damage
from engine.repository.check_choice import Slice, longest_unproved
from engine.repository.check_damage import Finding, Tracer
from engine.repository.check_packs import Expected
from engine.repository.check_reading import PacksRead, read_packs, worker_channels
from engine.repository.check_suspects import EXAMINED, Examiner, tree_findings
from engine.repository.check_trees import Fault, TreeChecker, TreeFindings
from engine.repository.frames import Channel
from engine.repository.packed_index import PackInfo
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.repository.tree_sweep import sweep
from engine.scope import task_scope
from engine.storages.base import Key, Kind

PACK_OVERHEAD_BYTES: Final = 36
"""Of a pack besides its blobs and their header entries."""
_NAMED: Final = 20
"""Ids that one hint names."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How much a check looks at."""

    is_reading_data: bool = False
    subset: tuple[int, int] | None = None
    """(n, m): of the packs those whose first byte modulo m is n - 1. m is at most 256."""
    skipped_packs: AbstractSet[bytes] = frozenset()
    """Packs that were proved not long ago: not read again."""
    snapshots: Sequence[str] | None = None
    """Full ids: only what these need is walked and read. None: all."""
    packs: AbstractSet[bytes] | None = None
    """Where given, no other packs are read."""
    slice_: Slice | None = None
    """Where given, no more than this is read, of packs that were not proved for the longest time."""
    proved_at: Mapping[bytes, datetime.datetime] = field(default_factory=dict)
    """When packs were proved last, for `slice_`."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found."""

    damaged: Sequence[Damage]
    hints: Sequence[str]
    """What is odd, but harms nothing."""
    snapshots: int
    trees: int
    packs_read: int
    bytes_read: int
    proved_packs: AbstractSet[bytes]
    """Packs that were read and are sound, for `skipped_packs` of a later check."""
    present_packs: AbstractSet[bytes] = frozenset()
    """Packs of the index that are there and of the right size."""
    unproved_packs: int = 0
    """Packs that were neither read nor are among `skipped_packs`."""
    damaged_packs: AbstractSet[bytes] = frozenset()
    """Packs of the index that are damaged or missing, those that no finding names too."""
    damaged_index_files: AbstractSet[bytes] = frozenset()
    is_index_wrong: bool = False
    """Whether index files are damaged, or name a pack in parts."""
    missing_blobs: AbstractSet[tuple[BlobType, bytes]] = frozenset()
    """Blobs that trees name and no index file does; not all where there are very many."""


async def check(
    repository: Repository, options: CheckOptions | None = None, *, emit: Emit = ignore
) -> CheckResult:
    """Checks the repository and changes nothing. The caller holds a lock, so that nothing is removed meanwhile.

    What is damaged comes back as a value. Raises: UnknownSnapshotError where one that is asked for is not there; StorageError where the storage itself fails.
    """
    running = _Check(repository, options or CheckOptions(), emit)
    async with AsyncExitStack() as stack:
        if running.is_reading_data:
            running.channels = await stack.enter_async_context(worker_channels(repository))
        await running.look_at_files()
        await running.look_at_contents()
    await running.examine_suspects()
    return await running.conclude()


class _Check:
    """A check under way."""

    def __init__(self, repository: Repository, options: CheckOptions, emit: Emit) -> None:
        self._repository = repository
        self._options = options
        self._emit = emit
        self.is_reading_data = options.is_reading_data
        self.channels: list[Channel] = []
        """To worker processes, where there are some."""
        self._findings: list[Finding] = []
        self._hints: list[str] = []
        self._snapshots: list[Named] = []
        self._suspects: dict[bytes, str] = {}
        """Packs with which something is wrong, and what."""
        self._missing: set[bytes] = set()
        self._expected: dict[bytes, Expected] = {}
        """Packs that are there and of the right size."""
        self._read = PacksRead()
        self._trees = TreeFindings()
        self._damaged_index: set[bytes] = set()
        self._is_split = False
        self._unproved = 0
        self._proved: set[bytes] = set()
        """Suspects that read well the second time."""

    async def look_at_files(self) -> None:
        """Snapshots first, then the index, then the packs: so nothing that is written meanwhile looks as if it were missing."""
        damaged: dict[str, str] = {}
        snapshots = await self._repository.snapshots(
            lambda name, error: damaged.update({name: error.message})
        )
        wanted = self._options.snapshots
        unknown = set(wanted or ()) - {name for name, _ in snapshots} - damaged.keys()
        if unknown:
            raise UnknownSnapshotError(
                f"the repository at {self._repository.location} holds no snapshot {min(unknown)}"
            )
        self._snapshots = [Named(*each) for each in snapshots if wanted is None or each[0] in wanted]
        for name, message in sorted(damaged.items()):
            self._findings.append(Finding(name, message, backups=[name]))
        await self._look_at_small_files(Kind.KEY, "key file")
        await self._repository.load_index(lambda index_id, _error: self._damaged_index.add(index_id))
        damaged_files = await self._look_at_small_files(Kind.INDEX, "index file")
        self._damaged_index.update(map(bytes.fromhex, damaged_files))
        stored = {
            bytes.fromhex(listed.key.name): listed.size_bytes
            async for listed in self._repository.storage.list(Kind.PACK)
        }
        self._compare_packs(stored)

    async def _look_at_small_files(self, kind: Kind, word: str) -> list[str]:
        """Hashes files against their names, those that a cache spares the reading of too; gives the names of the damaged ones."""
        damaged = []
        for name in await self._repository.names(kind):
            message = ""
            for _ in range(2):
                try:
                    unpacked.check_name(name, await self._repository.storage.get(Key(kind, name)))
                except (DamagedError, ObjectMissingError) as error:
                    message = error.message
                else:
                    message = ""
                    break
            if message:
                damaged.append(name)
                self._findings.append(Finding(name, f"the {word} {name} is damaged: {message}"))
        return damaged

    def _compare_packs(self, stored: dict[bytes, int]) -> None:
        """Compares the packs that the index names with those that are there."""
        packs: dict[bytes, PackInfo] = {}
        twice: list[bytes] = []
        for info in self._repository.index.packs():
            earlier = packs.setdefault(info.id, info)
            if earlier is info:
                continue
            if earlier[2:] == info[2:]:
                twice.append(info.id)
                continue
            self._is_split = True
            message = f"the pack {info.id.hex()} is split over index files"
            self._findings.append(Finding(info.id.hex(), message))
            counts = (earlier.data_blobs + info.data_blobs, earlier.tree_blobs + info.tree_blobs)
            together_bytes = earlier.size_bytes + info.size_bytes - PACK_OVERHEAD_BYTES
            packs[info.id] = PackInfo(info.id, info.index_id, *counts, together_bytes)
        for pack_id, info in packs.items():
            size_bytes = stored.get(pack_id)
            if size_bytes is None:
                self._missing.add(pack_id)
                self._suspects[pack_id] = "it is missing"
            elif size_bytes != info.size_bytes:
                self._suspects[pack_id] = f"it has {size_bytes} bytes instead of {info.size_bytes}"
            else:
                self._expected[pack_id] = Expected(pack_id, size_bytes, info.data_blobs + info.tree_blobs)
        mixed = [each.id for each in packs.values() if each.data_blobs and each.tree_blobs]
        self._hint(mixed, "packs hold trees and data together")
        self._hint(twice, "packs are in two index files")
        self._hint(
            [each for each in stored if each not in packs], "packs are in no index file: prune deletes them"
        )

    def _hint(self, ids: Sequence[bytes], text: str) -> None:
        if ids:
            some = ", ".join(each.hex()[:10] for each in sorted(ids)[:_NAMED])
            self._hints.append(f"{len(ids)} {text}: {some}{', ...' if len(ids) > _NAMED else ''}")

    async def look_at_contents(self) -> None:
        """Trees and, where wanted, packs; both at once, but where the trees must tell first which packs are wanted."""
        is_partial = self._options.snapshots is not None
        used: set[bytes] | None = set() if is_partial else None
        checker = TreeChecker(self._repository.index, used)
        self._trees = checker.findings
        async with task_scope() as group:
            walking = group.create_task(self._walk(checker))
            if is_partial:
                await walking
            if self.is_reading_data:
                chosen = self._chosen(used)
                self._read = await read_packs(self._repository, chosen, self.channels, self._emit)
        self._suspects.update(self._read.suspect)

    async def _walk(self, checker: TreeChecker) -> None:
        async def visit(tree_id: bytes, tree: bytes | DamagedError) -> Iterable[bytes]:
            return checker.check(tree_id, tree)

        roots = [named.snapshot.tree for named in self._snapshots]
        await sweep(self._repository, roots, visit, step="check trees", emit=self._emit)

    def _chosen(self, used: set[bytes] | None) -> list[Expected]:
        scope = [each for each in self._expected.values() if used is None or each.id in used]
        due = [each for each in scope if each.id not in self._options.skipped_packs]
        chosen = due
        if self._options.packs is not None:
            chosen = [each for each in chosen if each.id in self._options.packs]
        if self._options.subset is not None:
            place, parts = self._options.subset
            chosen = [each for each in chosen if each.id[0] % parts == place - 1]
        if self._options.slice_ is not None:
            limit_bytes = self._options.slice_.limit_bytes(sum(each.size_bytes for each in scope))
            chosen = longest_unproved(chosen, self._options.proved_at, limit_bytes)
        self._unproved = len(due) - len(chosen)
        return sorted(chosen)

    async def examine_suspects(self) -> None:
        """Reads packs with which something is wrong once more, and finds out which blobs are lost."""
        examined = sorted(self._suspects)[:EXAMINED]
        if len(self._suspects) > EXAMINED:
            self._findings.append(
                Finding("", f"{len(self._suspects) - EXAMINED} packs more are damaged or missing")
            )
        examiner = Examiner(self._repository, examined, self._missing)
        findings = await examiner.examine(self._suspects, self._hints)
        self._proved = set(examined) - {bytes.fromhex(each.file) for each in findings}
        self._findings += findings

    async def conclude(self) -> CheckResult:
        """Names what the damage touches."""
        in_trees = tree_findings(self._repository, self._trees, self._findings)
        self._findings += in_trees
        damaged = (self._suspects.keys() - self._proved) | {
            bytes.fromhex(each.file) for each in in_trees if each.file
        }
        if self._trees.unordered:
            self._hints.append(
                f"{self._trees.unordered} trees are not in order: backups read their files again"
            )
        if any(finding.lost or finding.fault for finding in self._findings):
            tracer = Tracer(self._repository, self._findings, self._trees.suspect_links)
            for number, named in enumerate(self._snapshots, 1):
                await tracer.trace(named)
                total = len(self._snapshots)
                self._emit(Progress("find what is touched", done_files=number, total_files=total))
        proven = [each for each in self._findings if each.fault is not Fault.LINKS or each.backups]
        return CheckResult(
            damaged=tuple(finding.as_damage() for finding in proven),
            hints=tuple(self._hints),
            snapshots=len(self._snapshots),
            trees=self._trees.trees,
            packs_read=len(self._read.sound) + len(self._read.suspect),
            bytes_read=self._read.bytes_read,
            proved_packs=frozenset(self._read.sound),
            present_packs=frozenset(self._expected),
            unproved_packs=self._unproved,
            damaged_packs=frozenset(damaged),
            damaged_index_files=frozenset(self._damaged_index),
            is_index_wrong=bool(self._damaged_index) or self._is_split,
            missing_blobs=frozenset(self._trees.missing),
        )
